from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from tiervdb.cli.graph import (
    BackupNode,
    CopyNode,
    DrillNode,
    Edge,
    Gap,
    Graph,
    RestoreNode,
    Span,
    Timeline,
    page,
    summary,
    text,
)

START = datetime(2026, 1, 5, 3, 0, tzinfo=UTC)
EVERY = timedelta(hours=6)
HOSTILE = "</script><script>document.title='owned'</script><img src=x onerror=alert(1)>\u2028\u2029&amp;{{data}}\ud800"

# A graph of as many backups as asked for: each chain begins with a full one, and the others reuse all before them.


def identity(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


def a_graph(backups: int, timelines: int = 1, chain: int = 10, label: str | None = None) -> Graph:
    """``backups`` are spread over ``timelines``, one after the other, each forked from an older one."""
    chance = random.Random(backups)
    each = max(1, backups // timelines)
    nodes = [a_backup(at, min(at // each, timelines - 1), chain, chance, label) for at in range(backups)]
    lines = [a_timeline(at, timelines, each) for at in range(timelines)]
    end = START + EVERY * max(1, backups)
    edges = [
        Edge("reuses", "backup", nodes[older].id, "backup", node.id, None, node.created)
        for at, node in enumerate(nodes)
        if node.kind == "incremental"
        for older in range(at - at % chain, at)
    ]
    edges += [
        Edge("snapshot", "timeline", node.timeline, "snapshot", f"before {node.seq}", node.seq, node.time)
        for node in nodes[4::200]
    ]
    return Graph(
        url="s3://backups/words",
        generated=end + timedelta(seconds=40),
        timelines=tuple(lines),
        windows=tuple(windows(nodes, lines, end)),
        gaps=tuple(gaps(nodes)),
        log=tuple(windows(nodes, lines, end)),
        backups=tuple(nodes),
        edges=tuple(edges),
        restores=tuple(a_restore(at, lines, nodes, each) for at in range(1, timelines)),
        drills=tuple(a_drill(node, chance) for node in nodes[2 :: max(1, backups // 25)]),
        copies=(CopyNode("c1", "s3://elsewhere/words", end, backups, 10**9, 61.5, None),) if backups else (),
    )


def a_timeline(at: int, of: int, each: int) -> Timeline:
    """Its parent is the one at half its place, which ended before."""
    parent = (at - 1) // 2
    begun = START + EVERY * (at * each)
    return Timeline(
        id=identity("timeline", at),
        database_id=identity("database", at % 3),
        parent=identity("timeline", parent) if at else None,
        fork_seq=100 * (parent + 1) * each if at else None,
        fork_time=START + EVERY * ((parent + 1) * each - 1) if at else None,
        created=begun - EVERY / 3,
        fence_seq=100 * (at + 1) * each if at < of - 1 else None,
        current=at == of - 1,
    )


def a_backup(at: int, line: int, chain: int, chance: random.Random, label: str | None) -> BackupNode:
    full = at % chain == 0
    time = START + EVERY * at
    hot, cold = 40_000_000 + at * 20_000, 900_000_000 + at * 1_500_000
    sent = hot + cold if full else chance.randrange(2_000_000, 90_000_000)
    unlisted = at % 17 == 5
    return BackupNode(
        id=identity("backup", at), kind="full" if full else "incremental",
        label=label if label is not None else f"weekly {at}" if full else None,
        timeline=identity("timeline", line), seq=100 * (at + 1), time=time, first_seq=100 * at + 40,
        created=time + timedelta(seconds=2), seconds=sent / 9e7, hot_bytes=hot, cold_bytes=cold,
        log_bytes=chance.randrange(10**5, 10**7), sent_bytes=sent, files=40 + at % 7, listed=not unlisted,
        why_unlisted="expired by the policy" if unlisted else None, hold="audit of 2026" if at % 40 == 10 else None,
        user="backup", host="db-1",
    )  # fmt: skip


def windows(nodes: list[BackupNode], lines: list[Timeline], end: datetime) -> Iterator[Span]:
    """Of each timeline one, but two where a gap is."""
    for line in lines:
        own = [node for node in nodes if node.timeline == line.id]
        holes = [gap for gap in gaps(nodes) if gap.timeline == line.id]
        if not own:
            continue
        until = own[-1].time + EVERY / 2 if line.fence_seq else end
        starts = [(own[0].seq, own[0].time), *((gap.last_seq + 1, gap.last_time) for gap in holes)]
        ends = [*((gap.first_seq - 1, gap.first_time) for gap in holes), (own[-1].seq + 60, until)]
        for (first, since), (last, then) in zip(starts, ends, strict=True):
            yield Span(line.id, first, last, since, then)


def gaps(nodes: list[BackupNode]) -> list[Gap]:
    why, third = "parts of the log are missing", EVERY / 3
    return [
        Gap(node.timeline, node.seq + 10, node.seq + 60, node.time + third, node.time + 2 * third, why)
        for node in nodes[6::150]
    ]


def a_restore(at: int, lines: list[Timeline], nodes: list[BackupNode], each: int) -> RestoreNode:
    node = nodes[min(at * each, len(nodes)) - 1]
    error = "the store refused: 503 Slow Down" if at % 7 == 3 else None
    return RestoreNode(
        identity("restore", at), node.id, lines[(at - 1) // 2].id, lines[at].id, node.seq, node.time,
        lines[at].created, 12.5 * at, at % 2 == 1, at % 3 == 0, error,
    )  # fmt: skip


def a_drill(node: BackupNode, chance: random.Random) -> DrillNode:
    ok = chance.random() > 0.1
    return DrillNode(
        identity("drill", node.id), node.time + timedelta(hours=1), node.timeline, node.seq, node.time, node.id, ok,
        0.4 + chance.random() if ok else None, 30 + 30 * chance.random() if ok else None, 0.3 + chance.random(),
        0.99 + chance.random() / 100, () if ok else ("recall fell to 0.91", "2 rows differ"),
    )  # fmt: skip


def with_hostile_words(graph: Graph) -> Graph:
    """Whatever people and programs may name is hostile."""
    return replace(
        graph,
        url=f"s3://{HOSTILE}",
        backups=tuple(replace(b, label=HOSTILE, hold=HOSTILE, user=HOSTILE, host=HOSTILE) for b in graph.backups),
        gaps=tuple(replace(gap, why=HOSTILE) for gap in graph.gaps),
        drills=tuple(replace(drill, ok=False, problems=(HOSTILE,)) for drill in graph.drills),
        copies=tuple(replace(copy, target_url=HOSTILE, error=HOSTILE) for copy in graph.copies),
        edges=tuple(replace(edge, child=HOSTILE) if edge.kind == "snapshot" else edge for edge in graph.edges),
    )


class Elements(HTMLParser):
    """What a browser makes of a page: its elements with their attributes, and the text of each script."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.found[-1:] and self.found[-1][0] == "script":
            self.scripts[-1] += data


def data_of(graph: Graph) -> Any:
    return json.loads(Elements(page(graph)).scripts[0])


def dangling() -> Graph:
    """Timelines and backups are named that the picture does not hold."""
    graph = a_graph(12, 2)
    return replace(
        graph,
        timelines=graph.timelines[1:],
        backups=graph.backups[3:],
        edges=(*graph.edges, Edge("snapshot", "timeline", "nobody's", "snapshot", "untimed", None, None)),
    )


@pytest.mark.parametrize("backups", [0, 3, 1000])
def test_a_page_loads_nothing(backups: int) -> None:
    html = page(a_graph(backups))
    for tag, attributes in Elements(html).found:
        assert tag not in {"img", "iframe", "object", "embed", "a", "base"}
        assert attributes.get("href", "data:,") == "data:,"
        assert "src" not in attributes
    assert "default-src 'none'" in html
    assert not re.search(
        r"https?://|@import|url\(|fetch\(|XMLHttpRequest|WebSocket|EventSource|import\(|localStorage", html
    )
    assert "{{" not in html


def test_hostile_words_stay_words() -> None:
    graph = with_hostile_words(a_graph(30, 3))
    html = page(graph)
    elements = Elements(html)
    assert len(elements.scripts) == 2
    assert elements.found.count(("title", {})) == 1
    assert not any(tag == "img" for tag, _ in elements.found)
    html.encode()  # a lone surrogate could not be written
    assert json.loads(elements.scripts[0])["backups"][0][2] == HOSTILE
    assert not re.search("[<>&\u2028\u2029]", elements.scripts[0])


def test_5000_backups_that_reuse_many_others_fit_in_5_mb() -> None:
    assert len(page(a_graph(5000, 4, chain=100)).encode()) < 5_000_000


def test_the_data_is_what_the_graph_says() -> None:
    graph = a_graph(12, 2)
    data = data_of(replace(graph, backups=graph.backups[:0:-1]))  # the first, full one is lost; the others in any order
    first = graph.backups[1]
    row = data["backups"][0]
    assert row[:5] == [first.id, 0, None, 0, first.seq]
    assert row[5] == first.time.timestamp() * 1000
    assert sum(row[9:12]) == first.bytes
    assert data["reuses"][:3] == [[graph.backups[0].id], [graph.backups[0].id, 1], [graph.backups[0].id, 2, 1]]
    assert [window[:3] for window in data["windows"]] == [
        [[line.id for line in graph.timelines].index(w.timeline), w.first_seq, w.last_seq] for w in graph.windows
    ]


def test_a_summary_says_what_is_wrong() -> None:
    good = a_graph(3)
    assert summary(good).problems == ()
    assert summary(good).window == good.windows[-1]
    assert summary(good).age_seconds == 40
    assert summary(a_graph(0)).problems == ("nothing can be restored",)
    bad = with_hostile_words(a_graph(1000, 8))
    problems = "\n".join(summary(bad).problems)
    for said in ("the last drill failed", "commits 90,710 to 90,760", "4 more gaps", "last copy", "a restore failed"):
        assert said in problems
    other = replace(good, timelines=(*good.timelines, replace(good.timelines[0], id="new", current=True)))
    other = replace(other, timelines=(replace(good.timelines[0], current=False), other.timelines[1]))
    assert summary(other).problems == ("nothing of the current timeline can be restored",)
    unlisted = replace(good, backups=tuple(replace(backup, listed=False) for backup in good.backups))
    assert summary(unlisted).backup is None


def test_text_of_three_backups() -> None:
    assert text(a_graph(3), 80) == [
        "s3://backups/words, 2026-01-05 21:00:40 UTC",
        "restorable  2026-01-05 03:00:00 UTC to 2026-01-05 21:00:00 UTC",
        "            commits 100 to 360, 40 s old",
        "backup      2026-01-05 15:00:02 UTC, incremental 46b05fdcc91c",
        "drill       2026-01-05 16:00:00 UTC, ok",
        "            RTO 0.87 s to the first answer, 47 s to all local; RPO 0.91 s",
        "",
        "               2026-01-05 03:00:00 UTC                   2026-01-05 21:00:00 UTC",
        "               F                    i                     i",
        "b73c1ec4d3ed * ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━",
        "━ restorable  ─ log only  ╳ gap  F full  i incremental  · unlisted  * current",
        "",
        "newest of 3 backups",
        "46b05fdcc91c  2026-01-05 15:00:02 UTC  incremental   19.5 MB sent",
        "4b3e02743543  2026-01-05 09:00:02 UTC  incremental   81.5 MB sent",
        "23a2e1851121  2026-01-05 03:00:02 UTC  full         940.0 MB sent  'weekly 0'",
        "",
        "copies",
        "s3://elsewhere/words, 2026-01-05 21:00:00 UTC, 3 backups, 1.0 GB",
    ]


@pytest.mark.parametrize("width", [1, 40, 80, 200])
def test_text_fits(width: int) -> None:
    for graph in (a_graph(0), a_graph(3), with_hostile_words(a_graph(50, 4)), a_graph(1000, 60), dangling()):
        for line in text(graph, width):
            assert len(line) <= max(40, width)
            assert line.isprintable() or not line


def test_text_shows_gaps_and_forks() -> None:
    lines = "\n".join(text(a_graph(40, 4), 100))
    for said in ("╳", "timelines\nb73c1ec4d3ed", "\n  c886f429c65e, from commit 1,000, restored in", "(current)"):
        assert said in lines


# Headless Chromium, spoken to in its DevTools protocol over two pipes.

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
TAKE_PIPES = """
import fcntl, os, sys
reads, writes = (fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3])
os.dup2(reads, 3)
os.dup2(writes, 4)
os.execvp(sys.argv[3], sys.argv[3:])
"""


class Browser:
    """A browser of one window. ``told``: what it said by itself since the last page was opened."""

    def __init__(self, profile: Path) -> None:
        assert CHROMIUM is not None
        theirs_in, self._write = os.pipe()
        self._read, theirs_out = os.pipe()
        options = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={profile}",
            "--remote-debugging-pipe",
        ]
        command = [sys.executable, "-c", TAKE_PIPES, str(theirs_in), str(theirs_out), CHROMIUM, *options]
        self._process = subprocess.Popen(command, pass_fds=(theirs_in, theirs_out), stderr=subprocess.DEVNULL)
        os.close(theirs_in)
        os.close(theirs_out)
        self._pending = b""
        self._last = 0
        self._session: str | None = None
        self.told: list[dict[str, Any]] = []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def close(self) -> None:
        self._session = None
        with contextlib.suppress(OSError):
            self.ask("Browser.close")
        self._process.wait(30)
        os.close(self._read)
        os.close(self._write)

    def ask(self, method: str, **params: Any) -> Any:
        self._last += 1
        message = {"id": self._last, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._last:
                assert "error" not in answer, answer
                return answer["result"]

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._pending:
            data = os.read(self._read, 1 << 20)
            if not data:
                raise OSError("the browser is gone")
            self._pending += data
        head, self._pending = self._pending.split(b"\0", 1)
        message: dict[str, Any] = json.loads(head)
        if "method" in message:
            self.told.append(message)
        return message

    def evaluate(self, script: str) -> Any:
        answer = self.ask("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def open(self, url: str, width: int) -> None:
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        for address in ("about:blank", url):  # by way of nothing, or another fragment of the same file is no new page
            self.told.clear()
            self.ask("Page.navigate", url=address)
            while not any(message["method"] == "Page.loadEventFired" for message in self.told):
                self._next()

    def click(self, x: float, y: float) -> None:
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            self.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def press(self, key: str) -> None:
        for kind in ("keyDown", "keyUp"):
            self.ask("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=0)

    def complaints(self) -> list[str]:
        """Errors on the console, exceptions, and requests that leave the file."""
        found = []
        for message in self.told:
            params = message["params"]
            method, entry = message["method"], params.get("entry", params)
            if method == "Runtime.exceptionThrown" or entry.get("level", entry.get("type")) in {"error", "warning"}:
                found.append(json.dumps(params)[:400])
            if method == "Network.requestWillBeSent" and not params["request"]["url"].startswith(("file:", "data:")):
                found.append(f"loads {params['request']['url']}")
        return found


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on the PATH: apt-get install chromium")
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


def shown(browser: Browser, folder: Path, graph: Graph, width: int = 1200, hash: str = "") -> None:
    file = folder / "page.html"
    file.write_text(page(graph), encoding="utf-8")
    browser.open(file.as_uri() + hash, width)


KINDS: dict[str, Callable[[], Graph]] = {
    "none": lambda: replace(a_graph(0), timelines=()),
    "three": lambda: a_graph(3),
    "many": lambda: a_graph(1000, 3),
    "more": lambda: a_graph(5000, 2, chain=100),
    "timelines": lambda: a_graph(400, 20),
    "hostile": lambda: with_hostile_words(a_graph(30, 3)),
    "dangling": dangling,
    "long": lambda: a_graph(30, 2, label="x" * 3000),
}


@pytest.mark.parametrize("width", [1200, 800])
@pytest.mark.parametrize("kind", KINDS)
def test_the_page_in_a_browser(browser: Browser, tmp_path: Path, kind: str, width: int) -> None:
    graph = KINDS[kind]()
    shown(browser, tmp_path, graph, width)
    ready = json.loads(browser.evaluate("document.body.dataset.ready"))
    assert (ready["timelines"], ready["backups"]) == (len(graph.timelines), len(graph.backups))
    assert ready["rows"] < 60
    for at in range(min(5, len(graph.backups))):
        browser.evaluate(f"tiervdbMeasureClick({at})")
    assert browser.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert browser.evaluate("document.title").startswith("Backups of s3://")
    assert browser.complaints() == []


@pytest.mark.parametrize("backups", [1000, 5000])
def test_a_click_is_answered_within_200_ms(browser: Browser, tmp_path: Path, backups: int) -> None:
    shown(browser, tmp_path, a_graph(backups, 3, chain=100))
    took = [browser.evaluate(f"tiervdbMeasureClick({at})") for at in range(5, backups, backups // 9)]
    assert statistics.median(took) < 200


def test_a_picked_backup(browser: Browser, tmp_path: Path) -> None:
    graph = a_graph(40, 2)
    shown(browser, tmp_path, graph)
    browser.evaluate("picked = tiervdb.graph.backups[23]; box = lanes.canvas.getBoundingClientRect(); 0")
    x, y = browser.evaluate("[box.x + xOf(picked.time), box.y + backupY(picked.line)]")
    browser.click(x, y)
    assert browser.evaluate("tiervdb.pick.backup.id") == graph.backups[23].id
    said = browser.evaluate("document.getElementById('detail').innerText")
    for words in (graph.backups[23].id, "Reuses objects of 3 backups", "Reused by 6 backups", "weekly 20"):
        assert words in said
    browser.evaluate("lanes.canvas.focus()")
    for key, picked in (("ArrowLeft", 22), ("ArrowRight", 23), ("ArrowUp", 19), ("Home", 0)):
        browser.press(key)
        assert browser.evaluate("tiervdb.pick.backup.at") == picked
    browser.press("Escape")
    assert browser.evaluate("tiervdb.pick.backup") is None
    assert browser.complaints() == []


def test_the_view_and_the_filter(browser: Browser, tmp_path: Path) -> None:
    shown(browser, tmp_path, a_graph(1000, 3))
    everything = browser.evaluate("lanes.to - lanes.from")
    browser.evaluate("byId('zoom-in').click()")
    assert browser.evaluate("lanes.to - lanes.from") == pytest.approx(everything / 2)
    browser.evaluate("select(500); zoomToPicked()")
    assert browser.evaluate("lanes.to - lanes.from") < everything / 20
    browser.evaluate("byId('reset').click()")
    assert browser.evaluate("lanes.to - lanes.from") == everything
    for words, found in (("FULL weekly", 100), ("listed held", 23), ("unlisted", 59), ("nobody", 0), ("", 1000)):
        browser.evaluate(f"byId('filter').value = {words!r}; byId('filter').dispatchEvent(new Event('input'))")
        assert browser.evaluate("list.shown.length") == found
    assert browser.complaints() == []


def test_light_and_dark(browser: Browser, tmp_path: Path) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    shown(browser, tmp_path, a_graph(3), hash="#dark")
    dark = browser.evaluate(ground)
    shown(browser, tmp_path, a_graph(3), hash="#light")
    light = browser.evaluate(ground)
    assert dark != light
    for system, seen in (("dark", dark), ("light", light)):
        browser.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": system}])
        shown(browser, tmp_path, a_graph(3))
        assert browser.evaluate(ground) == seen
    browser.evaluate("byId('theme').click(); byId('theme').click()")
    assert browser.evaluate(ground) == dark
