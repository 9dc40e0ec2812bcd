// What the page shows, unpacked, and how values are written. Times are milliseconds since 1970, durations seconds.

const raw = JSON.parse(document.getElementById("data").textContent);
const graph = unpack(raw);
const pick = { backup: null, shown: null, related: new Map() }; // shown: what the filter lets through, or null for all

function unpack(raw) {
  const text = (at) => (at === null ? null : raw.texts[at]);
  const span = ([line, firstSeq, lastSeq, first, last, why]) => ({ line, firstSeq, lastSeq, first, last, why });
  const lines = raw.timelines.map(([id, database, parent, forkSeq, forkTime, created, fence, current], at) => ({
    at, id, database, parent, forkSeq, forkTime, created, fence, current, backups: [], children: [], snapshots: [],
  }));
  const backups = raw.backups.map((row, at) => ({
    at, id: row[0], full: row[1] === 1, label: row[2], line: row[3], seq: row[4], time: row[5], firstSeq: row[6],
    created: row[7], seconds: row[8], hot: row[9], cold: row[10], log: row[11], bytes: row[9] + row[10] + row[11],
    sent: row[12], files: row[13], listed: row[14] === 1, whyUnlisted: text(row[15]), hold: text(row[16]),
    user: text(row[17]), host: text(row[18]), reuses: [], lost: [], reusedBy: [], restores: [], drills: [],
  }));
  raw.reuses.forEach((parents, at) => {
    for (const parent of parents) {
      if (typeof parent === "string") backups[at].lost.push(parent);
      else {
        backups[at].reuses.push(at - parent);
        backups[at - parent].reusedBy.push(at);
      }
    }
  });
  for (const backup of backups) if (lines[backup.line]) lines[backup.line].backups.push(backup);
  for (const line of lines) {
    line.backups.sort((a, b) => a.time - b.time || a.at - b.at);
    if (lines[line.parent]) lines[line.parent].children.push(line);
  }
  const snapshots = raw.snapshots.map(([line, name, seq, time]) => ({ line, name, seq, time }));
  for (const snapshot of snapshots) if (lines[snapshot.line]) lines[snapshot.line].snapshots.push(snapshot);
  for (const restore of raw.restores) if (backups[restore.backup]) backups[restore.backup].restores.push(restore);
  for (const drill of raw.drills) if (backups[drill.backup]) backups[drill.backup].drills.push(drill);
  const drills = [...raw.drills].sort((a, b) => a.finished - b.finished);
  return {
    url: raw.url, generated: raw.generated, lines, backups, snapshots, drills, restores: raw.restores, copies: raw.copies,
    windows: raw.windows.map(span), gaps: raw.gaps.map(span), log: raw.log.map(span), forks: raw.forks,
    summary: { ...raw.summary, window: raw.summary.window && span(raw.summary.window) },
    lastDrill: raw.summary.drill === null ? null : raw.drills[raw.summary.drill],
  };
}

const count = (number) => (number === null ? "" : number.toLocaleString("en-GB"));
const short = (id) => (id.length > 12 ? id.slice(0, 12) : id);
const named = (backup) => backup.label || short(backup.id);
const lineName = (line) => (graph.lines[line] ? short(graph.lines[line].id) : line === null ? "" : short(String(line)));
const plural = (number, noun) => `${count(number)} ${noun}${number === 1 ? "" : "s"}`;
const commits = (first, last) => (first === last ? `commit ${count(first)}` : `commits ${count(first)} to ${count(last)}`);

function moment(time) {
  return time === null ? "" : `${new Date(time).toISOString().slice(0, 19).replace("T", " ")} UTC`;
}

function minute(time) {
  return new Date(time).toISOString().slice(0, 16).replace("T", " ");
}

function size(bytes) {
  let amount = bytes;
  for (const unit of ["B", "KB", "MB", "GB", "TB", "PB"]) {
    if (amount < 999.5 || unit === "PB") return unit === "B" ? `${bytes} B` : `${amount.toFixed(1)} ${unit}`;
    amount /= 1000;
  }
}

const roundSize = (bytes) => size(bytes).replace(".0 ", " "); // for scales

function duration(seconds) {
  if (seconds === null) return "";
  if (seconds < 9.995) return `${seconds.toFixed(2)} s`;
  const whole = Math.round(seconds);
  for (const [unit, name, below, belowName] of [[86400, "d", 3600, "h"], [3600, "h", 60, "min"], [60, "min", 1, "s"]]) {
    if (whole < unit) continue;
    const rest = Math.floor((whole % unit) / below);
    return `${count(Math.floor(whole / unit))} ${name}${rest ? ` ${rest} ${belowName}` : ""}`;
  }
  return `${whole} s`;
}

// An element. Children that are text stay text, whatever they say.
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ""));
  return made;
}

function pairs(rows) {
  const shown = rows.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return element("dl", {}, shown.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]));
}

const byId = (id) => document.getElementById(id);
