// Canvases, colours and scales.

const MINUTE = 60e3, HOUR = 60 * MINUTE, DAY = 24 * HOUR;
const STEPS = [1e3, 5e3, 15e3, 30e3, MINUTE, 5 * MINUTE, 15 * MINUTE, 30 * MINUTE, HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 7 * DAY];
const MONTH_STEPS = [1, 3, 6, 12, 24, 60, 120, 240, 600, 1200];
const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");
const FONT = '11px system-ui, "Segoe UI", "Helvetica Neue", Arial, "DejaVu Sans", sans-serif';

let colours = {};

function readColours() {
  const style = getComputedStyle(document.documentElement);
  const names = ["back", "panel", "ink", "quiet", "line", "faint", "accent", "pick", "good", "bad", "warn", "window", "window-edge",
    "log", "full", "incremental", "hot", "cold", "logbytes", "restore", "fork", "badback"];
  colours = Object.fromEntries(names.map((name) => [name.replace("-", "_"), style.getPropertyValue(`--${name}`).trim()]));
}

// A cleared canvas of a width and height in CSS pixels.
function cleared(canvas, width, height) {
  const ratio = Math.min(window.devicePixelRatio || 1, 3);
  const [wide, high] = [Math.max(1, Math.round(width * ratio)), Math.max(1, Math.round(height * ratio))];
  if (canvas.width !== wide || canvas.height !== high) {
    canvas.width = wide;
    canvas.height = high;
    canvas.style.height = `${height}px`;
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  context.font = FONT;
  context.lineWidth = 1;
  return context;
}

// Moments that deserve a line, at most one each 76 pixels: [time, text].
function ticks(from, to, width) {
  const least = ((to - from) / width) * 76;
  const step = STEPS.find((step) => step >= least);
  return step ? evenTicks(from, to, step) : monthTicks(from, to, least);
}

function evenTicks(from, to, step) {
  const found = [];
  const offset = step === 7 * DAY ? 4 * DAY : 0; // 1970 began on a Thursday
  for (let time = Math.ceil((from - offset) / step) * step + offset; time <= to; time += step) found.push([time, tickText(time, step)]);
  const dated = step >= DAY || found.some(([time]) => time % DAY === 0);
  if (!dated && found.length && step >= MINUTE) found[0][1] = `${tickText(found[0][0], DAY)} ${found[0][1]}`;
  return found;
}

function tickText(time, step) {
  const date = new Date(time);
  const midnight = time % DAY === 0;
  if (step >= DAY || midnight) return `${date.getUTCDate()} ${MONTHS[date.getUTCMonth()]}${date.getUTCMonth() === 0 && date.getUTCDate() <= Math.max(1, step / DAY) ? ` ${date.getUTCFullYear()}` : ""}`;
  return date.toISOString().slice(11, step < MINUTE ? 19 : 16);
}

function monthTicks(from, to, least) {
  const step = MONTH_STEPS.find((months) => months * 40 * DAY >= least) || 1200; // months need less room than dates
  const found = [];
  const start = new Date(from);
  for (let month = Math.floor((start.getUTCFullYear() * 12 + start.getUTCMonth()) / step) * step; ; month += step) {
    const time = Date.UTC(Math.floor(month / 12), month % 12, 1);
    if (time > to) return found;
    const year = Math.floor(month / 12);
    if (time >= from) found.push([time, month % 12 === 0 ? String(year) : `${MONTHS[month % 12]} ${step < 12 && !found.length ? year : ""}`.trim()]);
  }
}

// Round values for an axis from 0 up to at least the greatest.
function roundSteps(greatest, most) {
  if (!(greatest > 0)) return [0, 1];
  const rough = greatest / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= rough * 0.999);
  return Array.from({ length: Math.ceil(greatest / step - 1e-9) + 1 }, (_, at) => at * step);
}

// Heights on a logarithmic axis between powers of ten; what is not above zero lies at the bottom.
function logScale(values, bottom, top) {
  const positive = values.filter((value) => value > 0);
  let low = Math.floor(Math.log10(positive.reduce((a, b) => Math.min(a, b), Infinity)));
  let high = Math.ceil(Math.log10(positive.reduce((a, b) => Math.max(a, b), 0)));
  if (!positive.length) [low, high] = [0, 1];
  if (high <= low) high = low + 1;
  const y = (value) => (value > 0 ? bottom - ((Math.log10(value) - low) / (high - low)) * (bottom - top) : bottom);
  const every = Math.ceil((high - low) / Math.floor((bottom - top) / 20));
  const marks = [];
  for (let power = low; power <= high; power += every) marks.push(10 ** power);
  return { y, marks };
}

function linearScale(values, bottom, top, most = 3) {
  const marks = roundSteps(values.reduce((a, b) => Math.max(a, b), 0), most);
  const greatest = marks[marks.length - 1];
  return { y: (value) => bottom - (value / greatest) * (bottom - top), marks };
}

// Horizontal lines with their values in the gutter left of them.
function drawScale(context, scale, left, right, write) {
  context.textAlign = "right";
  context.textBaseline = "middle";
  for (const value of scale.marks) {
    const y = Math.round(scale.y(value)) + 0.5;
    context.strokeStyle = colours.line;
    line(context, left, y, right, y);
    context.fillStyle = colours.quiet;
    context.fillText(write(value), left - 6, y);
  }
}

function line(context, x1, y1, x2, y2) {
  context.beginPath();
  context.moveTo(x1, y1);
  context.lineTo(x2, y2);
  context.stroke();
}

// The tooltip, beside the pointer and inside the window.
function tell(event, title, rows) {
  const tip = byId("tip");
  if (!title) {
    tip.hidden = true;
    return;
  }
  tip.replaceChildren(element("b", {}, title), pairs(rows));
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  const left = event.clientX + 14 + box.width > innerWidth ? event.clientX - 14 - box.width : event.clientX + 14;
  const top = event.clientY + 14 + box.height > innerHeight ? event.clientY - 14 - box.height : event.clientY + 14;
  tip.style.left = `${Math.max(4, left)}px`;
  tip.style.top = `${Math.max(4, top)}px`;
}
