// What came of what: the repository, its timelines below those that they left, restores that failed, and copies.

const LEAVES = 12; // restores that failed, or snapshots, below one timeline

function drawTree() {
  const copies = lastCopies();
  const roots = lanes.order.filter((line) => !graph.lines[line.parent]);
  const seen = new Set();
  const branches = [...roots.map((line) => lineNode(line, seen)), ...copies.map(copyNode)];
  const top = node(null, [element("b", {}, "Repository "), graph.url]);
  byId("tree").replaceChildren(branches.length ? element("ul", { class: "branch" }, element("li", {}, top, element("ul", { class: "branch" }, branches))) : element("p", { class: "empty" }, "Nothing has been archived, restored or copied yet."));
}

// A mark; beside it a line of text, and below that a quiet one.
function node(draw, said, more = "") {
  const lines = [element("div", {}, said), more && element("div", { class: "quiet" }, more)];
  return element("div", { class: "node" }, draw ? smallGlyph(draw) : "", element("div", {}, lines));
}

function smallGlyph(draw) {
  const canvas = element("canvas", { "aria-hidden": "true" });
  canvas.redraw = () => draw(cleared(canvas, 14, 14));
  canvas.redraw();
  return canvas;
}

function lineNode(line, seen) {
  seen.add(line.at);
  const made = graph.restores.find((restore) => restore.timeline === line.at && !restore.error);
  const failed = graph.restores.filter((restore) => restore.error && restore.from === line.at);
  const children = [
    ...snapshotNodes(line),
    ...failed.slice(-LEAVES).map(failedNode),
    ...(failed.length > LEAVES ? [element("li", {}, node(null, "", `and ${count(failed.length - LEAVES)} restores that failed before`))] : []),
    ...line.children.filter((child) => !seen.has(child.at)).map((child) => lineNode(child, seen)),
  ];
  const head = node(
    made ? (context) => drawRestore(context, 7, 7.5) : (context) => ring(context, 7, 7, 3.5, colours.fork, 1.6),
    [
      element("span", { class: "mono", title: line.id }, short(line.id)),
      line.current ? element("span", { class: "badge good" }, "current") : "",
      `  ${howItBegan(line, made)} `,
      made ? backupButton(made.backup) : "",
    ],
    whatBecameOfIt(line),
  );
  return element("li", {}, head, children.length ? element("ul", { class: "branch" }, children) : "");
}

function howItBegan(line, restore) {
  if (restore) {
    const how = [restore.lazy ? "lazily" : "in full", restore.attached ? "attached" : "not attached"];
    return `restored to commit ${count(restore.seq)} in ${duration(restore.seconds)}, ${how.join(", ")}, from`;
  }
  if (line.parent === null) return "began here";
  const parent = graph.lines[line.parent] ? "" : ` of ${lineName(line.parent)}, which is not here`;
  return line.forkSeq === null ? `forked${parent}` : `forked after commit ${count(line.forkSeq)}${parent}`;
}

function whatBecameOfIt(line) {
  const said = [moment(line.created), plural(line.backups.length, "backup")];
  if (graph.lines[line.parent] && graph.lines[line.parent].database !== line.database) said.push(`as database ${short(line.database)}`);
  if (line.fence !== null) said.push(`ended at commit ${count(line.fence)}`);
  return said.join(" · ");
}

function backupButton(at) {
  const backup = graph.backups[at];
  if (!backup) return element("span", { class: "quiet" }, at === "origin" ? "the empty database" : `backup ${short(String(at))}, which is gone`);
  return element("button", { type: "button", onclick: () => select(at, true) }, named(backup));
}

function snapshotNodes(line) {
  const names = line.snapshots.map((snapshot) => snapshot.name);
  if (!names.length) return [];
  const more = names.length > LEAVES ? ` and ${count(names.length - LEAVES)} more` : "";
  const said = `${plural(names.length, "snapshot")}: ${names.slice(0, LEAVES).join(", ")}${more}`;
  return [element("li", {}, node((context) => drawSnapshot(context, 6, 7), element("span", { class: "quiet" }, said)))];
}

function failedNode(restore) {
  return element("li", {}, node(
    (context) => cross(context, 7, 7),
    [`a restore to commit ${count(restore.seq)} failed: `, element("span", { class: "bad" }, restore.error)],
    moment(restore.finished),
  ));
}

function lastCopies() {
  const last = new Map();
  for (const copy of [...graph.copies].sort((a, b) => a.finished - b.finished)) {
    last.set(copy.target_url, { ...copy, times: (last.get(copy.target_url)?.times || 0) + 1 });
  }
  return [...last.values()];
}

function copyNode(copy) {
  const sent = `${plural(copy.backups, "backup")}, ${size(copy.bytes)} in ${duration(copy.seconds)}`;
  return element("li", {}, node(
    copy.error ? (context) => cross(context, 7, 7) : drawArrow,
    ["copied to ", element("b", {}, copy.target_url), copy.error ? element("span", { class: "bad" }, ` failed: ${copy.error}`) : `, ${sent}`],
    `${moment(copy.finished)}${copy.times > 1 ? ` · the last of ${count(copy.times)}` : ""}`,
  ));
}

function drawArrow(context) {
  context.strokeStyle = colours.accent;
  context.lineWidth = 1.6;
  line(context, 1, 7, 12, 7);
  line(context, 8, 3, 12, 7);
  line(context, 8, 11, 12, 7);
  context.lineWidth = 1;
}
