// The keys of the graph. One box is in the tab order; arrows go from there to the others.

import { BOX } from "./layout.js";

export class GraphKeys {
  constructor(graph) {
    this.graph = graph;
    this.current = null;
    graph.svg.addEventListener("keydown", (event) => this.#press(event));
    graph.svg.addEventListener("focusin", (event) => this.#note(event.target.dataset?.box));
    graph.svg.addEventListener("click", (event) => this.#touch(event));
  }

  /** Go to a box: it is moved into view, and has the focus. */
  select(id) {
    this.#note(id);
    this.graph.viewport.reveal({ ...this.graph.places.get(id), ...BOX });
    // The next frame paints the view.
    requestAnimationFrame(() => requestAnimationFrame(() => {
      this.keepOneInTabOrder();
      this.graph.drawnBoxes.get(id)?.focus({ preventScroll: true });
    }));
  }

  /** Exactly one of the boxes that are drawn can be reached by Tab. */
  keepOneInTabOrder() {
    const boxes = this.graph.drawnBoxes;
    const chosen = boxes.has(this.current) ? this.current : boxes.keys().next().value;
    for (const [id, box] of boxes) box.setAttribute("tabindex", id === chosen ? 0 : -1);
    // Where boxes are too many to be drawn one by one, the drawing itself takes the keys.
    if (boxes.size) this.graph.svg.removeAttribute("tabindex");
    else this.graph.svg.setAttribute("tabindex", 0);
  }

  #note(id) {
    if (!id || id === this.current) return;
    this.current = id;
    this.keepOneInTabOrder();
  }

  #press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { graph } = this;
    const ways = {
      ArrowLeft: () => this.#across(-1),
      ArrowRight: () => this.#across(1),
      ArrowUp: () => this.#along(-1),
      ArrowDown: () => this.#along(1),
      Home: () => this.select(graph.columns[0].boxes[0]),
      End: () => this.select(graph.columns.at(-1).boxes[0]),
      Enter: () => this.#enter(),
      " ": () => this.#enter(),
      "+": () => graph.viewport.zoomIn(),
      "=": () => graph.viewport.zoomIn(),
      "-": () => graph.viewport.zoomOut(),
      0: () => graph.fit(),
      f: () => graph.toggleAll(),
    };
    const panned = { ArrowLeft: [80, 0], ArrowRight: [-80, 0], ArrowUp: [0, 80], ArrowDown: [0, -80] }[event.key];
    if (event.shiftKey && panned) graph.viewport.panBy(...panned);
    else if (ways[event.key] && !(event.shiftKey && event.key === "f")) ways[event.key]();
    else return;
    event.preventDefault();
  }

  #enter() {
    if (this.current && this.graph.places.has(this.current)) this.graph.open(this.current);
  }

  #along(step) {
    const { column, at } = this.#position();
    const next = this.graph.columns[column].boxes[at + step];
    if (next) this.select(next);
  }

  /** To the next column: along an arrow if there is one, else to the nearest box. */
  #across(step) {
    const { column, id } = this.#position();
    const next = this.graph.columns[column + step];
    if (!next) return;
    const linked = this.graph.routes.find(({ start, end }) =>
      step > 0 ? start === id && next.boxes.includes(end) : end === id && next.boxes.includes(start));
    if (linked) return void this.select(step > 0 ? linked.end : linked.start);
    const { y } = this.graph.places.get(id);
    const distance = (box) => Math.abs(this.graph.places.get(box).y - y);
    this.select(next.boxes.reduce((best, box) => (distance(box) < distance(best) ? box : best)));
  }

  #position() {
    const { columns } = this.graph;
    const found = columns.findIndex(({ boxes }) => boxes.includes(this.current));
    const column = Math.max(0, found);
    const id = found < 0 ? columns[0].boxes[0] : this.current;
    return { column, id, at: columns[column].boxes.indexOf(id) };
  }

  /** A click among boxes that are too many to be drawn one by one goes to the box under it. */
  #touch(event) {
    if (this.graph.isDetailed) return;
    const { x, y } = this.graph.viewport.under(event.clientX, event.clientY);
    for (const [id, place] of this.graph.places) {
      const isInside = x >= place.x && x <= place.x + BOX.width && y >= place.y && y <= place.y + BOX.height;
      if (isInside) return void this.select(id);
    }
  }
}
