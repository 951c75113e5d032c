// The list of a feature's tasks by batch: rows follow what happens, and a batch is written when it is opened.

import { address, html } from "./elements.js";
import { duration, spent, statusClass } from "./statuses.js";

const COLUMNS = ["Status", "Task", "Specialist", "Worker", "Attempt", "Took", "Note"];

/** More rows of one batch are no use to look at. */
const MOST = 500;

/** Write a batch's tasks when it is opened, if the server did not. `page.model` has them. */
export function listWhenOpened(page, taskUrl) {
  for (const batch of document.querySelectorAll("details[data-batch]")) {
    batch.addEventListener("toggle", () => {
      if (batch.open && !batch.querySelector("table")) batch.append(...table(page.model, Number(batch.dataset.batch), taskUrl));
    });
  }
}

function table(model, number, taskUrl) {
  const tasks = [...model.tasks.values()].filter((task) => task.batch === number);
  const heads = COLUMNS.map((name) => html("th", { scope: "col" }, name));
  const made = html("table", { class: "table table-sm align-middle" }, html("thead", {}, html("tr", {}, ...heads)),
    html("tbody", {}, ...tasks.slice(0, MOST).map((task) => row(task, taskUrl))));
  const left = tasks.length - MOST;
  const note = left > 0 ? [html("p", { class: "to-hint" }, `${left.toLocaleString("en")} more are in the graph and the timeline.`)] : [];
  return [html("div", { class: "table-responsive" }, made), ...note];
}

function row(task, taskUrl) {
  const link = taskUrl ? html("a", { href: address(taskUrl, { task: task.task }) }, task.task) : task.task;
  const title = task.title && task.title !== task.task ? ` ${task.title}` : "";
  const cell = (name, ...children) => html("td", { "data-cell": name }, ...children);
  const made = html("tr", { "data-task": task.task }, cell("status"), cell("title", link, title),
    ...["specialist", "worker", "attempt", "seconds", "note"].map((name) => cell(name)));
  fill(made, task);
  return made;
}

/** Write what changed into the rows of tasks that are in the page. */
export function fillRows(tasks) {
  for (const task of tasks) {
    document.querySelectorAll(`tr[data-task="${CSS.escape(task.task)}"]`).forEach((made) => fill(made, task));
  }
}

function fill(made, task) {
  const took = spent(task, Date.now());
  const texts = {
    specialist: task.specialist?.title || task.specialist?.name,
    worker: task.worker,
    attempt: task.attempt ?? 1,
    seconds: took === null ? "" : duration(took),
    note: task.note || task.phase || task.said,
  };
  for (const cell of made.querySelectorAll("[data-cell]")) {
    const { cell: name } = cell.dataset;
    if (name === "status") cell.replaceChildren(html("span", { class: `status ${statusClass(task.status)}` }, task.status));
    else if (name in texts) cell.textContent = texts[name] ?? "";
  }
}
