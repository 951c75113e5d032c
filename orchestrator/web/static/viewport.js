// The visible part of a drawing: zoom and pan by mouse, touch and keys.

const [SMALLEST, LARGEST] = [0.02, 2.5];
const STEP = 1.25;
const CLICK = 4; // pixels that a finger may shake

/** Moves the content of an SVG under its window. `changed` is called after each move. */
export class Viewport {
  #fingers = new Map();
  #dragged = 0;

  constructor(svg, changed) {
    [this.svg, this.changed] = [svg, changed];
    [this.x, this.y, this.scale] = [0, 0, 1];
    svg.addEventListener("pointerdown", (event) => this.#press(event));
    svg.addEventListener("pointermove", (event) => this.#move(event));
    for (const name of ["pointerup", "pointercancel"]) svg.addEventListener(name, (event) => this.#release(event));
    svg.addEventListener("click", (event) => this.#suppress(event), { capture: true });
    svg.addEventListener("dragstart", (event) => event.preventDefault());
    svg.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
  }

  get width() {
    return this.svg.clientWidth;
  }

  get height() {
    return this.svg.clientHeight;
  }

  get transform() {
    return `translate(${this.x} ${this.y}) scale(${this.scale})`;
  }

  /** The part of the drawing that is seen, with a margin around it (1: as much again on each side). */
  seen(margin = 0) {
    const [width, height] = [this.width / this.scale, this.height / this.scale];
    return {
      left: -this.x / this.scale - margin * width,
      top: -this.y / this.scale - margin * height,
      right: -this.x / this.scale + (1 + margin) * width,
      bottom: -this.y / this.scale + (1 + margin) * height,
    };
  }

  /** The point of the drawing under a point of the screen. */
  under(clientX, clientY) {
    const frame = this.svg.getBoundingClientRect();
    return { x: (clientX - frame.left - this.x) / this.scale, y: (clientY - frame.top - this.y) / this.scale };
  }

  panBy(x, y) {
    this.x += x;
    this.y += y;
    this.changed();
  }

  /** Zoom about a point of the window; its middle if none is given. */
  zoomBy(factor, x = this.width / 2, y = this.height / 2) {
    const scale = Math.min(LARGEST, Math.max(SMALLEST, this.scale * factor));
    this.x = x - ((x - this.x) * scale) / this.scale;
    this.y = y - ((y - this.y) * scale) / this.scale;
    this.scale = scale;
    this.changed();
  }

  zoomIn() {
    this.zoomBy(STEP);
  }

  zoomOut() {
    this.zoomBy(1 / STEP);
  }

  /** Show all of a drawing of this size, not larger than life. */
  fit(width, height) {
    const margin = 16;
    const whole = Math.min((this.width - 2 * margin) / width, (this.height - 2 * margin) / height, 1);
    this.centre(width / 2, height / 2, Math.max(whole, SMALLEST));
  }

  /** Have a point of the drawing in the middle, at some scale. */
  centre(x, y, scale) {
    this.scale = scale;
    this.x = this.width / 2 - x * scale;
    this.y = this.height / 2 - y * scale;
    this.changed();
  }

  /** Move as little as needed for a part of the drawing to be seen, large enough to be read. */
  reveal({ x, y, width, height }) {
    if (this.scale < 0.6) this.zoomBy(0.8 / this.scale, this.width / 2, this.height / 2);
    const margin = 24;
    const [left, top] = [x * this.scale + this.x, y * this.scale + this.y];
    const [right, bottom] = [left + width * this.scale, top + height * this.scale];
    const shift = (low, high, size) => (low < margin ? margin - low : Math.min(0, size - margin - high));
    const [dx, dy] = [shift(left, right, this.width), shift(top, bottom, this.height)];
    if (dx || dy) this.panBy(dx, dy);
  }

  #press(event) {
    this.#fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    if (this.#fingers.size === 1) this.#dragged = 0;
  }

  #move(event) {
    const before = this.#fingers.get(event.pointerId);
    if (!before) return;
    const now = { x: event.clientX, y: event.clientY };
    const other = [...this.#fingers].find(([id]) => id !== event.pointerId)?.[1];
    this.#dragged += Math.hypot(now.x - before.x, now.y - before.y);
    this.#fingers.set(event.pointerId, now);
    if (this.#dragged <= CLICK) return;
    // From here on it is a drag: the box under the finger is not clicked.
    if (!this.svg.hasPointerCapture(event.pointerId)) this.svg.setPointerCapture(event.pointerId);
    if (other) this.#pinch(before, now, other);
    else this.panBy(now.x - before.x, now.y - before.y);
  }

  #pinch(before, now, other) {
    const frame = this.svg.getBoundingClientRect();
    const reach = (finger) => Math.hypot(finger.x - other.x, finger.y - other.y) || 1;
    const middle = { x: (now.x + other.x) / 2 - frame.left, y: (now.y + other.y) / 2 - frame.top };
    this.zoomBy(reach(now) / reach(before), middle.x, middle.y);
  }

  #release(event) {
    this.#fingers.delete(event.pointerId);
  }

  #suppress(event) {
    if (this.#dragged > CLICK) {
      event.preventDefault();
      event.stopPropagation();
    }
    this.#dragged = 0;
  }

  #wheel(event) {
    // Without Ctrl the page scrolls on, unless somebody works in the drawing.
    if (!event.ctrlKey && !event.metaKey && !this.svg.contains(document.activeElement)) return;
    event.preventDefault();
    const frame = this.svg.getBoundingClientRect();
    this.zoomBy(Math.exp(-event.deltaY / 300), event.clientX - frame.left, event.clientY - frame.top);
  }
}
