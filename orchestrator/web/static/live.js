// News from the server while the page is open: changes of the feature, the log of a task, the answer to a decision.

import { html } from "./elements.js";

/**
 * Follow the stream of a feature. The browser connects again by itself, and goes on where it was.
 *
 * @param element Has `data-stream`, the address.
 * @param told Called with each message.
 * @param reload Called where the server cannot tell the changes one by one.
 */
export function follow(element, told, reload) {
  const start = new URL(element.dataset.stream, window.location);
  if (element.dataset.streamAfter) start.searchParams.set("after", element.dataset.streamAfter);
  const source = new EventSource(start);
  source.addEventListener("open", () => connected("live"));
  source.addEventListener("error", () => connected(source.readyState === EventSource.CLOSED ? "closed" : "reconnecting…"));
  source.addEventListener("change", (event) => told(JSON.parse(event.data)));
  source.addEventListener("reload", reload);
  window.addEventListener("pagehide", () => source.close());
  return source;
}

function connected(word) {
  for (const place of document.querySelectorAll("[data-connection]")) {
    if (place.textContent !== word) place.textContent = word;
    place.dataset.connection = word;
  }
}

/** Put the fragments that the server rendered in their places. One that somebody types in waits until they leave it. */
export class Parts {
  #waiting = new Map();

  constructor() {
    document.addEventListener("focusout", () => setTimeout(() => this.show(Object.fromEntries(this.#waiting))));
  }

  show(parts) {
    for (const [name, markup] of Object.entries(parts)) {
      this.#waiting.delete(name);
      const place = document.querySelector(`[data-part="${CSS.escape(name)}"]`);
      if (!place || place.dataset.shown === markup) continue;
      const typing = document.activeElement?.closest?.("input, textarea, select");
      if (typing && place.contains(typing)) {
        this.#waiting.set(name, markup);
        continue;
      }
      const focused = place.contains(document.activeElement) ? nameOf(document.activeElement) : null;
      place.innerHTML = markup; // the server's own template, which escapes every text
      place.dataset.shown = markup;
      tellTimes(place);
      if (focused) [...place.querySelectorAll("a, button, summary")].find((one) => nameOf(one) === focused)?.focus();
    }
  }
}

function nameOf(element) {
  return `${element.tagName} ${element.closest("[data-task]")?.dataset.task ?? ""} ${element.textContent.trim()}`;
}

/** Put new events before the others, as the server writes them. */
export function listEvents(list, events) {
  for (const event of events) {
    const cause = event.cause ? ` (${event.cause})` : "";
    const note = event.note ? `: ${event.note}` : "";
    const text = ` ${event.task ?? ""}${event.status ? ` → ${event.status}` : ""}${cause}${note}`;
    const by = event.by ? [" ", html("small", {}, `by ${event.by}`)] : [];
    const time = html("time", { datetime: event.time }, event.time);
    list.prepend(html("li", {}, time, " ", html("b", {}, event.event.replaceAll("_", " ")), text, ...by));
  }
  const most = Number(list.dataset.most ?? 200);
  while (list.children.length > most) list.lastElementChild.remove();
  tellTimes(list);
}

/** Show moments in the reader's time zone; the title has the full date. */
export function tellTimes(place) {
  for (const time of place.querySelectorAll("time")) {
    const at = new Date(time.dateTime);
    if (time.textContent !== time.dateTime || Number.isNaN(at.valueOf())) continue;
    const isToday = at.toDateString() === new Date().toDateString();
    const clock = at.toLocaleTimeString([], { hour12: false });
    time.title = time.dateTime;
    time.textContent = isToday ? clock : `${at.toLocaleDateString()} ${clock}`;
  }
}

/**
 * Follow the log of a task. It stays at its end, unless somebody has scrolled up to read.
 *
 * @param log Has `data-log`, the address, in which `attempt` says which attempt's output it shows already.
 */
export function followLog(log) {
  const start = new URL(log.dataset.log, window.location);
  const source = new EventSource(start);
  let attempt = Number(start.searchParams.get("attempt") ?? NaN);
  log.scrollTop = log.scrollHeight;
  source.addEventListener("log", (event) => {
    const part = JSON.parse(event.data);
    const isAtEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
    if (part.attempt !== attempt) log.textContent = "";
    attempt = part.attempt;
    log.append(part.text);
    if (isAtEnd) log.scrollTop = log.scrollHeight;
  });
  source.addEventListener("over", () => source.close());
  window.addEventListener("pagehide", () => source.close());
}

/** Send decisions without leaving the page. Without JavaScript the form does it. */
export function sendDecisions() {
  document.addEventListener("submit", async (event) => {
    const form = event.target.closest("form[data-decision]");
    if (!form) return;
    event.preventDefault();
    const buttons = [...form.querySelectorAll("button")];
    const asked = new URLSearchParams(new FormData(form, event.submitter));
    buttons.forEach((one) => (one.disabled = true));
    try {
      // Not form.action: a button may be named so.
      const answer = await fetch(form.getAttribute("action"), { method: "POST", body: asked, headers: { Accept: "application/json" } });
      const said = await answer.json().catch(() => ({}));
      if (answer.ok) form.closest("dialog, details[open]")?.removeAttribute("open");
      say(said.message ?? said.error?.message ?? `${answer.status} ${answer.statusText}`, answer.ok);
    } catch (error) {
      say(`The server did not answer: ${error.message}. Is Flower running?`, false);
    } finally {
      buttons.forEach((one) => (one.disabled = false));
    }
  });
}

/** Say something in the corner of the page, and to a screen reader. */
export function say(text, isGood) {
  const place = document.getElementById("toast-container") ?? document.body;
  const close = html("button", { type: "button", class: "btn-close", "aria-label": "Close" });
  const toast = html("div", { class: `toast show to-toast ${isGood ? "is-good" : "is-bad"}`, role: isGood ? "status" : "alert" },
    html("div", { class: "toast-body" }, html("span", {}, text), close));
  close.addEventListener("click", () => toast.remove());
  place.append(toast);
  if (isGood) setTimeout(() => toast.remove(), 6000);
}
