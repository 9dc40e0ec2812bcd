// The list of backups, newest first: only the rows in sight are in the document.

const ROW = 42; // pixels
const list = { element: byId("list"), rows: byId("rows"), shown: [], drawn: [], haystacks: [] };

function fillList() {
  list.haystacks = graph.backups.map((backup) =>
    [
      backup.id, backup.label, backup.full ? "full" : "incremental", backup.listed ? "listed" : "unlisted", backup.whyUnlisted,
      backup.hold === null ? "" : `held ${backup.hold}`, graph.lines[backup.line]?.id, backup.user, backup.host, moment(backup.time), moment(backup.created), `commit ${backup.seq}`,
    ].filter(Boolean).map((text) => ` ${text.toLowerCase()}`).join("\n"),
  );
  filter("");
}

// Every word must be found; "listed" alone must not find what is unlisted.
function filter(text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean).map((word) => (word === "listed" || word === "full" ? ` ${word}` : word));
  const found = graph.backups.filter((backup) => words.every((word) => list.haystacks[backup.at].includes(word)));
  list.shown = found.reverse();
  pick.shown = words.length ? new Set(found.map((backup) => backup.at)) : null;
  byId("count").textContent = words.length ? `${count(found.length)} of ${count(graph.backups.length)}` : count(found.length);
  list.element.scrollTop = 0;
  drawList();
}

function drawList() {
  const { element: box, rows, shown } = list;
  rows.style.height = `${shown.length * ROW}px`;
  if (!shown.length) {
    rows.replaceChildren(element("p", { class: "empty" }, graph.backups.length ? "None matches." : "There are no backups yet."));
    rows.style.height = "auto";
    return;
  }
  const first = Math.max(0, Math.floor(box.scrollTop / ROW) - 4);
  const last = Math.min(shown.length, Math.ceil((box.scrollTop + box.clientHeight) / ROW) + 4);
  rows.replaceChildren(...shown.slice(first, last).map((backup, at) => rowOf(backup, first + at)));
  const picked = pick.backup && shown.includes(pick.backup);
  if (picked) box.setAttribute("aria-activedescendant", `row-${pick.backup.at}`);
  else box.removeAttribute("aria-activedescendant");
}

function rowOf(backup, at) {
  const states = ["row", backup === pick.backup && "picked", pick.related.has(backup.at) && "related", !backup.listed && "unlisted"];
  return element(
    "div",
    {
      class: states.filter(Boolean).join(" "), style: `top:${at * ROW}px`, id: `row-${backup.at}`, role: "option",
      "aria-selected": String(backup === pick.backup), "aria-setsize": list.shown.length, "aria-posinset": at + 1,
      onclick: () => select(backup.at, true),
    },
    backupGlyph(backup),
    element("div", { class: backup.label ? "label" : "label mono", title: backup.label || backup.id }, named(backup)),
    element("div", { class: "right" }, relationOf(backup) || size(backup.bytes)),
    element("div"),
    element("div", { class: "quiet" }, moment(backup.created)),
    element("div", { class: "right" }, `${size(backup.sent)} sent`),
  );
}

function relationOf(backup) {
  const how = pick.related.get(backup.at);
  return how === "reuses" ? "is reused" : how === "reused" ? "reuses it" : "";
}

function listenToList() {
  list.element.addEventListener("scroll", drawList, { passive: true });
  byId("filter").addEventListener("input", (event) => {
    filter(event.target.value);
    redraw();
  });
  byId("filter").addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" || event.key === "Enter") {
      event.preventDefault();
      list.element.focus();
      if (!pick.backup || !list.shown.includes(pick.backup)) walkList(0, true);
    }
  });
  list.element.addEventListener("keydown", (event) => {
    const page = Math.max(1, Math.floor(list.element.clientHeight / ROW) - 1);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page };
    if (event.key in steps) walkList(steps[event.key], false);
    else if (event.key === "Home") walkList(0, true);
    else if (event.key === "End") walkList(list.shown.length - 1, true);
    else return;
    event.preventDefault();
  });
}

function walkList(by, absolute) {
  if (!list.shown.length) return;
  const from = list.shown.indexOf(pick.backup);
  const at = absolute ? by : from < 0 ? 0 : from + by;
  select(list.shown[Math.min(Math.max(at, 0), list.shown.length - 1)].at, true);
}

function scrollToPicked() {
  const at = list.shown.indexOf(pick.backup);
  if (at < 0) return;
  const box = list.element;
  if (at * ROW < box.scrollTop) box.scrollTop = at * ROW;
  else if ((at + 1) * ROW > box.scrollTop + box.clientHeight) box.scrollTop = (at + 1) * ROW - box.clientHeight;
}
