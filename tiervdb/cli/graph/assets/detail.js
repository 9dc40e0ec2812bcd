// All about the picked backup.

const CHIPS = 24; // related backups that are shown at first

function drawDetail() {
  const backup = pick.backup;
  byId("detail").replaceChildren(...(backup ? about(backup) : hint()));
  byId("detail").scrollTop = 0;
}

function hint() {
  const text = graph.backups.length
    ? "Click a backup, in the time line, the bars or the list, to see what it holds, what it reuses and what reuses it."
    : "Once there are backups, this is where each is described.";
  return [element("h2", {}, "No backup is picked"), element("p", { class: "quiet small" }, text)];
}

function about(backup) {
  return [
    element(
      "div", { class: "what" },
      element("h3", {}, element("span", { title: backup.label }, named(backup)), badges(backup)),
      element(
        "span", { class: "do" },
        element("button", { type: "button", title: "Show it and all that it is related to (z)", onclick: zoomToPicked }, "Zoom"),
        element("button", { type: "button", title: "Let go (Esc)", "aria-label": "Let go", onclick: () => select(null) }, "×"),
      ),
    ),
    facts(backup),
    tiers(backup),
    pairs(tierRows(backup)),
    ...relations("Reuses objects of", backup.reuses, backup.lost),
    ...relations("Reused by", backup.reusedBy, []),
    ...uses(backup),
  ];
}

function badges(backup) {
  const made = [element("span", { class: "badge" }, backup.full ? "full" : "incremental")];
  if (!backup.listed) made.push(element("span", { class: "badge bad" }, "unlisted"));
  if (backup.hold !== null) made.push(element("span", { class: "badge warn" }, "held"));
  return made;
}

function facts(backup) {
  const line = graph.lines[backup.line];
  const who = [backup.user, backup.host].filter(Boolean).join("@");
  return pairs([
    ["label", backup.label && backup.label.length > 60 ? backup.label : ""],
    ["id", element("span", { class: "mono" }, backup.id)],
    ["timeline", element("span", { class: "mono" }, line ? line.id : String(backup.line))],
    ["holds", `commit ${count(backup.seq)}, made ${moment(backup.time)}`],
    ["restores", commits(backup.firstSeq, backup.seq)],
    ["made", `${moment(backup.created)}, in ${duration(backup.seconds)}`],
    ["by", who],
    ["held", backup.hold],
    ["unlisted", backup.listed ? "" : backup.whyUnlisted || "yes"],
  ]);
}

function tiers(backup) {
  const parts = [["cold", backup.cold], ["hot", backup.hot], ["logbytes", backup.log]].filter(([, amount]) => amount > 0);
  return element("div", { class: "tiers" }, parts.map(([colour, amount]) => element("i", { style: `flex:${amount / backup.bytes} 0 2px;background:var(--${colour})` })));
}

function tierRows(backup) {
  const exact = (amount) => (amount < 1000 ? size(amount) : `${size(amount)} (${count(amount)} B)`);
  const share = backup.bytes ? `, ${((100 * backup.sent) / backup.bytes).toFixed(1)}% of it` : "";
  return [
    ["cold", exact(backup.cold)],
    ["hot", exact(backup.hot)],
    ["log", exact(backup.log)],
    ["in all", `${size(backup.bytes)} in ${plural(backup.files, "file")}`],
    ["sent", `${exact(backup.sent)}${share}`],
  ];
}

function relations(title, related, lost) {
  const all = related.length + lost.length;
  if (!all) return [element("h4", {}, `${title} nothing`.replace("Reused by nothing", "Reused by none").replace("objects of nothing", "no other backup's objects"))];
  const sorted = [...related].sort((a, b) => b - a);
  const box = element("div", { class: "chips" });
  const fill = (many) => {
    const shown = sorted.slice(0, many).map(chip);
    const gone = lost.slice(0, Math.max(0, many - sorted.length)).map((id) => element("span", { class: "quiet small mono", title: "no longer in the repository's catalog" }, `${short(id)} (gone)`));
    const rest = all - shown.length - gone.length;
    const more = rest > 0 ? element("button", { type: "button", onclick: () => fill(many + 200) }, `${count(rest)} more`) : "";
    box.replaceChildren(...[...shown, ...gone, more].filter(Boolean));
  };
  fill(CHIPS);
  return [element("h4", {}, `${title} ${plural(all, "backup")}`), box];
}

function chip(at) {
  const backup = graph.backups[at];
  return element("button", { type: "button", class: backup.label ? "" : "mono", title: `${backup.full ? "full" : "incremental"}, ${moment(backup.created)}`, onclick: () => select(at, true) }, named(backup));
}

function uses(backup) {
  const restores = backup.restores.map((restore) => element("p", { class: "small" }, restore.error ? element("span", { class: "bad" }, "failed: ") : "", `to commit ${count(restore.seq)} in ${duration(restore.seconds)}, ${moment(restore.finished)}`, restore.error ? `: ${restore.error}` : ""));
  const drills = backup.drills.map((drill) => element("p", { class: "small" }, element("span", { class: drill.ok ? "good" : "bad" }, drill.ok ? "ok" : "failed"), `, ${moment(drill.finished)}`));
  const few = (made) => [...made.slice(-8), made.length > 8 ? element("p", { class: "quiet small" }, `and ${count(made.length - 8)} before`) : ""].filter(Boolean);
  return [
    ...(restores.length ? [element("h4", {}, "Restored"), ...few(restores)] : []),
    ...(drills.length ? [element("h4", {}, "Drilled"), ...few(drills)] : []),
  ];
}
