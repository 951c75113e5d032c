// The graph of a feature: a box for each task, a column for each batch, arrows to what waits. Only what is seen is in the
// page, so that 10,000 tasks are as quick as ten.

import { address, atNextFrame, button, drawn, fitted, fontOf, html } from "./elements.js";
import { GraphKeys } from "./graph_keys.js";
import { BOX, layOut } from "./layout.js";
import { mostUrgent, saying, shape, statusClass, WORKING } from "./statuses.js";
import { Viewport } from "./viewport.js";

/** With more tasks than this, each batch is one box at first. */
export const MOST_UNFOLDED = 300;

/** More boxes than this at once have no text, and are one path for each status. */
const MOST_DETAILED = 400;

/** More arrows than this at once are left out. */
const MOST_ARROWS = 3000;

/** Smaller than this, nobody can read the boxes. */
const READABLE = 0.7;

/** The id of the box that a batch is folded into. No task has such an id. */
const foldId = (number) => `\t${number}`;

export class Graph {
  /**
   * @param host The element to draw in; its `data-task-url` is where a task leads to, with {task} in it.
   * @param model The feature.
   */
  constructor(host, model) {
    [this.host, this.model] = [host, model];
    [this.columns, this.folded] = [[], new Set()];
    this.#foldNew();
    this.drawnBoxes = new Map();
    this.fonts = { name: fontOf(13, 600), saying: fontOf(12) };
    this.#build();
    this.viewport = new Viewport(this.svg, atNextFrame(() => this.#look()));
    this.keys = new GraphKeys(this);
    this.paint = atNextFrame(() => this.#paint());
    this.layOut();
    this.begin();
    new ResizeObserver(() => this.viewport.changed()).observe(this.svg);
    setInterval(() => this.#tick(), 1000);
  }

  /** Show tasks that changed. Boxes that are not seen cost nothing. */
  update({ changed, isMoved }) {
    if (isMoved) this.layOut();
    const boxes = new Set(changed.map((task) => this.boxOf(task.task)));
    if (this.isDetailed) boxes.forEach((id) => this.drawnBoxes.has(id) && this.#fill(id));
    else this.paint();
    this.#sayHowFar(new Set(changed.map((task) => task.batch)));
  }

  /** Show a newer snapshot. The view does not move, and folded batches stay folded. */
  renew(model) {
    this.model = model;
    this.#foldNew();
    this.layOut();
  }

  #foldNew() {
    const known = new Set(this.columns.map(({ number }) => number));
    const isNew = (number) => !known.has(number) && this.model.size(number) > 1;
    if (this.model.tasks.size > MOST_UNFOLDED) this.model.numbers.filter(isNew).forEach((number) => this.folded.add(number));
  }

  /** The box that a task is in: its own, or that of its batch. */
  boxOf(task) {
    const { batch } = this.model.tasks.get(task);
    return this.folded.has(batch) ? foldId(batch) : task;
  }

  /** Fold a batch into one box, or unfold it. */
  toggle(number) {
    if (!this.folded.delete(number)) this.folded.add(number);
    this.layOut();
    const first = this.columns.find((column) => column.number === number).boxes[0];
    this.keys.select(first);
  }

  /** Fold or unfold all batches. */
  toggleAll() {
    const many = this.model.numbers.filter((number) => this.model.size(number) > 1);
    this.folded = new Set(this.folded.size ? [] : many);
    this.layOut();
    this.fit();
  }

  /** Show all of it. */
  fit() {
    this.viewport.fit(this.size.width, this.size.height);
  }

  /** Show all of it if that can be read; else the open batch. */
  begin() {
    const room = this.svg.clientWidth - 32;
    const scale = Math.min(1, Math.max(READABLE, room / this.size.width));
    this.svg.style.height = `${this.size.height * scale + 48}px`; // style.css has the least and the most
    this.fit();
    if (this.viewport.scale >= READABLE) return;
    const head = this.heads.find(({ number }) => number === this.model.open) ?? this.heads[0];
    const half = this.svg.clientWidth / READABLE / 2 - 24;
    const middle = Math.max(half, Math.min(this.size.width - half, head.x + head.width / 2));
    this.viewport.centre(middle, this.size.height / 2, READABLE);
  }

  /** Follow a box to where it leads: a task to its page, a folded batch to its tasks. */
  open(id) {
    if (id.startsWith("\t")) this.toggle(Number(id.slice(1)));
    else if (this.host.dataset.taskUrl) window.location.assign(this.#addressOf(id));
  }

  #addressOf(id) {
    return this.host.dataset.taskUrl ? address(this.host.dataset.taskUrl, { task: id }) : null;
  }

  // The layout

  layOut() {
    const members = new Map(this.model.numbers.map((number) => [number, []]));
    for (const task of this.model.tasks.values()) members.get(task.batch).push(task.task);
    this.columns = [...members].map(([number, tasks]) => ({
      number,
      boxes: this.folded.has(number) ? [foldId(number)] : tasks,
    }));
    const found = layOut(this.columns, this.#arrows());
    this.places = found.places;
    this.heads = found.heads;
    this.size = { width: found.width, height: found.height };
    this.routes = found.routes;
    const path = this.model.path.map((task) => this.model.tasks.has(task) && this.boxOf(task));
    this.marked = new Set(path.slice(1).map((box, at) => `${path[at]}\n${box}`));
    for (const cycle of this.model.cycles) {
      cycle.forEach((task, at) => this.marked.add(`${cycle[(at + 1) % cycle.length]}\n${task}`));
    }
    this.drawnBoxes.forEach((box) => box.remove());
    this.drawnBoxes.clear();
    this.foldButton.textContent = this.folded.size ? "Unfold all" : "Fold batches";
    this.foldButton.hidden = this.model.numbers.every((number) => this.model.size(number) < 2);
    this.#newHeadings();
    this.area = null;
    this.viewport.changed();
  }

  #arrows() {
    const found = new Map();
    for (const task of this.model.tasks.values()) {
      const end = this.boxOf(task.task);
      for (const dependency of task.depends_on) {
        if (!this.model.tasks.has(dependency)) continue;
        const start = this.boxOf(dependency);
        if (start !== end) found.set(`${start}\n${end}`, [start, end]);
      }
    }
    const arrows = [...found.values()];
    if (!this.folded.size) return arrows;
    // Of folded batches, only the arrows to the next column: the others lead past it anyway.
    const column = new Map(this.columns.flatMap(({ boxes }, at) => boxes.map((box) => [box, at])));
    const isFold = (box) => box.startsWith("\t");
    return arrows.filter(([start, end]) => !(isFold(start) || isFold(end)) || column.get(end) - column.get(start) === 1);
  }

  // The parts of the drawing

  #build() {
    const label = `Graph of ${this.model.title ?? "the feature"}`;
    this.arrows = drawn("path", { class: "to-arrows" });
    this.arrowHeads = drawn("path", { class: "to-arrow-heads" });
    this.markedArrows = drawn("path", { class: "to-arrows to-critical" });
    this.markedHeads = drawn("path", { class: "to-arrow-heads to-critical" });
    [this.backs, this.crowd, this.boxes] = ["to-backs", "to-crowd", "to-boxes"].map((name) => drawn("g", { class: name }));
    const lines = [this.arrows, this.arrowHeads, this.markedArrows, this.markedHeads];
    this.names = drawn("g", { class: "to-headings" });
    this.content = drawn("g", {}, this.backs, ...lines, this.crowd, this.boxes, this.names);
    this.svg = drawn("svg", { class: "to-drawing", role: "group", "aria-label": label }, this.content);
    this.foldButton = button("Fold batches", "Fold each batch to one box, or unfold all (F)", () => this.toggleAll());
    const tools = html("div", { class: "to-toolbar", role: "toolbar", "aria-label": "Graph" },
      button("+", "Zoom in (+)", () => this.viewport.zoomIn()),
      button("−", "Zoom out (-)", () => this.viewport.zoomOut()),
      button("Fit", "Show all (0)", () => this.fit()),
      this.foldButton);
    this.note = html("p", { class: "to-hint" });
    const isMarked = this.model.critical.size > 0;
    if (isMarked) tools.append(html("span", { class: "to-key" }, html("span", { class: "to-key-critical" }), "critical path"));
    this.host.replaceChildren(tools, this.svg, this.note);
    const wheel = "Drag to move, Ctrl and the wheel to zoom. Keys: arrows go from box to box, Enter opens, + − 0 zoom.";
    this.note.textContent = wheel;
  }

  #newHeadings() {
    this.headings = this.heads.map(({ number, x, width }) => {
      const place = { x: x - 14, y: 0, width: width + 28 };
      const text = drawn("text", { x: x + width / 2, y: 22, class: "to-heading" });
      const band = drawn("rect", { ...place, height: 32, class: "to-band" });
      const back = drawn("rect", { ...place, height: this.size.height + 14, rx: 10, class: "to-back" });
      return { number, text, band, back, x, width };
    });
    this.#sayHowFar(new Set(this.model.numbers));
  }

  #sayHowFar(batches) {
    const { open } = this.model;
    for (const { number, text, back, band } of this.headings) {
      if (!batches.has(number) && number !== open && number !== this.wasOpen) continue;
      const done = this.folded.has(number) ? "" : ` · ${this.model.resolved(number)} of ${this.model.size(number)}`;
      text.textContent = `Batch ${number}${done}`;
      for (const one of [back, band]) one.classList.toggle("is-open", number === open);
    }
    this.wasOpen = open;
  }

  // The view

  #look() {
    this.content.setAttribute("transform", this.viewport.transform);
    const [seen, drawnFor] = [this.viewport.seen(), this.area];
    const isInside = drawnFor && seen.left >= drawnFor.left && seen.right <= drawnFor.right && seen.top >= drawnFor.top
      && seen.bottom <= drawnFor.bottom && this.viewport.scale === drawnFor.scale;
    if (!isInside) this.#paint();
    // The headings stay in sight while their columns are longer than the window.
    this.names.setAttribute("transform", `translate(0 ${Math.max(0, Math.min(seen.top, this.size.height - 60))})`);
  }

  #paint() {
    this.area = { ...this.viewport.seen(0.4), scale: this.viewport.scale };
    const near = [...this.places].filter(([, place]) => this.#isNear(place)).map(([id]) => id);
    this.isDetailed = near.length <= MOST_DETAILED;
    this.svg.classList.toggle("is-crowded", !this.isDetailed);
    this.#paintBoxes(this.isDetailed ? near : []);
    this.#paintCrowd(this.isDetailed ? [] : near);
    this.#paintArrows(new Set(near));
    const shown = this.headings.filter(({ x, width }) => x < this.area.right && x + width > this.area.left).slice(0, MOST_DETAILED);
    this.backs.replaceChildren(...shown.map(({ back }) => back));
    this.names.replaceChildren(...shown.flatMap(({ band, text }) => [band, text]));
  }

  #isNear({ x, y }) {
    const { left, right, top, bottom } = this.area;
    return x < right && x + BOX.width > left && y < bottom && y + BOX.height > top;
  }

  #paintBoxes(ids) {
    const wanted = new Set(ids);
    const focused = document.activeElement?.dataset?.box;
    for (const [id, box] of this.drawnBoxes) {
      if (wanted.has(id) || id === focused) continue;
      box.remove();
      this.drawnBoxes.delete(id);
    }
    for (const id of ids) if (!this.drawnBoxes.has(id)) this.#fill(id);
    this.keys.keepOneInTabOrder();
  }

  /** Many boxes at once: one path for each status. */
  #paintCrowd(ids) {
    const paths = new Map();
    for (const id of ids) {
      const { x, y } = this.places.get(id);
      const name = statusClass(this.#stateOf(id).status);
      paths.set(name, `${paths.get(name) ?? ""}M${x} ${y}h${BOX.width}v${BOX.height}h-${BOX.width}z`);
    }
    this.crowd.replaceChildren(...[...paths].map(([name, d]) => drawn("path", { d, class: `to-crowded ${name}` })));
  }

  #paintArrows(near) {
    const seen = this.routes.filter(({ start, end }) => near.has(start) || near.has(end));
    const isTooMany = seen.length > MOST_ARROWS;
    const isMarked = ({ start, end }) => this.marked.has(`${start}\n${end}`);
    const [plain, marked] = [isTooMany ? [] : seen.filter((route) => !isMarked(route)), seen.filter(isMarked)];
    this.arrows.setAttribute("d", plain.map(({ line }) => line).join(""));
    this.arrowHeads.setAttribute("d", plain.map(({ head }) => head).join(""));
    this.markedArrows.setAttribute("d", marked.map(({ line }) => line).join(""));
    this.markedHeads.setAttribute("d", marked.map(({ head }) => head).join(""));
  }

  #stateOf(id) {
    if (!id.startsWith("\t")) return this.model.tasks.get(id);
    const number = Number(id.slice(1));
    const counts = this.model.batches.get(number);
    return { number, counts, status: mostUrgent([...counts.keys()]), size: this.model.size(number) };
  }

  #fill(id) {
    const state = this.#stateOf(id);
    const texts = state.counts ? this.#foldTexts(state) : this.#taskTexts(state);
    const known = this.drawnBoxes.get(id);
    const box = known ?? this.#newBox(id);
    const isCritical = state.counts ? this.model.path.some((task) => this.boxOf(task) === id) : this.model.critical.has(id);
    box.setAttribute("class", `to-box ${statusClass(state.status)}${state.counts ? " is-fold" : ""}${isCritical ? " is-critical" : ""}`);
    box.setAttribute("aria-label", `${texts.label}${isCritical ? ", on the critical path" : ""}`);
    const [, , sign, name, saying, bar] = box.children;
    sign.setAttribute("d", shape(state.status));
    if (name.textContent !== texts.name) name.textContent = texts.name;
    if (saying.textContent !== texts.saying) saying.textContent = texts.saying;
    box.firstChild.textContent = texts.label;
    bar.setAttribute("width", BOX.width * texts.part);
  }

  #newBox(id) {
    const { x, y } = this.places.get(id);
    const isFold = id.startsWith("\t");
    const href = isFold ? null : this.#addressOf(id);
    const role = isFold ? { role: "button", "aria-expanded": "false" } : href ? { href } : { role: "img" };
    const place = { x, y, width: BOX.width, height: BOX.height };
    const box = drawn("a", { ...role, "data-box": id, tabindex: -1, transform: `translate(${x} ${y})` },
      drawn("title"),
      drawn("rect", { width: place.width, height: place.height, rx: 6, class: "to-frame" }),
      drawn("path", { class: "to-sign", transform: "translate(10 8) scale(.8)" }),
      drawn("text", { x: 30, y: 19, class: "to-name" }),
      drawn("text", { x: 30, y: 36, class: "to-saying" }),
      drawn("rect", { y: BOX.height - 4, height: 4, class: "to-part" }));
    if (isFold) box.addEventListener("click", () => this.open(id));
    this.drawnBoxes.set(id, box);
    this.boxes.append(box);
    return box;
  }

  #taskTexts(task) {
    const said = saying(task, Date.now());
    const label = `${task.task}${task.title ? ` ${task.title}` : ""}, ${said}, batch ${task.batch}`;
    const part = WORKING.has(task.status) && task.percent != null ? Math.min(1, task.percent / 100) : 0;
    return { name: this.#name(task.title ? `${task.task} ${task.title}` : task.task), saying: this.#say(said), label, part };
  }

  #foldTexts({ number, counts, size }) {
    const done = this.model.resolved(number);
    const worst = ["failed", "blocked", "in-progress"].filter((status) => counts.has(status));
    const said = [`${done} of ${size} done`, ...worst.map((status) => `${counts.get(status)} ${status}`)];
    const label = `Batch ${number}: ${said.join(", ")}. Enter unfolds it.`;
    return { name: this.#name(`Batch ${number} · ${size} tasks`), saying: this.#say(said.join(" · ")), label, part: done / size };
  }

  #name(text) {
    return fitted(text, BOX.width - 38, this.fonts.name);
  }

  #say(text) {
    return fitted(text, BOX.width - 38, this.fonts.saying);
  }

  #tick() {
    if (!this.isDetailed || document.hidden) return;
    for (const id of this.drawnBoxes.keys()) if (WORKING.has(this.#stateOf(id).status)) this.#fill(id);
  }
}
