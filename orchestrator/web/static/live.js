// What the server tells while the page is open: changes of the feature, the log of a task, the answer to a decision.

import { html } from "./elements.js";
import { duration, moment, statusClass } from "./statuses.js";

/**
 * Follow the stream of a feature. The browser connects again by itself, and goes on where it was.
 *
 * @param element Has `data-stream`, the address.
 * @param told Called with each message.
 * @param reload Called where the server cannot tell the changes one by one.
 */
export function follow(element, told, reload) {
  const after = element.dataset.streamAfter;
  const start = after ? `${element.dataset.stream}?after=${encodeURIComponent(after)}` : element.dataset.stream;
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
      if (focused) [...place.querySelectorAll("a, button, summary")].find((one) => nameOf(one) === focused)?.focus();
    }
  }
}

function nameOf(element) {
  return `${element.tagName} ${element.closest("[data-task]")?.dataset.task ?? ""} ${element.textContent.trim()}`;
}

/** Write what changed into the rows of tasks that are in the page. */
export function fillRows(tasks) {
  for (const task of tasks) {
    for (const row of document.querySelectorAll(`tr[data-task="${CSS.escape(task.task)}"]`)) {
      row.querySelectorAll("[data-cell]").forEach((cell) => fillCell(cell, task));
    }
  }
}

function fillCell(cell, task) {
  const { started, finished } = task;
  const took = started ? ((finished ? moment(finished) : Date.now()) - moment(started)) / 1000 : null;
  const texts = {
    title: task.title || task.task,
    phase: task.phase,
    specialist: task.specialist?.title || task.specialist?.name,
    worker: task.worker,
    attempt: task.attempt,
    seconds: took === null ? "" : duration(Math.max(0, took)),
    note: task.note || task.said,
  };
  if (cell.dataset.cell === "status") cell.replaceChildren(html("span", { class: `status ${statusClass(task.status)}` }, task.status));
  else if (cell.dataset.cell in texts) cell.textContent = texts[cell.dataset.cell] ?? "";
}

/** Put new events before the others. */
export function listEvents(list, events) {
  const most = Number(list.dataset.most ?? 200);
  for (const event of events) {
    const time = new Date(moment(event.time)).toLocaleTimeString([], { hour12: false });
    const more = [event.cause, event.note, event.percent && `${event.percent} %`, event.worker].filter(Boolean).join(" · ");
    list.prepend(html("li", {}, html("time", { datetime: event.time }, time), " ",
      html("b", {}, event.event.replaceAll("_", " ")), " ", [event.task, more].filter(Boolean).join(": ")));
  }
  while (list.children.length > most) list.lastElementChild.remove();
}

/** Follow the log of a task. It stays at its end, unless somebody has scrolled up to read. */
export function followLog(log) {
  const source = new EventSource(log.dataset.log);
  let attempt = null;
  source.addEventListener("log", (event) => {
    const part = JSON.parse(event.data);
    const isAtEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
    if (attempt !== null && part.attempt !== attempt) log.textContent = "";
    if (attempt === null && part.whole) log.textContent = "";
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
