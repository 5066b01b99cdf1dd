// Health: every check, every alarm, and what stands between this node and its work.
import { button, pause_takeovers, switchover } from "../actions.js";
import { h, memo } from "../dom.js";
import { count, duration, many, time } from "../format.js";
import { icon, of_role } from "../sign.js";
import { state } from "../store.js";

/** Shows the view. */
export function show(main) {
  const body = h("div");
  main.replaceChildren(body);
  return { draw: () => draw(body) };
}

function draw(el) {
  const node = state.node;
  const still = { ...node, nodes: node.nodes?.map((one) => [one.node, one.role, one.trouble, one.silent, Math.round(one.last_contact_seconds)]) };
  memo(el, [still, state.hello?.supervises], () => {
    const failing = node.checks.filter((check) => !check.ok);
    const holding = node.checks.filter((check) => check.ok);
    return [
      h("div.page-head", h("h1", "Health ", of_role(node.role)), h("div.buttons", state.watches.size ? [button("Hand over …", switchover, { danger: true, small: false }), button(node.paused ? "End the pause …" : "Pause takeovers …", () => pause_takeovers(Boolean(node.paused)), { small: false })] : null)),
      node.alive ? null : h("section.box.t-fail", h("p", icon("fail"), h("strong", " The work loop hangs: "), node.hangs)),
      h("section.box", { "aria-labelledby": "h-checks" }, h("h2", { id: "h-checks" }, "Checks"), h("p.quiet", failing.length ? `${many(failing.length, "check fails", "checks fail")}, ${count(holding.length)} hold: `.concat("this node is not ready.") : `All ${many(holding.length, "check")} hold: this node is ready.`),
        failing.length ? h("ul.checks", failing.map((check) => h("li.t-fail", icon("fail"), h("div", h("strong", check.name), h("p", check.what))))) : null,
        h("ul.checks.good", holding.map((check) => h("li", icon("pass"), h("div", h("strong", check.name), check.what !== "ok" ? h("p.quiet", check.what) : null)))), node.checks.length ? null : h("p.empty", "No check has been made yet.")),
      h("section.box", { "aria-labelledby": "h-alarms" }, h("h2", { id: "h-alarms" }, "Alarms"), node.alarms.length ? h("ul.checks", node.alarms.map((alarm) => h("li.t-fail", icon("drift", "fail"), h("div", h("strong", alarm.name), h("p", alarm.what), h("p.quiet", "since ", time(alarm.since), alarm.count > 1 ? `, ${alarm.count} times` : ""))))) : h("p.empty", icon("pass"), " Nothing is out of order.")),
      node.paused ? h("section.box.t-drift", h("p", icon("paused", "drift"), h("strong", " Takeovers are paused: "), node.paused)) : null,
      node.nodes?.length ? h("section.box", { "aria-labelledby": "h-nodes" }, h("h2", { id: "h-nodes" }, "Nodes"), h("div.wide", { tabindex: "0", role: "region", "aria-label": "Table of nodes" }, h("table", h("thead", h("tr", ["node", "role", "host", "epoch", "behind", "last seen", "version", "in its way"].map((word) => h("th", { scope: "col" }, word)))), h("tbody", node.nodes.map((one) => h("tr", h("th", { scope: "row" }, one.node), h("td", of_role(one.role)), h("td", `${one.host} · ${one.pid}`), h("td", one.epoch), h("td", one.lag_records ? `${count(one.lag_records)} records` : "nothing"), h("td", `${duration(one.last_contact_seconds)} ago`), h("td", one.version), h("td", one.trouble ?? one.silent ?? h("span.quiet", "nothing")))))))) : null,
    ];
  });
}
