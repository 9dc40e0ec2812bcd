// Moving about in the time line: wheel, drag, buttons, keys, and the strip that shows all of it.

const LEAST = 2000; // milliseconds across the plot

function look(from, to) {
  const span = Math.min(Math.max(to - from, LEAST), lanes.last - lanes.first);
  const middle = (from + to) / 2;
  const left = Math.min(Math.max(middle - span / 2, lanes.first), lanes.last - span);
  [lanes.from, lanes.to] = [left, left + span];
  redraw();
}

function zoom(factor, x = lanes.width / 2) {
  const time = timeAt(x);
  look(time - (time - lanes.from) * factor, time + (lanes.to - time) * factor);
}

function move(share) {
  const by = (lanes.to - lanes.from) * share;
  look(lanes.from + by, lanes.to + by);
}

const isAll = () => lanes.to - lanes.from >= (lanes.last - lanes.first) * 0.9999;

function listenToLanes() {
  const canvas = lanes.canvas;
  let pressed = null;
  canvas.addEventListener("wheel", (event) => {
    const sideways = event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY);
    if (!sideways && event.deltaY > 0 && isAll()) return; // so that the page can be scrolled past it
    event.preventDefault();
    if (sideways) move(((event.deltaX || event.deltaY) / lanes.width) * 0.8);
    else zoom(Math.exp(Math.max(-1, Math.min(1, event.deltaY / 300))), event.offsetX);
  }, { passive: false });
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    pressed = { x: event.offsetX, y: event.offsetY };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (pressed && Math.abs(event.offsetX - pressed.x) > 4) lanes.brush = [pressed.x, event.offsetX];
    if (lanes.brush) {
      tell(event, `${moment(timeAt(Math.min(...lanes.brush)))}`, [["to", moment(timeAt(Math.max(...lanes.brush)))]]);
      redraw();
    } else hover(event);
  });
  canvas.addEventListener("pointerup", (event) => {
    if (!pressed) return;
    pressed = null;
    tell(event, null);
    if (lanes.brush) {
      const [from, to] = lanes.brush.map(timeAt).sort((a, b) => a - b);
      lanes.brush = null;
      look(from, to);
    } else {
      const found = whatIsAt(event.offsetX, event.offsetY);
      select(found && found.backup ? found.backup.at : null);
    }
  });
  canvas.addEventListener("pointercancel", () => { pressed = lanes.brush = null; redraw(); });
  canvas.addEventListener("pointerleave", (event) => tell(event, null));
  canvas.addEventListener("dblclick", () => look(lanes.first, lanes.last));
  canvas.addEventListener("keydown", lanesKey);
  canvas.setAttribute("aria-label", `${plural(lanes.order.length, "timeline")} with ${plural(graph.backups.length, "backup")} over time`);
  byId("zoom-in").onclick = () => zoom(0.5);
  byId("zoom-out").onclick = () => zoom(2);
  byId("earlier").onclick = () => move(-0.5);
  byId("later").onclick = () => move(0.5);
  byId("reset").onclick = () => look(lanes.first, lanes.last);
  listenToStrip();
}

function hover(event) {
  const found = whatIsAt(event.offsetX, event.offsetY);
  lanes.canvas.style.cursor = found && found.backup ? "pointer" : "crosshair";
  tell(event, found && found.title, found && found.rows);
}

function lanesKey(event) {
  const keys = {
    ArrowLeft: () => (event.shiftKey ? move(-0.25) : step(-1)),
    ArrowRight: () => (event.shiftKey ? move(0.25) : step(1)),
    ArrowUp: () => stepLane(-1),
    ArrowDown: () => stepLane(1),
    "+": () => zoom(0.5), "=": () => zoom(0.5), "-": () => zoom(2), 0: () => look(lanes.first, lanes.last), z: zoomToPicked,
    Home: () => stepTo(0), End: () => stepTo(-1),
  };
  if (!keys[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  keys[event.key]();
}

// The lane that keys walk on: the picked backup's, or that of the current timeline.
function walked() {
  const line = pick.backup ? graph.lines[pick.backup.line] : graph.lines.find((line) => line.current && line.backups.length);
  return line || lanes.order.find((line) => line.backups.length);
}

function step(by) {
  const line = walked();
  if (!line) return;
  const at = pick.backup ? line.backups.indexOf(pick.backup) + by : line.backups.length - 1;
  const next = line.backups[Math.min(Math.max(at, 0), line.backups.length - 1)];
  if (next) select(next.at, true);
}

function stepTo(at) {
  const line = walked();
  if (line && line.backups.length) select(line.backups.at(at).at, true);
}

// The backup nearest in time on the next lane that has any.
function stepLane(by) {
  const from = pick.backup;
  if (!from) return step(0);
  for (let row = lanes.row.get(from.line) + by; lanes.order[row]; row += by) {
    const [first, ...others] = lanes.order[row].backups;
    if (first) return select(others.reduce((a, b) => (Math.abs(b.time - from.time) < Math.abs(a.time - from.time) ? b : a), first).at, true);
  }
}

// Moves the plot, without zooming, until a backup is in it.
function reveal(backup) {
  if (backup.time >= lanes.from && backup.time <= lanes.to) return;
  const half = (lanes.to - lanes.from) / 2;
  look(backup.time - half, backup.time + half);
}

// Zooms to the picked backup and all that it is related to.
function zoomToPicked() {
  if (!pick.backup) return;
  const times = [pick.backup.at, ...pick.related.keys()].map((at) => graph.backups[at].time);
  const [first, last] = [times.reduce((a, b) => Math.min(a, b)), times.reduce((a, b) => Math.max(a, b))];
  const pad = Math.max((last - first) * 0.15, (lanes.last - lanes.first) * 0.005);
  look(first - pad, last + pad);
}

const STRIP = 30;

function drawStrip() {
  const width = lanes.width;
  const context = cleared(byId("strip-canvas"), width, STRIP);
  const x = (time) => ((time - lanes.first) / (lanes.last - lanes.first)) * width;
  const bins = new Map();
  for (const backup of graph.backups) {
    const at = Math.floor(x(backup.time) / 3);
    bins.set(at, (bins.get(at) || 0) + 1);
  }
  const most = [...bins.values()].reduce((a, b) => Math.max(a, b), 1);
  context.fillStyle = colours.incremental;
  context.globalAlpha = 0.6;
  for (const [at, many] of bins) {
    const high = 4 + (many / most) * (STRIP - 12);
    context.fillRect(at * 3, STRIP - 3 - high, 2, high);
  }
  context.globalAlpha = 1;
  context.fillStyle = colours.bad;
  for (const gap of graph.gaps) context.fillRect(x(gap.first), 3, Math.max(2, x(gap.last) - x(gap.first)), STRIP - 6);
  const [left, right] = [x(lanes.from), x(lanes.to)];
  context.globalAlpha = 0.7;
  context.fillStyle = colours.faint;
  context.fillRect(0, 0, left, STRIP);
  context.fillRect(right, 0, width - right, STRIP);
  context.globalAlpha = 1;
  context.strokeStyle = isAll() ? colours.line : colours.accent;
  context.strokeRect(Math.max(0.5, left), 0.5, Math.max(3, Math.min(width - 0.5, right) - Math.max(0.5, left)), STRIP - 1);
}

function listenToStrip() {
  const strip = byId("strip-canvas");
  let grip = null; // milliseconds between the pointer and the middle of the view
  const timeOf = (event) => lanes.first + (event.offsetX / lanes.width) * (lanes.last - lanes.first);
  strip.addEventListener("pointerdown", (event) => {
    const [time, middle] = [timeOf(event), (lanes.from + lanes.to) / 2];
    grip = time >= lanes.from && time <= lanes.to ? middle - time : 0;
    strip.setPointerCapture(event.pointerId);
    drag(event);
  });
  const drag = (event) => {
    const half = (lanes.to - lanes.from) / 2;
    look(timeOf(event) + grip - half, timeOf(event) + grip + half);
  };
  strip.addEventListener("pointermove", (event) => { if (grip !== null) drag(event); });
  strip.addEventListener("pointerup", () => { grip = null; });
  strip.addEventListener("pointercancel", () => { grip = null; });
}
