// The spans of each task, read from the events of the feature.

import { moment } from "./statuses.js";

/** Events that begin a span, and what it is. */
const BEGINS = { task_launched: "queued", work_started: "running", gates_started: "testing", retry_scheduled: "delayed" };

/** How a span ends. Events that are not here end none. */
const ENDS = {
  task_launched: "", work_started: "", gates_started: "completed", retry_scheduled: "failed",
  implementation_complete: "completed", tests_passed: "completed", tests_failed: "failed", work_failed: "failed",
  blocker_detected: "blocked", worker_lost: "lost", work_handed_back: "handed-back", task_held: "on-hold",
  task_deferred: "deferred", task_skipped: "skipped", task_cancelled: "cancelled", attempt_ended: "",
  task_escalated: "", retry_requested: "", blocker_resolved: "", changes_requested: "",
};

/** The spans of a feature's tasks. */
export class Spans {
  constructor() {
    this.byTask = new Map();
    this.last = "";
  }

  /** Read events, oldest first. Those that were read before are passed over. */
  read(events) {
    for (const event of events) {
      if (event.id && !isLater(event.id, this.last)) continue;
      this.last = event.id ?? this.last;
      if (event.task && event.event in ENDS) this.#read(event);
    }
  }

  #read({ id, task, event, time, attempt = 1, worker = "" }) {
    const spans = this.byTask.get(task) ?? [];
    // An id begins with the milliseconds at which the event was written; the event's own time has whole seconds.
    const [open, at] = [spans.at(-1), id ? Number(id.split("-")[0]) : moment(time)];
    if (open && open.to === null) Object.assign(open, { to: at, end: open.kind === "running" || open.kind === "testing" ? ENDS[event] : "" });
    const kind = BEGINS[event];
    if (kind) spans.push({ task, kind, from: at, to: null, attempt, worker: worker || (kind === "testing" ? open?.worker ?? "" : ""), end: "" });
    if (spans.length) this.byTask.set(task, spans);
  }

  /**
   * The spans of a task. Where its events were deleted, what its state says of the last attempt.
   *
   * @param task As the model has it.
   */
  of(task) {
    const found = this.byTask.get(task.task);
    if (found) {
      const last = found.findLast((span) => span.kind === "running");
      if (last && !last.worker && task.worker) last.worker = task.worker;
      return found;
    }
    if (!task.started) return [];
    const to = task.finished ? moment(task.finished) : null;
    return [{ task: task.task, kind: "running", from: moment(task.started), to, attempt: task.attempt, worker: task.worker ?? "", end: to ? task.status : "" }];
  }
}

/** Whether an event comes after another one. An id is "milliseconds-number". */
function isLater(id, other) {
  const [one, two] = [id, other].map((text) => text.split("-").map(Number));
  return one[0] !== two[0] ? !(one[0] <= two[0]) : (one[1] ?? 0) > (two[1] ?? 0);
}

/** Put spans that do not overlap one behind the other: each worker does as many things at once as it has lanes. */
export function lanes(spans) {
  const found = new Map();
  for (const span of [...spans].sort((one, other) => one.from - other.from)) {
    const rows = found.get(span.worker) ?? [];
    const free = rows.find((row) => row.at(-1).to !== null && row.at(-1).to <= span.from);
    if (free) free.push(span);
    else rows.push([span]);
    found.set(span.worker, rows);
  }
  return [...found].sort(([one], [other]) => one.localeCompare(other))
    .flatMap(([worker, rows]) => rows.map((row, at) => ({ worker, lane: at + 1, spans: row })));
}

/** How many tasks were in flight, in `columns` equal parts of a time: the most of each part. */
export function inFlight(spans, from, to, columns) {
  const steps = [];
  for (const span of spans) {
    if (span.kind === "delayed") continue;
    steps.push([span.from, 1]);
    if (span.to !== null) steps.push([span.to, -1]);
  }
  // At the same moment, ends go before starts: an end makes room.
  steps.sort(([one, step], [other, next]) => one - other || step - next);
  const most = new Array(columns).fill(0);
  const column = (time) => Math.max(0, Math.min(columns - 1, Math.floor(((time - from) / (to - from)) * columns)));
  let [now, at] = [0, 0];
  for (const [time, step] of steps) {
    const here = time < from ? 0 : column(time);
    for (; at < here; at += 1) most[at + 1] = now;
    now += step;
    if (time <= to) most[here] = time < from ? now : Math.max(most[here], now);
  }
  for (; at < columns - 1; at += 1) most[at + 1] = now;
  return most;
}
