// Marks: their shapes, for the time line, lists and legends.

function drawBackup(context, x, y, backup, scale = 1) {
  const colour = backup.full ? colours.full : colours.incremental;
  const radius = (backup.full ? 5 : 3.6) * scale;
  context.beginPath();
  if (backup.full) context.roundRect(x - radius, y - radius, 2 * radius, 2 * radius, 1.5);
  else context.arc(x, y, radius, 0, 2 * Math.PI);
  context.fillStyle = backup.listed ? colour : colours.panel;
  context.fill();
  context.strokeStyle = backup.listed ? colours.panel : colours.quiet;
  context.lineWidth = backup.listed ? 1 : 1.3;
  context.stroke();
  if (backup.hold) ring(context, x, y, radius + 2.5, colours.warn, 1.6);
  context.lineWidth = 1;
}

// The same where there is little room: long for a full one, with a dot above it if it is held.
function drawStroke(context, x, y, backup, scale = 1) {
  const half = (backup.full ? 9 : 4.5) * scale;
  const wide = backup.full ? 2 : 1;
  context.fillStyle = !backup.listed ? colours.logbytes : backup.full ? colours.full : colours.incremental;
  context.fillRect(Math.round(x - wide / 2), y - half, wide, 2 * half);
  if (!backup.hold) return;
  context.beginPath();
  context.arc(x, y - 12.5 * scale, 2, 0, 2 * Math.PI);
  context.fillStyle = colours.warn;
  context.fill();
}

function ring(context, x, y, radius, colour, width) {
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.stroke();
  context.lineWidth = 1;
}

function drawRestore(context, x, y, failed) {
  if (failed) return cross(context, x, y);
  context.beginPath();
  context.moveTo(x, y - 4.5);
  context.lineTo(x + 4.5, y + 3.5);
  context.lineTo(x - 4.5, y + 3.5);
  context.closePath();
  context.fillStyle = colours.restore;
  context.fill();
}

function drawDrill(context, x, y, ok) {
  if (!ok) return cross(context, x, y);
  context.beginPath();
  context.moveTo(x, y - 4.5);
  context.lineTo(x + 4.5, y);
  context.lineTo(x, y + 4.5);
  context.lineTo(x - 4.5, y);
  context.closePath();
  context.strokeStyle = colours.good;
  context.lineWidth = 1.5;
  context.stroke();
  context.lineWidth = 1;
}

function cross(context, x, y) {
  context.strokeStyle = colours.bad;
  context.lineWidth = 2;
  line(context, x - 3.5, y - 3.5, x + 3.5, y + 3.5);
  line(context, x - 3.5, y + 3.5, x + 3.5, y - 3.5);
  context.lineWidth = 1;
}

function drawSnapshot(context, x, y) {
  context.strokeStyle = colours.quiet;
  line(context, x, y - 5, x, y + 5);
  context.fillStyle = colours.quiet;
  context.fillRect(x, y - 5, 5, 4);
}

function drawGap(context, x, y, width, height) {
  context.save();
  context.beginPath();
  context.rect(x, y, width, height);
  context.fillStyle = colours.badback;
  context.fill();
  context.clip();
  context.strokeStyle = colours.bad;
  for (let at = x - height; at < x + width; at += 5) line(context, at, y + height, at + height, y);
  context.restore();
  context.strokeStyle = colours.bad;
  context.strokeRect(x + 0.5, y + 0.5, Math.max(1, width - 1), height - 1);
}

function drawWindow(context, x, y, width, height) {
  context.fillStyle = colours.window;
  context.fillRect(x, y, width, height);
  context.fillStyle = colours.window_edge;
  context.fillRect(x, y, 1, height);
  context.fillRect(x + width - 1, y, 1, height);
}

// A small picture of a mark, 18 by 16.
function glyph(draw) {
  const canvas = element("canvas", { "aria-hidden": "true" });
  canvas.redraw = () => draw(cleared(canvas, 18, 16));
  canvas.redraw();
  return canvas;
}

const backupGlyph = (backup) => glyph((context) => drawBackup(context, 9, 8, backup));

function legend() {
  const like = (changes) => ({ full: false, listed: true, hold: null, ...changes });
  const entries = [
    ["restorable", (c) => drawWindow(c, 0, 3, 18, 10)],
    ["archived log", (c) => { c.fillStyle = colours.log; c.fillRect(0, 7, 18, 3); }],
    ["gap", (c) => drawGap(c, 3, 1, 12, 14)],
    ["full backup", (c) => drawBackup(c, 9, 8, like({ full: true }))],
    ["incremental", (c) => drawBackup(c, 9, 8, like({}))],
    ["unlisted", (c) => drawBackup(c, 9, 8, like({ listed: false }))],
    ["held", (c) => drawBackup(c, 9, 8, like({ hold: "held" }))],
    ["restore", (c) => drawRestore(c, 9, 8, false)],
    ["drill", (c) => drawDrill(c, 9, 8, true)],
    ["failed", (c) => cross(c, 9, 8)],
    ["snapshot", (c) => drawSnapshot(c, 8, 8)],
  ];
  byId("legend").replaceChildren(...entries.map(([name, draw]) => element("span", {}, glyph(draw), name)));
}
