// The time line: a lane for each timeline; in it from above restores, drills and snapshots; the windows with the backups; the log.

const AXIS = 26; // pixels above the lanes
const lanes = { canvas: byId("lanes-canvas"), order: [], row: new Map(), height: 60, width: 0, from: 0, to: 1, first: 0, last: 1, brush: null };

function layLanes() {
  const seen = new Set();
  const visit = (line) => {
    if (seen.has(line.at)) return;
    seen.add(line.at);
    lanes.order.push(line);
    line.children.sort((a, b) => (a.forkTime ?? a.created) - (b.forkTime ?? b.created)).forEach(visit);
  };
  graph.lines.filter((line) => !graph.lines[line.parent]).forEach(visit);
  graph.lines.forEach(visit); // whatever forks in a circle
  lanes.order.forEach((line, row) => lanes.row.set(line.at, row));
  lanes.height = lanes.order.length <= 4 ? 64 : lanes.order.length <= 10 ? 52 : 42;
  const spans = [...graph.windows, ...graph.gaps, ...graph.log];
  const times = [
    graph.generated,
    ...spans.flatMap((span) => [span.first, span.last]),
    ...graph.backups.flatMap((backup) => [backup.time, backup.created]),
    ...graph.lines.flatMap((line) => [line.created, line.forkTime]),
    ...graph.restores.map((restore) => restore.finished),
    ...graph.drills.map((drill) => drill.finished),
  ].filter((time) => time !== null);
  const first = times.reduce((a, b) => Math.min(a, b));
  const last = times.reduce((a, b) => Math.max(a, b));
  const pad = Math.max((last - first) * 0.015, 30e3);
  [lanes.first, lanes.last] = [first - pad, last + pad];
  [lanes.from, lanes.to] = [lanes.first, lanes.last];
  nameLanes();
}

function nameLanes() {
  const databases = new Set(graph.lines.map((line) => line.database)).size;
  const names = lanes.order.map((line) => {
    const said = plural(line.backups.length, "backup") + (line.fence === null ? "" : ", ended");
    const title = [`timeline ${line.id}`, `of database ${line.database}`, line.fence === null ? "" : `ended at commit ${count(line.fence)}`, line.current ? "the current one" : ""];
    return element(
      "div",
      { class: `name${line.current ? " current" : ""}`, style: `height:${lanes.height}px`, title: title.filter(Boolean).join("\n") },
      element("div", { class: "mono" }, line.current ? element("span", { class: "good" }, "● ") : "", short(line.id)),
      element("div", { class: "quiet" }, said),
      databases > 1 && lanes.height > 50 ? element("div", { class: "quiet" }, `db ${line.database.slice(0, 8)}`) : "",
    );
  });
  byId("names").replaceChildren(...names);
}

const xOf = (time) => ((time - lanes.from) / (lanes.to - lanes.from)) * lanes.width;
const timeAt = (x) => lanes.from + (x / lanes.width) * (lanes.to - lanes.from);
const laneTop = (line) => AXIS + lanes.row.get(line) * lanes.height;
const eventY = (line) => laneTop(line) + lanes.height * 0.17;
const backupY = (line) => laneTop(line) + lanes.height * 0.53;
const logY = (line) => laneTop(line) + lanes.height - (lanes.height > 50 ? 9 : 6);

function drawLanes() {
  if (!lanes.order.length) {
    byId("lanes-section").classList.add("none");
    byId("range").textContent = "No timeline archives here yet.";
    return;
  }
  lanes.width = byId("plot").clientWidth;
  const height = AXIS + lanes.order.length * lanes.height;
  const context = cleared(lanes.canvas, lanes.width, height);
  byId("range").textContent = `${minute(lanes.from)} to ${minute(lanes.to)} UTC`;
  drawTimeAxis(context, height);
  drawSpans(context);
  drawForks(context);
  drawEvents(context);
  drawMarks(context);
  drawRelations(context);
  if (lanes.brush) drawBrush(context, height);
  drawStrip();
}

function drawTimeAxis(context, height) {
  context.textBaseline = "middle";
  context.textAlign = "left";
  for (const [time, text] of ticks(lanes.from, lanes.to, lanes.width)) {
    const x = Math.round(xOf(time)) + 0.5;
    context.strokeStyle = colours.faint;
    line(context, x, 0, x, height);
    context.fillStyle = colours.quiet;
    if (x + context.measureText(text).width + 5 < lanes.width) context.fillText(text, x + 5, 12);
  }
  context.strokeStyle = colours.line;
  lanes.order.forEach((_, row) => line(context, 0, AXIS + row * lanes.height + 0.5, lanes.width, AXIS + row * lanes.height + 0.5));
  const now = Math.round(xOf(graph.generated)) + 0.5;
  context.setLineDash([2, 3]);
  context.strokeStyle = colours.quiet;
  line(context, now, AXIS, now, height);
  context.setLineDash([]);
}

// Left end and width of a span, cut at the edges; null if it is out of sight.
function extent(span, least) {
  const [left, right] = [Math.max(-4, xOf(span.first)), Math.min(lanes.width + 4, xOf(span.last))];
  if (right < 0 || left > lanes.width || !lanes.row.has(span.line)) return null;
  return [left, Math.max(least, right - left)];
}

function drawSpans(context) {
  const high = lanes.height * 0.4;
  for (const span of graph.windows) {
    const found = extent(span, 2);
    if (found) drawWindow(context, found[0], backupY(span.line) - high / 2, found[1], high);
  }
  context.fillStyle = colours.log;
  for (const span of graph.log) {
    const found = extent(span, 1.5);
    if (found) context.fillRect(found[0], logY(span.line) - 1.5, found[1], 3);
  }
  for (const gap of graph.gaps) {
    const found = extent(gap, 5);
    if (found) drawGap(context, found[0], laneTop(gap.line) + 4, found[1], lanes.height - 7);
  }
}

function drawForks(context) {
  context.strokeStyle = colours.fork;
  const forks = graph.lines.filter((line) => lanes.row.has(line.parent)).map((line) => [line.parent, line.at, line.forkSeq, line.forkTime]);
  for (const [parent, child, , time] of [...forks, ...graph.forks]) {
    const created = graph.lines[child].created;
    const x = Math.round(xOf(time ?? created)) + 0.5;
    const [top, bottom] = [backupY(parent), backupY(child)];
    const turn = Math.sign(bottom - top) * 8;
    context.lineWidth = 1.4;
    context.beginPath();
    context.moveTo(x, top);
    context.lineTo(x, bottom - turn);
    context.quadraticCurveTo(x, bottom, x + 8, bottom);
    context.stroke();
    context.setLineDash([2, 3]);
    line(context, x + 8, bottom, Math.max(x + 8, xOf(created)), bottom);
    context.setLineDash([]);
    context.beginPath();
    context.arc(x, top, 2.6, 0, 2 * Math.PI);
    context.fillStyle = colours.fork;
    context.fill();
  }
  context.lineWidth = 1;
}

function drawEvents(context) {
  const put = (line, time, draw) => {
    const x = xOf(time);
    if (lanes.row.has(line) && x > -6 && x < lanes.width + 6) draw(x, eventY(line));
  };
  for (const snapshot of graph.snapshots) put(snapshot.line, snapshot.time, (x, y) => drawSnapshot(context, x, y));
  for (const drill of graph.drills) put(drill.timeline, drill.finished, (x, y) => drawDrill(context, x, y, drill.ok));
  for (const restore of graph.restores) put(placeOf(restore), restore.finished, (x, y) => drawRestore(context, x, y, restore.error));
}

// A restore lies on the timeline that it made, or else on the one that it came from.
const placeOf = (restore) => (lanes.row.has(restore.timeline) ? restore.timeline : restore.from);

// A picked backup and those that it is related to stand out. Where marks would cover each other they become strokes.
function drawMarks(context) {
  for (const line of lanes.order) {
    const seen = line.backups.map((backup) => [backup, xOf(backup.time)]).filter(([, x]) => x > -8 && x < lanes.width + 8);
    if (!seen.length) continue;
    const across = Math.max(1, seen.at(-1)[1] - seen[0][1]);
    for (const full of [false, true]) {
      const marks = seen.filter(([backup]) => backup.full === full);
      const draw = across / marks.length < (full ? 11 : 7) && marks.length > 1 ? drawStroke : drawBackup;
      for (const faint of [true, false]) drawSort(context, marks.filter(([backup]) => isFaint(backup) === faint), faint, draw);
    }
  }
  context.globalAlpha = 1;
}

function drawSort(context, marks, faint, draw) {
  const drawn = new Set();
  context.globalAlpha = faint ? 0.2 : 1;
  for (const [backup, x] of marks) {
    const place = `${Math.round(x)} ${backup.listed} ${backup.hold === null}`;
    if (drawn.has(place)) continue;
    drawn.add(place);
    draw(context, x, backupY(backup.line), backup, lanes.height < 50 ? 0.85 : 1);
  }
}

function isFaint(backup) {
  if (pick.backup !== null) return backup !== pick.backup && !pick.related.has(backup.at);
  return pick.shown !== null && !pick.shown.has(backup.at);
}

function drawRelations(context) {
  const picked = pick.backup;
  if (picked === null || !lanes.row.has(picked.line)) return;
  const [x, y] = [xOf(picked.time), backupY(picked.line)];
  const many = pick.related.size > 60;
  context.strokeStyle = colours.accent;
  context.globalAlpha = many ? 0.35 : 0.7;
  for (const [at, how] of pick.related) {
    const other = graph.backups[at];
    if (lanes.row.has(other.line)) arc(context, xOf(other.time), backupY(other.line), x, y, how === "reuses" ? -1 : 1);
  }
  context.globalAlpha = 1;
  drawBackup(context, x, y, picked, 1.25);
  ring(context, x, y, 10, colours.accent, 2.2);
}

// Above the lane to what it reuses, below it to what reuses it.
function arc(context, x1, y1, x2, y2, side) {
  const rise = Math.min(lanes.height * 0.62, 8 + Math.abs(x2 - x1) * 0.3);
  context.beginPath();
  context.moveTo(x1, y1);
  context.quadraticCurveTo((x1 + x2) / 2, (y1 + y2) / 2 + side * rise, x2, y2);
  context.stroke();
}

function drawBrush(context, height) {
  const [left, right] = [Math.min(...lanes.brush), Math.max(...lanes.brush)];
  context.globalAlpha = 0.16;
  context.fillStyle = colours.accent;
  context.fillRect(left, AXIS, right - left, height - AXIS);
  context.globalAlpha = 1;
  context.strokeStyle = colours.accent;
  line(context, left, AXIS, left, height);
  line(context, right, AXIS, right, height);
}

// What lies at a place: {backup} or {title, rows}, or null.
function whatIsAt(x, y) {
  const row = Math.floor((y - AXIS) / lanes.height);
  const line = lanes.order[row];
  if (y < AXIS || !line) return null;
  return nearBackup(line, x, y) || nearEvent(line, x, y) || spanAt(line, x, y);
}

function nearBackup(line, x, y) {
  if (Math.abs(y - backupY(line.at)) > lanes.height * 0.3) return null;
  let [found, least] = [null, 9];
  for (const backup of line.backups) {
    const away = Math.abs(xOf(backup.time) - x) + (backup.full ? -0.5 : 0);
    if (away < least) [found, least] = [backup, away];
  }
  return found && { backup: found, title: named(found), rows: backupRows(found) };
}

function backupRows(backup) {
  return [
    ["kind", [backup.full ? "full" : "incremental", backup.listed ? "" : "unlisted", backup.hold === null ? "" : "held"].filter(Boolean).join(", ")],
    ["holds", `commit ${count(backup.seq)}, ${moment(backup.time)}`],
    ["hot", size(backup.hot)],
    ["cold", size(backup.cold)],
    ["log", size(backup.log)],
    ["sent", size(backup.sent)],
  ];
}

function nearEvent(line, x, y) {
  if (Math.abs(y - eventY(line.at)) > 8) return null;
  const near = (time) => Math.abs(xOf(time) - x) < 7;
  const restore = graph.restores.find((restore) => placeOf(restore) === line.at && near(restore.finished));
  if (restore) return { title: restore.error ? "Restore that failed" : "Restore", rows: restoreRows(restore) };
  const drill = graph.drills.find((drill) => drill.timeline === line.at && near(drill.finished));
  if (drill) return { title: drill.ok ? "Drill" : "Drill that failed", rows: drillRows(drill) };
  const snapshot = line.snapshots.find((snapshot) => snapshot.time !== null && near(snapshot.time));
  return snapshot ? { title: `Snapshot ${snapshot.name}`, rows: [["commit", count(snapshot.seq)], ["at", moment(snapshot.time)]] } : null;
}

function restoreRows(restore) {
  const backup = graph.backups[restore.backup];
  return [
    ["to", `commit ${count(restore.seq)}, ${moment(restore.time)}`],
    ["of timeline", lineName(restore.from)],
    ["from backup", backup ? named(backup) : short(String(restore.backup))],
    ["finished", moment(restore.finished)],
    ["took", `${duration(restore.seconds)}${restore.lazy ? ", lazily" : ""}`],
    ["attached", restore.attached ? "yes" : "no"],
    ["error", restore.error],
  ];
}

function drillRows(drill) {
  return [
    ["finished", moment(drill.finished)],
    ["first query", duration(drill.first_query_seconds)],
    ["all local", duration(drill.hydrated_seconds)],
    ["RPO", duration(drill.rpo_seconds)],
    ["recall", drill.recall === null ? "" : drill.recall.toFixed(4)],
    ["problems", drill.problems.join("; ")],
  ];
}

function spanAt(line, x, y) {
  const time = timeAt(x);
  const slack = (4 * (lanes.to - lanes.from)) / lanes.width;
  const under = (spans, slack) => spans.find((span) => span.line === line.at && time >= span.first - slack && time <= span.last + slack);
  const gap = under(graph.gaps, slack);
  if (gap) return { title: "Gap", rows: [...spanRows(gap), ["why", gap.why]] };
  const log = Math.abs(y - logY(line.at)) < 6 && under(graph.log, 0);
  if (log) return { title: "Archived log", rows: spanRows(log) };
  const window = under(graph.windows, 0);
  return window ? { title: "Restorable", rows: [...spanRows(window), ["pointer", moment(time)]] } : null;
}

const spanRows = (span) => [["commits", commits(span.firstSeq, span.lastSeq).replace(/^commits? /, "")], ["from", moment(span.first)], ["to", moment(span.last)]];
