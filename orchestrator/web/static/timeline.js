// The timeline of a feature: what was queued, what ran, what was tried again, task by task or worker by worker; above it
// how many were in flight, with the cap as a line. Only the rows that are seen are in the page.

import { address, atNextFrame, button, drawn, fitted, fontOf, html } from "./elements.js";
import { inFlight, lanes, Spans } from "./spans.js";
import { duration, statusClass } from "./statuses.js";

const ROW = 24;
const CHART = 56;
const AXIS = 22;
const NARROW = 600;
const TICKS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400, 172800, 604800];

export class Timeline {
  /**
   * @param host The element to draw in; its `data-task-url` has {task} in it.
   * @param model The feature.
   */
  constructor(host, model) {
    [this.host, this.model, this.spans] = [host, model, new Spans()];
    this.byWorker = false;
    this.early = host.dataset.events ? [] : null;
    this.window = null; // [from, to] in ms; null: all of it, up to now
    this.font = fontOf(12);
    this.#build();
    this.paint = atNextFrame(() => this.#paint());
    this.update();
    new ResizeObserver(() => this.paint()).observe(this.rows);
    setInterval(() => this.isRunning && !document.hidden && this.paint(), 1000);
  }

  /** Show what happens now. It waits until the past has been read, if that is to be read. */
  take(events) {
    if (this.early) this.early.push(...events);
    this.update(this.early ? [] : events);
  }

  /** All of the past has been read. */
  goLive() {
    const early = this.early ?? [];
    this.early = null;
    this.update(early);
  }

  /** Show events, oldest first, and tasks that changed. */
  update(events = []) {
    this.spans.read(events);
    this.stale = true;
    this.paint();
  }

  // The parts of the drawing

  #build() {
    const choice = (text, byWorker) => {
      const made = button(text, `A row for each ${byWorker ? "worker's place" : "task"}`, () => this.#group(byWorker));
      made.setAttribute("aria-pressed", byWorker === this.byWorker);
      return made;
    };
    this.choices = [choice("By task", false), choice("By worker", true)];
    const tools = html("div", { class: "to-toolbar", role: "toolbar", "aria-label": "Timeline" }, ...this.choices,
      button("+", "Zoom in (+)", () => this.#zoom(0.5)),
      button("−", "Zoom out (-)", () => this.#zoom(2)),
      button("Fit", "All of the time (0)", () => this.#show(null)),
      ...["queued", "running", "testing", "delayed", "failed"].map((kind) => html("span", { class: "to-key" },
        html("span", { class: `to-key-span span-${kind}` }), kind === "delayed" ? "waits for a retry" : kind)));
    this.chart = drawn("svg", { class: "to-chart", height: CHART + AXIS, role: "img", "aria-label": "Tasks in flight over time" });
    this.picture = drawn("svg", { class: "to-rows-picture" });
    this.space = html("div", { class: "to-space" }, this.picture);
    this.rows = html("div", { class: "to-rows", tabindex: 0, role: "group", "aria-label": "Timeline, row by row" }, this.space);
    this.note = html("p", { class: "to-hint" });
    this.rows.addEventListener("scroll", () => this.paint());
    this.rows.addEventListener("keydown", (event) => this.#press(event));
    this.rows.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    this.#dragged(this.chart);
    this.host.replaceChildren(tools, this.chart, this.rows, this.note);
  }

  #group(byWorker) {
    this.byWorker = byWorker;
    this.choices.forEach((choice, at) => choice.setAttribute("aria-pressed", Boolean(at) === byWorker));
    [this.stale, this.rows.scrollTop] = [true, 0];
    this.paint();
  }

  #press(event) {
    const [from, to] = this.#shown();
    const step = (to - from) / 10;
    const ways = {
      "+": () => this.#zoom(0.5), "=": () => this.#zoom(0.5), "-": () => this.#zoom(2), 0: () => this.#show(null),
      ArrowLeft: () => this.#show([from - step, to - step]), ArrowRight: () => this.#show([from + step, to + step]),
    };
    if (event.ctrlKey || event.metaKey || event.altKey || !ways[event.key]) return;
    event.preventDefault();
    ways[event.key]();
  }

  #wheel(event) {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    const part = (event.clientX - this.rows.getBoundingClientRect().left - this.label) / this.#room();
    this.#zoom(Math.exp(event.deltaY / 300), Math.min(1, Math.max(0, part)));
  }

  #dragged(element) {
    let last = null;
    element.addEventListener("pointerdown", (event) => {
      last = event.clientX;
      element.setPointerCapture(event.pointerId);
    });
    element.addEventListener("pointermove", (event) => {
      if (last === null) return;
      const [from, to] = this.#shown();
      const shift = ((last - event.clientX) / this.#room()) * (to - from);
      last = event.clientX;
      this.#show([from + shift, to + shift]);
    });
    for (const name of ["pointerup", "pointercancel"]) element.addEventListener(name, () => (last = null));
  }

  #zoom(factor, part = 0.5) {
    const [from, to] = this.#shown();
    const [about, size] = [from + part * (to - from), Math.max(200, (to - from) * factor)];
    const [first, last] = this.whole;
    this.#show(size >= last - first ? null : [about - part * size, about + (1 - part) * size]);
  }

  #show(window) {
    this.window = window;
    this.paint();
  }

  // The layout

  #read() {
    this.stale = false;
    const tasks = [...this.model.tasks.values()].map((task) => ({ task, spans: this.spans.of(task) })).filter(({ spans }) => spans.length);
    this.all = tasks.flatMap(({ spans }) => spans);
    this.isRunning = this.all.some((span) => span.to === null);
    this.first = this.all.reduce((least, span) => Math.min(least, span.from), Infinity);
    this.last = this.all.reduce((most, span) => Math.max(most, span.to ?? span.from), -Infinity);
    const places = this.byWorker ? lanes(this.all.filter((span) => span.kind === "running" || span.kind === "testing")) : tasks;
    this.lines = this.byWorker
      ? places.map(({ worker, lane, spans }) => ({ name: `${worker || "worker not known"} · ${lane}`, spans }))
      : places.sort((one, other) => one.spans[0].from - other.spans[0].from)
          .map(({ task, spans }) => ({ name: task.title ? `${task.task} ${task.title}` : task.task, task: task.task, spans }));
    const waiting = this.model.tasks.size - tasks.length;
    this.note.textContent = waiting ? `${waiting.toLocaleString("en")} more ${waiting === 1 ? "task has" : "tasks have"} not been launched.` : "";
    if (!this.lines.length) this.note.textContent = "Nothing has been launched yet.";
    this.space.style.height = `${Math.max(1, this.lines.length) * ROW}px`;
  }

  get whole() {
    const to = this.isRunning ? Math.max(Date.now(), this.last) : this.last;
    return [this.first, Math.max(to, this.first + 1000)];
  }

  #shown() {
    return this.window ?? this.whole;
  }

  #room() {
    return Math.max(50, this.rows.clientWidth - this.label - 12);
  }

  #at(time) {
    const [from, to] = this.#shown();
    return this.label + ((time - from) / (to - from)) * this.#room();
  }

  // The view

  #paint() {
    if (this.stale) this.#read();
    this.label = this.rows.clientWidth < NARROW ? 96 : 200;
    this.#paintChart();
    this.#paintRows();
  }

  #paintChart() {
    const [from, to] = this.#shown();
    const [room, now] = [Math.floor(this.#room()), Date.now()];
    const parts = [];
    this.chart.classList.toggle("is-empty", !this.lines.length);
    if (this.lines.length) {
      const counts = inFlight(this.all, from, to, room);
      const most = Math.max(this.model.cap, ...counts, 1);
      const height = (count) => CHART - (count / most) * (CHART - 14);
      const end = Math.min(room, Math.max(0, ((Math.min(now, to) - from) / (to - from)) * room));
      const line = counts.slice(0, Math.ceil(end)).map((count, at) => `L${this.label + at} ${height(count)}h1`).join("");
      parts.push(drawn("path", { class: "to-area", d: `M${this.label} ${CHART}${line}V${CHART}z` }));
      parts.push(drawn("text", { class: "to-label", x: 8, y: CHART + 16 }, "in flight"));
      if (this.model.cap) {
        const y = height(this.model.cap);
        parts.push(drawn("path", { class: "to-cap", d: `M${this.label} ${y}h${room}` }));
        parts.push(drawn("text", { class: "to-label", x: 8, y: y + 4 }, `cap ${this.model.cap}`));
      }
      const peak = Math.max(...counts);
      this.chart.setAttribute("aria-label", `Tasks in flight over time: at most ${peak}${this.model.cap ? `, the cap is ${this.model.cap}` : ""}`);
      parts.push(...this.#ticks(from, to), ...this.#now(CHART));
    }
    this.chart.replaceChildren(...parts);
  }

  #ticks(from, to) {
    const wanted = (to - from) / 1000 / Math.max(2, this.#room() / 90);
    const step = 1000 * (TICKS.find((size) => size >= wanted) ?? Math.ceil(wanted));
    const isClock = step >= 60_000 || to - from > 3_600_000;
    const found = [];
    for (let time = this.first + Math.ceil((from - this.first) / step) * step; time <= to; time += step) {
      const said = isClock ? new Date(time).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hour12: false }) : `${Number(((time - this.first) / 1000).toFixed(1))}s`;
      const x = this.#at(time);
      found.push(drawn("path", { class: "to-tick", d: `M${x} ${CHART}v5` }), drawn("text", { class: "to-label", x: x + 3, y: CHART + 16 }, said));
    }
    return found;
  }

  #now(height) {
    const [from, to] = this.#shown();
    const now = Date.now();
    if (!this.isRunning || now < from || now > to + 1000) return [];
    return [drawn("path", { class: "to-now", d: `M${this.#at(Math.min(now, to))} 0v${height}` })];
  }

  #paintRows() {
    const first = Math.max(0, Math.floor(this.rows.scrollTop / ROW) - 4);
    const last = Math.min(this.lines.length, first + Math.ceil(this.rows.clientHeight / ROW) + 9);
    const focused = document.activeElement?.dataset?.row;
    this.picture.style.top = `${first * ROW}px`;
    this.picture.setAttribute("height", Math.max(1, last - first) * ROW);
    const lines = this.lines.slice(first, last).map((line, at) => this.#line(line, at * ROW));
    this.picture.replaceChildren(this.#frame(), ...lines, ...this.#now((last - first) * ROW));
    if (focused) [...this.picture.querySelectorAll("[data-row]")].find((row) => row.dataset.row === focused)?.focus({ preventScroll: true });
  }

  /** Cut off bars at the left of the rows: a bar may begin before the time that is shown. */
  #frame() {
    return drawn("defs", {}, drawn("clipPath", { id: "to-bars" }, drawn("rect", { x: this.label, y: 0, width: this.#room() + 12, height: 10_000 })));
  }

  #line({ name, task, spans }, y) {
    const href = task && this.host.dataset.taskUrl ? address(this.host.dataset.taskUrl, { task }) : null;
    const text = drawn("text", { class: "to-label", x: 8, y: y + 16 }, fitted(name, this.label - 16, this.font));
    const bars = drawn("g", { "clip-path": "url(#to-bars)" }, ...spans.map((span) => this.#bar(span, y)).filter(Boolean));
    const told = spans.map((span) => this.#told(span)).slice(-8).join("; ");
    const row = href ? { href, "data-row": name, "aria-label": `${name}: ${told}` } : { role: "img", "aria-label": `${name}: ${told}` };
    return drawn("a", { class: "to-line", ...row }, drawn("rect", { class: "to-line-back", y, x: 0, width: "100%", height: ROW }), text, bars);
  }

  #bar(span, y) {
    const [from, to] = [this.#at(span.from), this.#at(span.to ?? Date.now())];
    if (to < this.label || from > this.label + this.#room() + 12) return null;
    const kind = span.end && span.end !== "completed" ? `has-stopped ${statusClass(span.end)}` : `span-${span.kind}`;
    const bar = { x: from, y: y + 4, width: Math.max(2, to - from), height: ROW - 8, rx: 2 };
    return drawn("rect", { class: `to-span ${kind}`, ...bar }, drawn("title", {}, this.#told(span)));
  }

  #told(span) {
    const took = duration(Math.max(0, (span.to ?? Date.now()) - span.from) / 1000);
    const parts = [this.byWorker ? `${span.task} ${span.kind}` : span.kind, took];
    if (span.attempt > 1) parts.push(`attempt ${span.attempt}`);
    if (span.end && span.end !== "completed") parts.push(span.end);
    if (span.worker && !this.byWorker) parts.push(`on ${span.worker}`);
    return parts.join(", ");
  }
}
