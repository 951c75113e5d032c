// The look of a status: its shape, so that colour is never the only sign, and how urgent it is.
// The colours are in style.css, one class for each status.

// Paths in a square of 16 by 16. They are stroked, not filled.
const DOT = "M8 5a3 3 0 1 0 .01 0";
const SHAPES = {
  backlog: DOT,
  pending: DOT,
  queued: "M3 8h.01M8 8h.01M13 8h.01",
  "in-progress": "M5 3l8 5-8 5z",
  testing: "M6 2v5l-3.5 6h11L10 7V2M5 2h6",
  "in-review": "M1 8q7-9 14 0q-7 9-14 0M8 6a2 2 0 1 0 .01 0",
  "changes-requested": "M4 6h6a3.5 3.5 0 0 1 0 7H6M7 2L3 6l4 4",
  blocked: "M8 2a6 6 0 1 0 .01 0M4 4l8 8",
  "on-hold": "M5 3v10M11 3v10",
  deferred: "M8 2a6 6 0 1 0 .01 0M8 4.5V8l2.5 2",
  failed: "M3 3l10 10M13 3L3 13",
  completed: "M2 8.5l4 4 8-9",
  skipped: "M3 3l5 5-5 5M9 3l5 5-5 5",
  cancelled: "M3 8h10",
};

/** From what a person has to look at to what is over; a box that stands for many shows the first that it has. */
export const URGENCY = [
  "failed", "blocked", "on-hold", "deferred", "in-review", "in-progress", "testing", "changes-requested",
  "pending", "backlog", "cancelled", "skipped", "completed",
];

/** Statuses in which a worker may hold the task. */
export const WORKING = new Set(["in-progress", "testing"]);

/** Statuses after which a task holds nothing up. */
export const RESOLVED = new Set(["completed", "skipped"]);

/** The path of a status, in a square of 16 by 16. */
export function shape(status) {
  return SHAPES[status] ?? DOT;
}

/** The class that style.css colours. A status of an operator's own flow has a name of letters, digits and dashes. */
export function statusClass(status) {
  return `status-${String(status).replace(/[^a-z0-9-]/gi, "")}`;
}

/** The most urgent of some statuses. */
export function mostUrgent(statuses) {
  const rank = (status) => (URGENCY.includes(status) ? URGENCY.indexOf(status) : -1);
  return statuses.reduce((found, status) => (rank(status) < rank(found) ? status : found));
}

/** The text of a box below its name: "in-progress · 3m", "queued", "failed · attempt 2". */
export function saying(task, now) {
  const isWorking = WORKING.has(task.status);
  const parts = [!isWorking && task.phase ? task.phase : task.status];
  const seconds = spent(task, now);
  if (isWorking && task.percent != null) parts.push(`${Math.round(task.percent)} %`);
  if (seconds != null && (isWorking || task.finished)) parts.push(duration(seconds));
  if (task.attempt > 1) parts.push(`attempt ${task.attempt}`);
  return parts.join(" · ");
}

/** How many seconds the last attempt of a task has taken; null: it has not begun. */
export function spent(task, now) {
  if (task.finished || !WORKING.has(task.status)) return task.seconds ?? null;
  return task.started ? Math.max(task.seconds ?? 0, (now - moment(task.started)) / 1000) : null;
}

/** Milliseconds since the epoch of a moment as answers write it. */
export function moment(text) {
  return Date.parse(text);
}

/** Seconds as the command line writes them: 250ms, 4.5s, 45s, 3m 10s, 1h 30m. */
export function duration(seconds) {
  if (seconds < 0.9995) return `${Math.round(seconds * 1000)}ms`;
  if (seconds < 9.95) return `${Number(seconds.toFixed(1))}s`;
  const whole = Math.round(seconds);
  const units = [[86400, "d"], [3600, "h"], [60, "m"], [1, "s"]];
  const first = units.findIndex(([size]) => whole >= size);
  const [[size, unit], next] = [units[first], units[first + 1]];
  const rest = next ? Math.floor((whole % size) / next[0]) : 0;
  return `${Math.floor(whole / size)}${unit}${rest ? ` ${rest}${next[1]}` : ""}`;
}
