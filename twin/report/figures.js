"use strict";
// Figures that zoom and show values. The page is complete without scripts; they only add to it.

// ---- State in the address: #t=60-120&q=sql&phase=Failed&sort=-2 ------------------------------------------------

const state = new Map(location.hash.includes("=") ? new URLSearchParams(location.hash.slice(1)) : []);

function remember(key, value) {
  if ((state.get(key) || "") === value) return;
  if (value) state.set(key, value); else state.delete(key);
  const hash = new URLSearchParams([...state]).toString();
  history.replaceState(null, "", hash ? "#" + hash : location.pathname + location.search);
}

function make(tag, properties, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

function put(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
}

// ---- Figures -----------------------------------------------------------------------------------------------------

const NARROW = 640, SVG = "http://www.w3.org/2000/svg";
const TIME_STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400];
const GLYPHS = {fault: 3.5, strike: 5, switch: 0};  // paths that keep their form, and the offset of their first point
const charts = [];

function clock(seconds) {
  const total = Math.round(seconds), pad = n => String(n).padStart(2, "0");
  const [h, m, s] = [Math.floor(total / 3600), Math.floor(total / 60) % 60, total % 60];
  return h ? `${h}:${pad(m)}:${pad(s)}` : `${m}:${pad(s)}`;
}

function short(value) {
  return Math.abs(value) >= 1000 ? Math.round(value).toLocaleString("en") : String(+value.toPrecision(4));
}

class Chart {
  constructor(svg) {
    this.svg = svg;
    this.box = svg.closest(".scroll");
    [this.low, this.high, this.x0, this.x1] = svg.dataset.x.split(" ").map(Number);
    [this.width, this.height] = [svg.viewBox.baseVal.width, svg.viewBox.baseVal.height];
    this.kind = svg.dataset.kind;
    this.series = JSON.parse(svg.dataset.series || "[]");
    this.range = [this.low, this.high];
    this.clip = svg.appendChild(document.createElementNS(SVG, "clipPath"));
    this.clip.id = `clip-${charts.length}`;
    this.clip.append(document.createElementNS(SVG, "rect"));
    this.movers = [...svg.querySelectorAll(".zoomable *")].map(node => this.mover(node)).filter(Boolean);
    this.axes = [...svg.querySelectorAll(".x-axis")]
      .map(node => [node, +node.querySelector("line").getAttribute("y1")]);
    this.still = [...svg.querySelectorAll("text, line.grid, path.axis, g.legend")]
      .filter(node => !node.closest(".zoomable, .x-axis") && !(node.tagName === "text" && node.closest("g.legend")))
      .map(node => this.fixed(node));
    this.toolbar();
    this.line = svg.appendChild(document.createElementNS(SVG, "line"));
    this.line.setAttribute("class", "cursor");
    this.listen();
    this.layout();
  }

  get isRun() { return this.kind === "run"; }

  // Figures with the same x axis.
  get group() { return this.isRun ? charts.filter(chart => chart.isRun) : [this]; }

  // The functions that place one element, given the map from old to new x.
  mover(node) {
    const get = name => +node.getAttribute(name), set = (name, value) => node.setAttribute(name, value.toFixed(2));
    const show = visible => { node.style.display = visible ? "" : "none"; };
    const inside = x => x >= this.left - 0.01 && x <= this.right + 0.01;
    const bound = x => Math.min(Math.max(x, this.left), this.right);
    const kind = node.tagName;
    if (kind === "rect" || kind === "image") {
      const [a, b] = [get("x"), get("x") + get("width")];
      if (kind === "image") node.setAttribute("clip-path", `url(#${this.clip.id})`);
      return map => {
        const [from, to] = kind === "image" ? [map(a), map(b)] : [bound(map(a)), bound(map(b))];
        show(map(b) >= this.left && map(a) <= this.right);
        set("x", from); set("width", Math.max(to - from, 0.75));
      };
    }
    if (kind === "line") {
      const [a, b] = [get("x1"), get("x2")];
      return map => {
        show(map(b) >= this.left && map(a) <= this.right);
        set("x1", bound(map(a))); set("x2", bound(map(b)));
      };
    }
    if (kind === "circle") {
      const x = get("cx");
      return map => { show(inside(map(x))); set("cx", map(x)); };
    }
    if (kind === "text") return this.label(node, get("x"), show);
    if (kind !== "path") return null;
    const d = node.getAttribute("d"), offset = GLYPHS[node.classList[0]];
    if (offset === undefined) {
      node.setAttribute("clip-path", `url(#${this.clip.id})`);
      const moved = map => d.replace(/([ML])(-?[\d.]+) /g, (_, command, x) => `${command}${map(+x).toFixed(2)} `);
      return map => node.setAttribute("d", moved(map));
    }
    const first = +/M(-?[\d.]+)/.exec(d)[1];
    return map => {
      const x = map(first + offset);
      show(inside(x));
      node.setAttribute("d", d.replace(/M-?[\d.]+/, `M${(x - offset).toFixed(2)}`));
    };
  }

  // Row names stay at the left, shortened to fit; other labels move and stay in the frame.
  label(node, x, show) {
    const anchor = node.getAttribute("text-anchor") || "start", whole = node.textContent;
    if (x < this.x0) {
      const target = [...node.childNodes].reverse().find(child => child.nodeType === 3) || node;
      return () => {
        node.setAttribute("x", this.left + x - this.x0);
        const room = Math.floor((this.left - 10) / 6.7);
        target.textContent = whole.length > room ? "…" + whole.slice(1 - room) : whole;
      };
    }
    return map => {
      const row = node.closest("g.fault-row"), width = 6.6 * whole.length;
      const marked = row && [...row.children].some(mark => mark !== node && mark.style.display !== "none");
      const at = marked ? Math.min(Math.max(map(x), this.left), this.right) : map(x);
      show(at >= this.left && at <= this.right);
      const over = anchor === "start" && at + width > this.full - 4;
      const under = anchor === "end" && at - width < 4;
      node.setAttribute("text-anchor", over ? "end" : under ? "start" : anchor);
      node.setAttribute("x", over ? this.full - 4 : under ? 4 : at);
    };
  }

  // Elements outside the zoomed groups: they follow the edges of the frame.
  fixed(node) {
    if (node.tagName === "line") return () => put(node, {x1: this.left, x2: this.right});
    if (node.tagName === "path") {
      const y = /M-?[\d.]+ (-?[\d.]+)/.exec(node.getAttribute("d"))[1];
      return () => node.setAttribute("d", `M${this.left} ${y}L${this.right} ${y}`);
    }
    if (node.tagName === "g") return () => {};
    const x = +node.getAttribute("x");
    return () => node.setAttribute("x", x + (x <= this.x0 + 1 ? this.left - this.x0 : 0));
  }

  layout() {
    const room = Math.floor(this.box.clientWidth), narrow = room && room < NARROW && !matchMedia("print").matches;
    this.full = narrow ? room : this.width;
    this.left = narrow ? Math.min(this.x0, this.x0 > 100 ? Math.round(room * 0.34) : 46) : this.x0;
    this.right = narrow ? room - 26 : this.x1;
    const [from, to] = this.range, stretch = (this.x1 - this.x0) / (this.high - this.low);
    const scale = (this.right - this.left) / (to - from);
    this.scale = t => this.left + (t - from) * scale;
    const map = x => this.scale(this.low + (x - this.x0) / stretch);
    for (const move of this.movers) move(map);
    for (const move of this.still) move();
    put(this.clip.firstChild, {x: this.left, y: 0, width: this.right - this.left, height: this.height});
    for (const [node, y] of this.axes) this.axis(node, y);
    const extra = this.legends(narrow);
    this.svg.setAttribute("viewBox", `0 0 ${this.full} ${this.height + extra}`);
    this.svg.style.minWidth = narrow ? "0" : "";
    if (this.reset) this.reset.disabled = from === this.low && to === this.high;
  }

  axis(node, y) {
    const [from, to] = this.range, span = to - from, most = (this.right - this.left) / 62;
    const seconds = span < 3 && this.kind !== "number", round = this.kind === "number" || seconds;
    const step = round ? niceStep(span / most) : timeStep(span / most);
    const write = seconds ? t => `${+t.toFixed(3)} s` : round ? short : clock;
    const parts = [`<line class="axis" x1="${this.left}" x2="${this.right}" y1="${y}" y2="${y}"/>`];
    for (let t = Math.ceil(from / step) * step; t <= to + 1e-9; t += step) {
      const x = this.scale(t).toFixed(2);
      parts.push(`<line class="axis" x1="${x}" x2="${x}" y1="${y}" y2="${y + 4}"/>`);
      parts.push(`<text class="tick" x="${x}" y="${y + 17}" text-anchor="middle">${write(t)}</text>`);
    }
    const unit = round ? "" : ` (${to > 3600 ? "h:mm:ss" : "m:ss"})`;
    const title = node.dataset.title && node.dataset.title + unit;
    if (title) parts.push(`<text class="unit" x="${this.right}" y="${y + 33}" text-anchor="end">${title}</text>`);
    node.innerHTML = parts.join("");
  }

  // Arrange legends in rows; everything below a legend that needs more rows moves down. Returns the added height.
  legends(narrow) {
    const legends = [...this.svg.querySelectorAll("g.legend")];
    const children = [...this.svg.children]
      .filter(child => child !== this.line && !["title", "desc", "clipPath"].includes(child.tagName));
    const entries = legends.flatMap(legend => [...legend.children]);
    for (const node of [...children, ...entries]) node.removeAttribute("transform");
    if (!narrow) return 0;
    const tops = new Map(children.map(child => [child, child.getBBox().y]));
    const added = legends.map(legend => {
      const top = tops.get(legend);
      const titled = children.some(child => child.matches("text.strong") && Math.abs(tops.get(child) - top) < 9);
      return [legend, top, this.arrange(legend, titled ? 1 : 0)];
    });
    for (const child of children) {
      const above = added.filter(([legend, top]) => child !== legend && tops.get(child) > top + 6);
      const by = above.reduce((sum, [, , height]) => sum + height, 0);
      if (by) child.setAttribute("transform", `translate(0 ${by})`);
    }
    return added.reduce((sum, [, , height]) => sum + height, 0);
  }

  // Arrange the entries of a legend from its row `row` on; returns the height of the rows after its first.
  arrange(legend, row) {
    let x = 4;
    const boxes = [...legend.children].map(entry => [entry, entry.getBBox()]), top = boxes[0][1].y;
    for (const [entry, box] of boxes) {
      if (x > 4 && x + box.width > this.full) { x = 4; row += 1; }
      entry.setAttribute("transform", `translate(${x - box.x} ${row * 17 + top - box.y})`);
      x += box.width + 14;
    }
    return row * 17;
  }

  toolbar() {
    const button = (textContent, title, onclick) =>
      make("button", {type: "button", textContent, title, ariaLabel: title, onclick});
    this.reset = button("Reset", "Show the whole time again", () => this.zoom(this.low, this.high));
    const bar = make("div", {className: "toolbar"},
      button("−", "Zoom out", () => this.zoomBy(2)), button("+", "Zoom in", () => this.zoomBy(0.5)),
      button("‹", "Earlier", () => this.pan(-0.4)), button("›", "Later", () => this.pan(0.4)), this.reset);
    bar.setAttribute("role", "group");
    bar.setAttribute("aria-label", "Zoom");
    this.box.before(bar);
  }

  zoom(from, to) {
    const all = this.high - this.low, least = this.isRun ? 1 : all / 1000;
    const span = Math.min(Math.max(to - from, least), all), whole = span > all * 0.999;
    from = Math.min(Math.max(from, this.low), this.high - span);
    const range = [from, from + span];
    for (const chart of this.group) { chart.range = range; chart.layout(); }
    if (this.isRun) remember("t", whole ? "" : range.map(t => Math.round(t * 10) / 10).join("-"));
  }

  zoomBy(factor, around = (this.range[0] + this.range[1]) / 2) {
    const [from, to] = this.range;
    this.zoom(around - (around - from) * factor, around + (to - around) * factor);
  }

  pan(share) {
    const [from, to] = this.range, by = (to - from) * share;
    this.zoom(from + by, to + by);
  }

  at(event) {
    const box = this.svg.getBoundingClientRect(), x = (event.clientX - box.left) / box.width * this.full;
    if (x < this.left - 2 || x > this.right + 2) return null;
    const [from, to] = this.range;
    return from + (x - this.left) / (this.right - this.left) * (to - from);
  }

  listen() {
    const svg = this.svg;
    let start = null;
    svg.addEventListener("pointerdown", event => {
      if (event.pointerType !== "mouse" || event.button || event.target.closest("a")) return;
      start = this.at(event);
      if (start !== null) { svg.setPointerCapture(event.pointerId); event.preventDefault(); this.box.focus(); }
    });
    svg.addEventListener("pointermove", event => this.point(event, start));
    svg.addEventListener("pointerup", event => {
      const end = this.at(event), ends = [start, end].sort((a, b) => a - b);
      if (start !== null && end !== null && this.scale(ends[1]) - this.scale(ends[0]) > 6) this.zoom(...ends);
      start = null;
      mark(null);
    });
    svg.addEventListener("pointerleave", () => { if (start === null) mark(null); });
    svg.addEventListener("dblclick", () => this.zoom(this.low, this.high));
    svg.addEventListener("wheel", event => {
      if (!event.ctrlKey) return;
      event.preventDefault();
      this.zoomBy(event.deltaY > 0 ? 1.25 : 0.8, this.at(event) ?? undefined);
    }, {passive: false});
    this.box.addEventListener("keydown", event => {
      const act = {
        "+": () => this.zoomBy(0.5),
        "-": () => this.zoomBy(2),
        0: () => this.zoom(this.low, this.high),
        ArrowLeft: () => this.pan(-0.25),
        ArrowRight: () => this.pan(0.25),
      }[event.key];
      if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      act();
    });
  }

  // Show the values at the pointer, and the time in every figure of the run.
  point(event, start) {
    const t = this.at(event), over = event.target.closest("[data-tip]");
    if (t === null && !over) return mark(null);
    const time = t === null ? "" : this.written(t);
    const series = t === null ? [] : this.series;
    const values = series.map(([name, flat]) => [name, valueAt(flat, t)]).filter(([, value]) => value);
    const rows = over ? [over.dataset.tip] : values.map(([name, value]) => `${name}: ${short(value)}`);
    mark(event, [time, ...rows].filter(Boolean));
    for (const chart of this.group) chart.cursor(t, chart === this ? start : null);
  }

  written(x) {
    if (this.kind === "number") return short(x);
    return this.kind === "clock" && this.high < 100 ? `${x.toFixed(1)} s` : clock(x);
  }

  cursor(t, start) {
    this.line.style.visibility = t === null ? "hidden" : "visible";
    if (t === null) return;
    const from = this.scale(start ?? t), to = this.scale(t), x = (from + to) / 2;
    put(this.line, {x1: x, x2: x, y1: 0, y2: this.svg.viewBox.baseVal.height - 40});
    this.line.style.strokeWidth = start === null ? "" : Math.max(Math.abs(to - from), 1);
    this.line.style.strokeOpacity = start === null ? "" : 0.18;
  }
}

function timeStep(rough) {
  return TIME_STEPS.find(step => step >= rough) || 86400 * Math.ceil(rough / 86400);
}

function niceStep(rough) {
  const power = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 5, 10].map(m => m * power).find(step => step >= rough * 0.999);
}

function valueAt(flat, t) {
  let low = 0, high = flat.length / 2;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (flat[2 * middle] <= t) low = middle + 1; else high = middle;
  }
  return low ? flat[2 * low - 1] : 0;
}

const tip = make("div", {className: "tip", hidden: true});

function mark(event, rows) {
  tip.hidden = !event;
  if (!event) { for (const chart of charts) chart.cursor(null); return; }
  const heads = rows.length > 1;
  tip.replaceChildren(...rows.map((row, i) => make("div", {textContent: row, className: heads && !i ? "when" : ""})));
  const box = tip.getBoundingClientRect(), right = event.clientX + 14;
  const x = right + box.width > innerWidth ? event.clientX - box.width - 14 : right;
  tip.style.left = `${Math.max(x, 4)}px`;
  tip.style.top = `${Math.min(Math.max(event.clientY - box.height / 2, 4), innerHeight - box.height - 4)}px`;
}

function startFigures() {
  document.body.append(tip);
  for (const title of document.querySelectorAll("svg.figure * > title")) {
    title.parentNode.dataset.tip = title.textContent;
    title.remove();
  }
  for (const svg of document.querySelectorAll("svg.figure")) {
    if (svg.dataset.x) charts.push(new Chart(svg));
    else {
      svg.addEventListener("pointermove", event => {
        const over = event.target.closest("[data-tip]");
        mark(over && event, over && over.dataset.tip.split("\n"));
      });
      svg.addEventListener("pointerleave", () => mark(null));
    }
  }
  const range = (state.get("t") || "").split("-").map(Number), first = charts.find(chart => chart.isRun);
  if (first && range.length === 2 && range[1] > range[0]) first.zoom(...range);
  const again = () => { for (const chart of charts) chart.layout(); };
  new ResizeObserver(again).observe(document.querySelector("main"));
  addEventListener("beforeprint", again);
  addEventListener("afterprint", again);
  for (const details of document.querySelectorAll("details")) details.addEventListener("toggle", again);
}

startFigures();
