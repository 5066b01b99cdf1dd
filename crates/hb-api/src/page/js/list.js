// A list of any length of which only what is seen stands in the page.
import { frame, h } from "./dom.js";

/** Rows beyond what is seen, above and below. */
const SPARE = 6;

/**
 * A list whose rows are all `height` pixels high. `make()` gives an empty row, `fill(row, item, place)` puts an item in it.
 * It scrolls with the page; the keys move between rows.
 */
export class List {
  constructor({ height, make, fill, label, head = null, enter = null }) {
    Object.assign(this, { height, make, fill, enter });
    this.items = [];
    this.rows = new Map();
    this.spare = [];
    this.picked = -1;
    this.body = h("div.list-body", { role: "rowgroup" });
    this.el = h("div.list", { role: "table", "aria-label": label, tabindex: "0" }, head ? h("div.list-head", { role: "rowgroup" }, head) : null, this.body);
    this.draw = this.draw.bind(this);
    this.scrolled = () => frame(this.draw);
    addEventListener("scroll", this.scrolled, { passive: true });
    addEventListener("resize", this.scrolled, { passive: true });
    this.el.addEventListener("keydown", (event) => this.key(event));
  }

  end() {
    removeEventListener("scroll", this.scrolled);
    removeEventListener("resize", this.scrolled);
  }

  set(items) {
    this.items = items;
    this.body.style.height = `${items.length * this.height}px`;
    this.el.setAttribute("aria-rowcount", items.length);
    frame(this.draw);
  }

  range() {
    const top = this.body.getBoundingClientRect().top;
    const first = Math.max(0, Math.floor(-top / this.height) - SPARE);
    const last = Math.min(this.items.length, Math.ceil((innerHeight - top) / this.height) + SPARE);
    return [first, Math.max(first, last)];
  }

  draw() {
    if (!this.el.isConnected) return;
    const [first, last] = this.range();
    for (const [place, row] of this.rows) {
      if (place < first || place >= last) { this.rows.delete(place); row.remove(); this.spare.push(row); }
    }
    for (let place = first; place < last; place += 1) {
      let row = this.rows.get(place);
      if (!row) {
        row = this.spare.pop() ?? this.make();
        row.setAttribute("role", "row");
        row.classList.add("list-row");
        row.style.transform = `translateY(${place * this.height}px)`;
        row.style.height = `${this.height}px`;
        this.rows.set(place, row);
        this.body.append(row);
      }
      row.setAttribute("aria-rowindex", place + 1);
      row.classList.toggle("picked", place === this.picked);
      this.fill(row, this.items[place], place);
    }
    this.shown?.(first, last);
  }

  key(event) {
    if (event.target !== this.el) return;
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -Infinity, End: Infinity };
    if (event.key in steps) {
      event.preventDefault();
      this.picked = Math.max(0, Math.min(this.items.length - 1, (this.picked < 0 ? (steps[event.key] > 0 ? -1 : 0) : this.picked) + steps[event.key]));
      const top = this.body.getBoundingClientRect().top + this.picked * this.height;
      if (top < 110) scrollBy({ top: top - 110 });
      else if (top + this.height > innerHeight - 20) scrollBy({ top: top + this.height - innerHeight + 20 });
      frame(this.draw);
    } else if (event.key === "Enter" && this.items[this.picked]) this.enter?.(this.items[this.picked]);
  }
}
