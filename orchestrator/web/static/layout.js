// Where each box stands. Sugiyama's layered layout, as orchestrator/report/layered_layout.py does it: a column for each
// batch, an arrow over several columns passes through a bend in each, sorting by the neighbours takes out crossings.

export const BOX = { width: 196, height: 46 };
const GAP = { row: 14, column: 72, cell: 12 };
const TOP = 44;
const BEND = 10;
const SWEEPS = 4;

/** Columns that are longer than this are broken into several, side by side. */
const LONGEST = 40;

/** With more boxes than this, nobody sees a crossing: they stay in their order, and arrows take the straight way. */
const MOST_SORTED = 1500;

/**
 * Lay boxes out.
 *
 * @param columns Each {name, boxes: [id]}.
 * @param arrows [start, end] pairs of ids.
 * @returns {{places: Map, heads: Array, routes: Array, width: number, height: number}} `places` has the left upper corner
 *   of each box, `heads` the place of each column's heading, `routes` for each arrow the points that it passes.
 */
export function layOut(columns, arrows) {
  const boxes = columns.reduce((sum, column) => sum + column.boxes.length, 0);
  const isSorted = boxes <= MOST_SORTED && columns.every((column) => column.boxes.length <= LONGEST);
  const nodes = columns.map((column) => [...column.boxes]);
  const chains = isSorted ? withBends(nodes, arrows) : arrows;
  if (isSorted) untangle(nodes, chains);
  return placed(columns, nodes, chains);
}

function withBends(nodes, arrows) {
  const columnOf = new Map(nodes.flatMap((column, at) => column.map((node) => [node, at])));
  return arrows.map(([start, end]) => {
    const chain = [start];
    for (let at = columnOf.get(start) + 1; at < columnOf.get(end); at += 1) {
      const bend = `\n${at}\n${start}`; // no id has a line break; arrows from the same box share their bends
      if (!columnOf.has(bend)) {
        columnOf.set(bend, at);
        nodes[at].push(bend);
      }
      chain.push(bend);
    }
    return [...chain, end];
  });
}

function untangle(nodes, chains) {
  const [before, after] = [new Map(), new Map()];
  const note = (map, key, node) => map.set(key, (map.get(key) ?? new Set()).add(node));
  for (const chain of chains) {
    for (let at = 1; at < chain.length; at += 1) {
      note(before, chain[at], chain[at - 1]);
      note(after, chain[at - 1], chain[at]);
    }
  }
  const height = new Map();
  const measure = (column) => column.forEach((node, at) => height.set(node, at - column.length / 2));
  nodes.forEach(measure);
  for (let turn = 0; turn < SWEEPS; turn += 1) {
    const [near, way] = turn % 2 ? [after, [...nodes].reverse()] : [before, nodes];
    for (const column of way) {
      const wish = new Map(column.map((node) => [node, average(near.get(node), height) ?? height.get(node)]));
      column.sort((one, other) => wish.get(one) - wish.get(other));
      measure(column);
    }
  }
}

function average(near, height) {
  if (!near) return null;
  return [...near].reduce((sum, node) => sum + height.get(node), 0) / near.size;
}

function placed(columns, nodes, chains) {
  const [places, bends, heads] = [new Map(), new Map(), []];
  const tallest = Math.max(0, ...nodes.map(heightOf));
  let left = 0;
  nodes.forEach((column, number) => {
    const rows = column.length > LONGEST ? Math.ceil(Math.sqrt(4 * column.length)) : column.length;
    const cells = Math.max(1, Math.ceil(column.length / rows));
    const top = TOP + (tallest - heightOf(column)) / 2;
    let [y, x] = [top, left];
    column.forEach((node, at) => {
      if (at && at % rows === 0) [y, x] = [top, x + BOX.width + GAP.cell];
      const isBend = node.startsWith("\n");
      (isBend ? bends : places).set(node, { x, y });
      y += (isBend ? BEND : BOX.height) + GAP.row;
    });
    const width = cells * (BOX.width + GAP.cell) - GAP.cell;
    heads.push({ ...columns[number], x: left, width });
    left += width + GAP.column;
  });
  const routes = chains.map((chain) => route(chain, places, bends));
  return { places, heads, routes, width: Math.max(0, left - GAP.column), height: TOP + tallest };
}

function heightOf(column) {
  const rows = column.length > LONGEST ? Math.ceil(Math.sqrt(4 * column.length)) : column.length;
  const bends = column.length > LONGEST ? 0 : column.filter((node) => node.startsWith("\n")).length;
  return rows * (BOX.height + GAP.row) - bends * (BOX.height - BEND) - GAP.row;
}

/** An arrow as a path: it leaves a box at its right, and comes to the next at its left. */
function route(chain, places, bends) {
  const [start, end] = [places.get(chain[0]), places.get(chain.at(-1))];
  let [x, y] = [start.x + BOX.width, start.y + BOX.height / 2];
  let line = `M${x} ${y}`;
  const curve = (toX, toY) => {
    const bow = toX > x ? Math.min(60, (toX - x) / 2) : 60;
    line += `C${x + bow} ${y} ${toX - bow} ${toY} ${toX} ${toY}`;
    [x, y] = [toX, toY];
  };
  for (const node of chain.slice(1, -1)) {
    const bend = bends.get(node);
    curve(bend.x, bend.y + BEND / 2);
    x += BOX.width;
    line += `H${x}`;
  }
  curve(end.x, end.y + BOX.height / 2);
  return { start: chain[0], end: chain.at(-1), line, head: `M${x} ${y}l-8 -4v8z` };
}
