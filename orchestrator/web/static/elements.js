// Elements of HTML and SVG. Texts go in as text, so that no title is ever read as markup.

const SVG = "http://www.w3.org/2000/svg";

/** An element of SVG. */
export function drawn(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

/** An element of HTML. */
export function html(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** A button of a toolbar. `label` is what a screen reader says, and a pointer sees. */
export function button(text, label, pressed) {
  const made = html("button", { type: "button", class: "to-button", "aria-label": label, title: label }, text);
  made.addEventListener("click", pressed);
  return made;
}

/** Run a function at the next frame, once, however often it is asked for. */
export function atNextFrame(run) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      run();
    });
  };
}

/** The address of something, from a template such as "/features/login-1/tasks/{task}". */
export function address(template, values) {
  return template.replace(/\{(\w+)\}/g, (_, name) => encodeURIComponent(values[name] ?? ""));
}

const ruler = document.createElement("canvas").getContext("2d");

/** A text that is not wider than some pixels in a font, with "…" where it is cut. */
export function fitted(text, width, font) {
  ruler.font = font;
  if (ruler.measureText(text).width <= width) return text;
  const letters = [...text];
  let [fits, most] = [0, letters.length];
  while (most - fits > 1) {
    const middle = (fits + most) >> 1;
    if (ruler.measureText(`${letters.slice(0, middle).join("")}…`).width <= width) fits = middle;
    else most = middle;
  }
  return `${letters.slice(0, fits).join("").trimEnd()}…`;
}

/** The font of a drawing, which is that of the page. */
export function fontOf(size, weight = 400) {
  return `${weight} ${size}px ${getComputedStyle(document.body).fontFamily}`;
}
