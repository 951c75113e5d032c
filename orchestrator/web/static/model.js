// A feature as the page knows it: what the server told first, and every change since.

import { RESOLVED } from "./statuses.js";

/** The tasks of a feature, with its counters. `batches` keeps, for each batch, how many tasks have each status. */
export class Model {
  constructor(snapshot) {
    this.cap = 0;
    this.open = 0;
    this.tasks = new Map();
    this.batches = new Map();
    this.critical = new Set(snapshot.critical_path ?? []);
    this.path = snapshot.critical_path ?? [];
    this.cycles = snapshot.cycles ?? [];
    this.apply(snapshot.feature?.feature ? snapshot.feature : snapshot, snapshot.tasks ?? []);
  }

  /**
   * Take over what a message of the stream says.
   *
   * @param feature The feature's own fields; null: unchanged.
   * @param lines Those of its tasks that changed. A line without a batch is of the open one, as in `--json`.
   * @returns The tasks that changed, and whether any is new or stands elsewhere: then the picture is laid out again.
   */
  apply(feature, lines) {
    if (feature) {
      this.cap = feature.cap ?? this.cap;
      this.open = feature.batch ?? this.open;
      this.name = feature.feature ?? this.name;
      this.title = feature.title ?? this.title;
    }
    let isMoved = false;
    const changed = lines.map((line) => {
      const before = this.tasks.get(line.task);
      const task = { attempt: 1, phase: "", title: "", ...line };
      task.batch = line.batch || this.open || before?.batch || 1;
      task.depends_on = line.depends_on ?? before?.depends_on ?? [];
      isMoved ||= !before || before.batch !== task.batch || before.depends_on.length !== task.depends_on.length;
      if (before) this.#count(before, -1);
      this.#count(task, 1);
      this.tasks.set(task.task, task);
      return task;
    });
    return { changed, isMoved };
  }

  /** The numbers of the batches, in order. */
  get numbers() {
    return [...this.batches.keys()].sort((one, other) => one - other);
  }

  /** How many tasks of a batch hold nothing up any more. */
  resolved(number) {
    return [...this.batches.get(number)].reduce((sum, [status, count]) => sum + (RESOLVED.has(status) ? count : 0), 0);
  }

  /** How many tasks a batch has. */
  size(number) {
    return [...this.batches.get(number).values()].reduce((sum, count) => sum + count, 0);
  }

  #count(task, step) {
    const counts = this.batches.get(task.batch) ?? new Map();
    const left = (counts.get(task.status) ?? 0) + step;
    if (left) counts.set(task.status, left);
    else counts.delete(task.status);
    if (counts.size) this.batches.set(task.batch, counts);
    else this.batches.delete(task.batch);
  }
}
