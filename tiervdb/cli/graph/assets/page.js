// The header, what is picked, and when to draw.

let asked = false;

// Draws once before the next frame, however often it is asked.
function redraw() {
  if (asked) return;
  asked = true;
  requestAnimationFrame(() => {
    asked = false;
    drawLanes();
    drawBytes();
  });
}

// Picks a backup, or none for null. far: it may be out of sight, so bring it there.
function select(at, far = false) {
  const backup = at === null ? null : graph.backups[at];
  pick.backup = backup;
  pick.related = new Map();
  if (backup) {
    for (const other of backup.reuses) pick.related.set(other, "reuses");
    for (const other of backup.reusedBy) pick.related.set(other, "reused");
    if (far) reveal(backup);
  }
  drawDetail();
  scrollToPicked();
  drawList();
  redraw();
}

function answer(title, value, ...lines) {
  return element("div", { class: "answer" }, element("h2", {}, title), element("div", { class: "value" }, value), lines.filter(Boolean).map((text) => element("p", {}, text)));
}

function drawAnswers() {
  const { window, age, backup, problems } = graph.summary;
  const drill = graph.lastDrill;
  const fine = problems.length === 0;
  const verdict = fine ? "Nothing failed, and nothing is missing." : problems.length === 1 ? "One thing needs attention." : `${count(problems.length)} things need attention.`;
  byId("verdict").replaceChildren(
    element("span", { class: fine ? "dot" : "dot bad" }), element("b", {}, verdict),
    fine ? "" : element("ul", {}, problems.map((problem) => element("li", {}, problem))),
  );
  const made = graph.backups[backup];
  byId("answers").replaceChildren(
    window
      ? answer("Can be restored", `up to ${duration(age)} ago`, `${moment(window.first)} to ${moment(window.last)}`, `${commits(window.firstSeq, window.lastSeq)} of timeline ${lineName(window.line)}`)
      : answer("Can be restored", element("span", { class: "bad" }, "nothing")),
    made
      ? answer("Last backup", `${duration(Math.max(0, (graph.generated - made.created) / 1000))} ago`, `${made.full ? "full" : "incremental"}, ${moment(made.created)}`, `${size(made.bytes)}, ${size(made.sent)} sent in ${duration(made.seconds)}`)
      : answer("Last backup", "none"),
    drill
      ? answer("Last drill", element("span", { class: drill.ok ? "good" : "bad" }, drill.ok ? "ok" : "failed", `, ${duration(Math.max(0, (graph.generated - drill.finished) / 1000))} ago`), ...drillLines(drill))
      : answer("Last drill", "never", "Nobody has tried to restore these backups."),
  );
}

function drillLines(drill) {
  const rto = [drill.first_query_seconds !== null && `${duration(drill.first_query_seconds)} to the first answer`, drill.hydrated_seconds !== null && `${duration(drill.hydrated_seconds)} to all local`];
  const said = rto.filter(Boolean).join(", ");
  const rpo = drill.rpo_seconds === null ? "" : `RPO ${duration(drill.rpo_seconds)}; `;
  return [said && `RTO ${said}`, `${rpo}${moment(drill.finished)}`];
}

const THEMES = ["system", "light", "dark"];
const system = window.matchMedia("(prefers-color-scheme: dark)");
let theme = THEMES.includes(location.hash.slice(1)) ? location.hash.slice(1) : "system";

function showTheme() {
  const dark = theme === "dark" || (theme === "system" && system.matches);
  document.documentElement.classList.toggle("dark", dark);
  byId("theme").textContent = { system: "◐ System", light: "○ Light", dark: "● Dark" }[theme];
  readColours();
  for (const canvas of document.querySelectorAll("canvas")) if (canvas.redraw) canvas.redraw();
}

function redrawAll() {
  redraw();
  drawDrills();
  drawList();
}

// For tests: milliseconds from a click until what it changed is painted.
function tiervdbMeasureClick(at) {
  return new Promise((resolve) => {
    const begun = performance.now();
    select(at, true);
    requestAnimationFrame(() => {
      const channel = new MessageChannel();
      channel.port1.onmessage = () => resolve(performance.now() - begun);
      channel.port2.postMessage(null);
    });
  });
}

function start() {
  byId("generated").textContent = moment(graph.generated);
  byId("url").textContent = graph.url;
  byId("theme").onclick = () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    showTheme();
    redrawAll();
  };
  system.addEventListener("change", () => { showTheme(); redrawAll(); });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && event.target !== byId("filter")) select(null);
    if (event.key === "/" && event.target !== byId("filter")) {
      event.preventDefault();
      byId("filter").focus();
    }
  });
  showTheme();
  drawAnswers();
  legend();
  layLanes();
  fillList();
  listenToLanes();
  listenToBytes();
  listenToDrills();
  listenToList();
  drawTree();
  drawDetail();
  drawLanes();
  drawBytes();
  drawDrills();
  new ResizeObserver(redrawAll).observe(document.body);
  document.body.dataset.ready = JSON.stringify({ timelines: lanes.order.length, backups: graph.backups.length, rows: list.rows.children.length });
  window.tiervdb = { ready: true, graph, pick, lanes, select };
  window.tiervdbMeasureClick = tiervdbMeasureClick;
}

start();
