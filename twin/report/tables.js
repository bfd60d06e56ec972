// Tables that sort and filter, and links to one row.

const SHOWN = 12;  // rows before "Show all"

class Table {
  constructor(table) {
    this.table = table;
    this.rows = [...table.tBodies[0].rows];
    this.heads = [...table.tHead.rows[0].cells];
    this.all = this.rows.length <= SHOWN + 3;
    this.heads.forEach((head, i) => {
      const onclick = () => this.sort(this.by === i + 1 ? -(i + 1) : i + 1);
      head.append(make("button", {type: "button", onclick}, ...head.childNodes));
    });
    const filter = () => this.filter();
    const search = {type: "search", placeholder: "Filter", ariaLabel: "Filter rows by text", oninput: filter};
    this.search = make("input", {...search, value: state.get("q") || ""});
    this.choice = make("select", {ariaLabel: "Filter rows by phase", onchange: filter}, ...this.phases());
    this.choice.value = state.get("phase") || "";
    if (this.choice.selectedIndex < 0) this.choice.value = "";
    this.status = make("span", {className: "status", role: "status"});
    this.more = make("button", {type: "button", onclick: () => { this.all = true; this.show(); }});
    const bar = make("div", {className: "toolbar filter"}, this.search, this.choice, this.status);
    table.before(bar);
    table.after(make("p", {className: "toolbar"}, this.more));
    this.filter();
    if (+state.get("sort")) this.sort(+state.get("sort"));
  }

  phases() {
    const counts = new Map();
    for (const row of this.rows) counts.set(row.dataset.phase, (counts.get(row.dataset.phase) || 0) + 1);
    const options = [...counts].map(([value, count]) => make("option", {value, textContent: `${value} (${count})`}));
    return [make("option", {value: "", textContent: "All phases"}), ...options];
  }

  static value(row, column) {
    const cell = row.cells[column], text = cell.textContent.trim();
    const written = cell.dataset.v ?? text;
    return written === "" ? null : isNaN(written) ? text : +written;
  }

  sort(by) {
    this.by = by;
    const column = Math.abs(by) - 1, sign = Math.sign(by);
    if (!this.heads[column]) return;
    const keys = new Map(this.rows.map(row => [row, Table.value(row, column)]));
    this.rows.sort((a, b) => {
      const [x, y] = [keys.get(a), keys.get(b)];
      if (x === null || y === null) return (x === null) - (y === null);
      return sign * (typeof x === "number" ? x - y : x.localeCompare(y, "en", {numeric: true}));
    });
    this.table.tBodies[0].append(...this.rows);
    for (const head of this.heads) head.removeAttribute("aria-sort");
    this.heads[column].setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
    remember("sort", String(by));
    this.show();
  }

  filter() {
    remember("q", this.search.value);
    remember("phase", this.choice.value);
    const words = this.search.value.toLowerCase().split(/\s+/).filter(Boolean), phase = this.choice.value;
    const matches = row => (!phase || row.dataset.phase === phase)
      && words.every(word => row.textContent.toLowerCase().includes(word));
    this.matching = new Set(this.rows.filter(matches));
    this.show();
  }

  show() {
    let shown = 0;
    for (const row of this.rows) {
      const visible = this.matching.has(row) && (this.all || shown < SHOWN);
      row.hidden = !visible;
      shown += visible;
    }
    this.status.textContent = `${shown.toLocaleString("en")} of ${this.rows.length.toLocaleString("en")} shown`;
    this.more.textContent = `Show all ${this.matching.size.toLocaleString("en")}`;
    this.more.hidden = shown === this.matching.size;
  }

  // Make the row of a deep link visible.
  reveal(id) {
    const row = this.rows.find(each => each.id === id);
    if (!row) return;
    if (row.hidden) { this.search.value = this.choice.value = ""; this.all = true; this.filter(); }
    location.replace("#" + encodeURI(id));
    row.scrollIntoView({block: "center"});
  }
}

function startTables() {
  const tables = [...document.querySelectorAll("table.sortable")].map(table => new Table(table));
  const open = id => {
    for (const table of tables) table.reveal(id);
    const target = document.getElementById(id);
    const details = target?.matches("details") ? target : target?.closest("section")?.querySelector("details");
    if (!details) return;
    details.open = true;
    target.scrollIntoView();
  };
  const target = decodeURI(location.hash.slice(1));
  addEventListener("hashchange", () => { if (!location.hash.includes("=")) open(decodeURI(location.hash.slice(1))); });
  if (target && !target.includes("=")) open(target);
  else if (["q", "phase", "sort"].some(key => state.has(key))) tables[0]?.table.closest("section").scrollIntoView();
}

startTables();
