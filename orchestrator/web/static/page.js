// The script of every page of features: it looks which parts the page has, and joins them to the server.

import { Graph } from "./graph.js";
import { follow, followLog, listEvents, Parts, say, sendDecisions, tellTimes } from "./live.js";
import { Model } from "./model.js";
import { fillRows, listWhenOpened } from "./rows.js";
import { Timeline } from "./timeline.js";

let isLeaving = false;
window.addEventListener("pagehide", () => (isLeaving = true));

const find = (selector) => document.querySelector(selector);

async function start() {
  sendDecisions();
  tellTimes(document);
  takeDroppedFiles();
  document.querySelectorAll("[data-log]").forEach(followLog);
  const [live, graphHost, timelineHost] = [find("[data-stream]"), find("[data-graph]"), find("[data-timeline]")];
  const page = { parts: new Parts(), live };
  if (live) page.source = follow(live, (message) => take(page, message), () => draw(page, graphHost, timelineHost));
  if (graphHost) await draw(page, graphHost, timelineHost);
}

/** Read the snapshot, and draw it. Messages that come meanwhile wait. */
async function draw(page, graphHost, timelineHost) {
  page.waiting = [];
  const snapshot = await read(graphHost);
  if (!snapshot) return;
  if (!page.model) listWhenOpened(page, graphHost.dataset.taskUrl);
  page.model = new Model(snapshot);
  if (page.graph) page.graph.renew(page.model);
  else page.graph = new Graph(graphHost, page.model);
  if (timelineHost) page.timeline ??= new Timeline(timelineHost, page.model);
  if (page.timeline) page.timeline.model = page.model;
  const early = page.waiting;
  page.waiting = null;
  early.forEach((message) => take(page, message));
  if (page.timeline && timelineHost.dataset.events) await readEvents(page.timeline, timelineHost.dataset.events);
}

async function read(host) {
  const source = host.dataset.graph;
  try {
    if (source.startsWith("#")) return JSON.parse(find(source).textContent);
    const answer = await fetch(source, { headers: { Accept: "application/json" } });
    if (!answer.ok) throw new Error(`${answer.status} ${answer.statusText}`);
    return await answer.json();
  } catch (error) {
    if (!isLeaving) host.textContent = `The graph cannot be drawn: ${error.message}. Load the page again, or use the list below.`;
    return null;
  }
}

function take(page, message) {
  page.parts.show(message.parts ?? {});
  fillRows(message.tasks ?? []);
  const list = find("[data-events-list]");
  if (list) listEvents(list, message.events ?? []);
  if (page.waiting) return void page.waiting.push(message);
  if (!page.model) return;
  const change = page.model.apply(message.feature, message.tasks ?? []);
  page.graph?.update(change);
  page.timeline?.take(message.events ?? []);
}

/** The events of the past, a thousand at a time. Those that come live wait for them. */
async function readEvents(timeline, url) {
  try {
    for (let after = "-"; after; ) {
      const answer = await fetch(`${url}?after=${encodeURIComponent(after)}&limit=1000`);
      if (!answer.ok) throw new Error(`${answer.status} ${answer.statusText}`);
      const part = await answer.json();
      timeline.update(part.events ?? []);
      after = part.after ?? "";
    }
  } catch (error) {
    if (!isLeaving) say(`The timeline lacks the past: ${error.message}. Load the page again.`, false);
  }
  timeline.goLive();
}

/** A feature file that is dropped on the form goes into its text. */
function takeDroppedFiles() {
  const form = find("form[data-drop]");
  const text = form?.querySelector("textarea");
  if (!text) return;
  form.addEventListener("dragover", (event) => event.preventDefault());
  form.addEventListener("drop", async (event) => {
    const [file] = event.dataTransfer.files;
    if (!file) return;
    event.preventDefault();
    text.value = await file.text();
    text.dispatchEvent(new Event("input", { bubbles: true }));
  });
}

start();
