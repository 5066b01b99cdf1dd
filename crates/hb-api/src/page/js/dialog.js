// Asks before something is done. What cannot be taken back is typed out; who acts is shown.
import { h } from "./dom.js";

let held = null;

/** Opens a dialog; gives what it was closed with, `null` when it was left. `body(close)` makes what stands in it. */
export function open(title, body, { wide = false } = {}) {
  return new Promise((resolve) => {
    const before = document.activeElement;
    const heading = h("h2", { id: "dialog-title" }, title);
    const dialog = h("dialog", { "aria-labelledby": "dialog-title", class: wide ? "wide" : "" }, h("div.dialog-head", heading, h("button.plain", { type: "button", "aria-label": "Close", onclick: () => close(null) }, "✕")));
    let done = false;
    const close = (value) => {
      if (done) return;
      done = true;
      held = null;
      dialog.close();
      dialog.remove();
      if (before?.isConnected) before.focus({ preventScroll: true });
      resolve(value);
    };
    dialog.append(body(close));
    dialog.addEventListener("cancel", (event) => { event.preventDefault(); close(null); });
    dialog.addEventListener("click", (event) => { if (event.target === dialog) close(null); });
    document.body.append(dialog);
    held = dialog;
    dialog.showModal();
    (dialog.querySelector("[data-first]") ?? heading).focus?.();
  });
}

/** Whether one is open. */
export const is_open = () => held !== null;

/**
 * Asks whether something is to be done, and does it: `act({reason, ...fields})` is waited for, and what it refuses is shown in place.
 * `type` names what has to be typed out where it cannot be taken back.
 */
export function confirm({ title, what, consequences = [], verb, danger = false, reason = "optional", type = null, fields = [], act }) {
  return open(title, (close) => {
    const fault = h("p.fault", { role: "alert", hidden: true });
    const inputs = new Map();
    const rows = fields.map((field) => {
      const input = field.options
        ? h("select", { id: `f-${field.name}` }, field.options.map(([value, label]) => h("option", { value }, label)))
        : h("input", { id: `f-${field.name}`, type: field.type ?? "text", checked: field.checked ?? false });
      inputs.set(field.name, input);
      return h("p.field", { class: field.type === "checkbox" ? "check" : "" }, h("label", { for: `f-${field.name}` }, field.label), input);
    });
    const why = h("textarea", { id: "f-reason", rows: "2", maxlength: "1000", "data-first": true, required: reason === "needed" });
    const typed = type ? h("input", { id: "f-typed", autocomplete: "off", spellcheck: "false" }) : null;
    const go = h("button", { type: "submit", class: danger ? "danger" : "primary" }, verb);
    const check = () => { go.disabled = (typed && typed.value.trim() !== type) || (reason === "needed" && !why.value.trim()); };
    const form = h("form", { method: "dialog", onsubmit: async (event) => {
      event.preventDefault();
      if (go.disabled) return;
      go.disabled = true;
      go.textContent = "Working …";
      fault.hidden = true;
      const given = Object.fromEntries([...inputs].map(([name, input]) => [name, input.type === "checkbox" ? input.checked : input.value]));
      try {
        close(await act({ reason: why.value.trim(), ...given }) ?? true);
      } catch (problem) {
        fault.hidden = false;
        fault.textContent = told(problem);
        go.textContent = verb;
        go.disabled = false;
      }
    } },
    h("p", what),
    consequences.length ? h("ul.consequences", consequences.map((one) => h("li", one))) : null,
    rows,
    reason === "none" ? null : h("p.field", h("label", { for: "f-reason" }, reason === "needed" ? "Why (it stands in the record)" : "Why (optional; it stands in the record)"), why),
    typed ? h("p.field", h("label", { for: "f-typed" }, "To be sure, type ", h("code", type)), typed) : null,
    fault,
    h("div.buttons", h("button", { type: "button", onclick: () => close(null) }, "Cancel"), go));
    form.addEventListener("input", check);
    check();
    return form;
  });
}

function told(problem) {
  if (problem.status === 401) return `${problem.message} Sign in first (above, right).`;
  if (problem.word === "standby" && problem.details?.active?.address) return `This node stands by. The active one is ${problem.details.active.node}, at ${problem.details.active.address}.`;
  return problem.message;
}
