// Bytes of the backups that the time line shows, and what drills measured.

const GUTTER = 62; // pixels left of a chart, for its scale
const bytes = { canvas: byId("bytes-canvas"), shown: [], each: 1, slot: 1, left: GUTTER };

function drawBytes() {
  const width = bytes.canvas.parentElement.clientWidth;
  const height = 300;
  bytes.shown = graph.backups.filter((backup) => backup.time >= lanes.from && backup.time <= lanes.to);
  byId("bytes-note").textContent = bytes.shown.length ? `${plural(bytes.shown.length, "backup")} in the time line's view, oldest first` : "";
  byId("bytes-legend").hidden = !graph.backups.length;
  const context = cleared(bytes.canvas, width, graph.backups.length ? height : 30);
  if (!graph.backups.length) return drawNothing(context, 30, "No backups yet.");
  if (!bytes.shown.length) return drawNothing(context, height, "No backup in this view.");
  bytes.slot = Math.min(46, (width - GUTTER - 6) / bytes.shown.length);
  const held = linearScale(bytes.shown.map((backup) => backup.bytes), 146, 24);
  const sent = logScale(bytes.shown.map((backup) => backup.sent), 272, 192);
  heading(context, "Holds, by tier", 8);
  drawScale(context, held, GUTTER, width, roundSize);
  drawTiers(context, held);
  heading(context, "Sent, on a logarithmic scale", 172);
  drawScale(context, sent, GUTTER, width, roundSize);
  drawSent(context, sent);
  drawEnds(context, width, 291);
}

function heading(context, text, y) {
  context.textAlign = "left";
  context.textBaseline = "middle";
  context.fillStyle = colours.ink;
  context.fillText(text, GUTTER, y);
}

function drawNothing(context, height, text) {
  context.textBaseline = "middle";
  context.fillStyle = colours.quiet;
  context.fillText(text, 0, height / 2);
}

const slotX = (at) => GUTTER + 3 + at * bytes.slot;

// Where a slot is less than a pixel several backups share a bar, that of the greatest.
function drawTiers(context, scale) {
  const each = Math.max(1, Math.ceil(1 / bytes.slot));
  const between = bytes.slot >= 3 ? Math.max(1, bytes.slot * 0.25) : 0;
  for (let at = 0; at < bytes.shown.length; at += each) {
    const group = bytes.shown.slice(at, at + each);
    const backup = group.reduce((a, b) => (b.bytes > a.bytes ? b : a));
    const left = Math.round(slotX(at) + between / 2);
    const wide = Math.max(1, Math.round(slotX(at + each) - between / 2) - left);
    context.globalAlpha = group.some((one) => !isFaint(one)) ? 1 : 0.25;
    let below = 0;
    for (const [amount, colour] of [[backup.cold, colours.cold], [backup.hot, colours.hot], [backup.log, colours.logbytes]]) {
      const [top, bottom] = [scale.y(below + amount), scale.y(below)];
      context.fillStyle = colour;
      context.fillRect(left, top, wide, bottom - top);
      below += amount;
    }
  }
  context.globalAlpha = 1;
  const picked = bytes.shown.indexOf(pick.backup);
  if (picked < 0) return;
  const x = slotX(picked) + bytes.slot / 2;
  const wide = Math.max(4, bytes.slot - between);
  const top = scale.y(pick.backup.bytes);
  context.strokeStyle = colours.accent;
  context.lineWidth = 2;
  context.strokeRect(x - wide / 2 - 1.5, top - 1.5, wide + 3, scale.y(0) - top + 2);
  context.lineWidth = 1;
}

function drawSent(context, scale) {
  const small = bytes.slot < 5 ? 0.6 : 0.9;
  for (const full of [false, true]) {
    bytes.shown.forEach((backup, at) => {
      if (backup.full !== full) return;
      context.globalAlpha = isFaint(backup) ? 0.22 : bytes.slot < 2 ? 0.75 : 1;
      drawBackup(context, slotX(at) + bytes.slot / 2, scale.y(backup.sent), { ...backup, hold: null }, small);
    });
  }
  context.globalAlpha = 1;
  const picked = bytes.shown.indexOf(pick.backup);
  if (picked >= 0) ring(context, slotX(picked) + bytes.slot / 2, scale.y(pick.backup.sent), 8, colours.accent, 2.2);
}

function drawEnds(context, width, y) {
  const [first, last] = [bytes.shown[0], bytes.shown.at(-1)];
  context.fillStyle = colours.quiet;
  context.textBaseline = "middle";
  context.textAlign = "left";
  context.fillText(`${minute(first.created)} UTC`, GUTTER, y);
  if (bytes.shown.length < 2) return;
  const right = slotX(bytes.shown.length);
  context.textAlign = "right";
  if (right - GUTTER > 260) context.fillText(`${minute(last.created)} UTC`, Math.min(width, right), y);
}

function listenToBytes() {
  const under = (event) => {
    const at = Math.floor((event.offsetX - GUTTER - 3) / bytes.slot);
    return bytes.shown[at];
  };
  bytes.canvas.addEventListener("mousemove", (event) => {
    const backup = under(event);
    bytes.canvas.style.cursor = backup ? "pointer" : "default";
    if (!backup) return tell(event, null);
    tell(event, named(backup), [...backupRows(backup), ["in all", size(backup.bytes)]]);
  });
  bytes.canvas.addEventListener("mouseleave", (event) => tell(event, null));
  bytes.canvas.addEventListener("click", (event) => {
    const backup = under(event);
    select(backup ? backup.at : null);
  });
  const entries = [["cold tier", "cold"], ["hot tier", "hot"], ["log", "logbytes"]];
  byId("bytes-legend").replaceChildren(
    ...entries.map(([name, colour]) => element("span", {}, element("i", { class: "swatch", style: `background:var(--${colour})` }), name)),
  );
}

const drills = { canvas: byId("drills-canvas"), left: GUTTER, x: () => 0 };

function drawDrills() {
  if (!graph.drills.length) return;
  const width = drills.canvas.parentElement.clientWidth;
  const context = cleared(drills.canvas, width, 250);
  const times = graph.drills.map((drill) => drill.finished);
  const [first, last] = [times[0], times.at(-1)];
  const pad = Math.max((last - first) * 0.04, HOUR / 2);
  drills.x = (time) => GUTTER + ((time - first + pad) / (last - first + 2 * pad)) * (width - GUTTER);
  const measured = (name) => graph.drills.map((drill) => drill[name]).filter((value) => value !== null);
  const rto = logScale([...measured("first_query_seconds"), ...measured("hydrated_seconds")], 128, 24);
  const rpo = linearScale(measured("rpo_seconds"), 216, 168, 2);
  for (const [time, text] of ticks(first - pad, last + pad, width - GUTTER)) {
    const x = Math.round(drills.x(time)) + 0.5;
    context.strokeStyle = colours.faint;
    line(context, x, 18, x, 222);
    context.fillStyle = colours.quiet;
    context.textAlign = "center";
    if (x + 20 < width) context.fillText(text, x, 238);
  }
  heading(context, "RTO: until the first answer, and until all is local (logarithmic)", 8);
  drawScale(context, rto, GUTTER, width, duration10);
  drawSeries(context, rto, "hydrated_seconds", colours.cold);
  drawSeries(context, rto, "first_query_seconds", colours.good);
  heading(context, "RPO: how much was lost", 152);
  drawScale(context, rpo, GUTTER, width, duration10);
  drawSeries(context, rpo, "rpo_seconds", colours.hot);
  for (const drill of graph.drills) if (!drill.ok) cross(context, drills.x(drill.finished), 128);
}

// For round values of a scale.
function duration10(seconds) {
  if (seconds >= 3600) return `${+(seconds / 3600).toPrecision(3)} h`;
  if (seconds >= 120) return `${+(seconds / 60).toPrecision(3)} min`;
  return seconds >= 1 || seconds === 0 ? `${+seconds.toPrecision(3)} s` : `${+(seconds * 1000).toPrecision(3)} ms`;
}

function drawSeries(context, scale, name, colour) {
  const points = graph.drills.filter((drill) => drill[name] !== null).map((drill) => [drills.x(drill.finished), scale.y(drill[name])]);
  context.strokeStyle = context.fillStyle = colour;
  context.lineWidth = 1.5;
  context.beginPath();
  points.forEach(([x, y], at) => (at ? context.lineTo(x, y) : context.moveTo(x, y)));
  context.stroke();
  context.lineWidth = 1;
  if (points.length > 150) return;
  for (const [x, y] of points) {
    context.beginPath();
    context.arc(x, y, 3, 0, 2 * Math.PI);
    context.fill();
  }
}

function listenToDrills() {
  if (!graph.drills.length) {
    byId("drills").replaceChildren(element("p", { class: "empty" }, "No drill yet: nobody has tried whether these backups can be restored."));
    return;
  }
  drills.canvas.addEventListener("mousemove", (event) => {
    const away = (drill) => Math.abs(drills.x(drill.finished) - event.offsetX);
    const near = graph.drills.reduce((a, b) => (away(b) < away(a) ? b : a));
    if (away(near) < 12) tell(event, near.ok ? "Drill" : "Drill that failed", drillRows(near));
    else tell(event, null);
  });
  drills.canvas.addEventListener("mouseleave", (event) => tell(event, null));
  const failed = graph.drills.filter((drill) => !drill.ok).length;
  byId("drills-note").textContent = `${plural(graph.drills.length, "drill")}, ${failed ? `${count(failed)} failed` : "none failed"}`;
  const entries = [["first answer", "good"], ["all local", "cold"], ["RPO", "hot"], ["failed", "bad"]];
  byId("drills-legend").replaceChildren(
    ...entries.map(([name, colour]) => element("span", {}, element("i", { class: "swatch", style: `background:var(--${colour})` }), name)),
  );
  byId("drills-list").replaceChildren(drillTable());
}

const DRILL_ROWS = 50;

function drillTable() {
  const names = [["Finished", ""], ["", ""], ["First answer", "number"], ["All local", "number"], ["RPO", "number"], ["Recall", "number"], ["Problems", ""]];
  const rows = graph.drills.slice(-DRILL_ROWS).reverse().map((drill) => element(
    "tr", {},
    element("td", { class: "time" }, moment(drill.finished)),
    element("td", { class: drill.ok ? "good" : "bad" }, drill.ok ? "ok" : "failed"),
    ...[drill.first_query_seconds, drill.hydrated_seconds, drill.rpo_seconds].map((seconds) => element("td", { class: "number" }, duration(seconds))),
    element("td", { class: "number" }, drill.recall === null ? "" : drill.recall.toFixed(4)),
    element("td", { class: "wide" }, drill.problems.join("; ")),
  ));
  const more = graph.drills.length > DRILL_ROWS ? element("caption", { class: "quiet" }, `the newest ${DRILL_ROWS} of ${count(graph.drills.length)}`) : "";
  return element("table", {}, more, element("thead", {}, element("tr", {}, names.map(([name, kind]) => element("th", { class: kind }, name)))), element("tbody", {}, rows));
}
