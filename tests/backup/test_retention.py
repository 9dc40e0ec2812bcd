"""Which backups a policy keeps, and why: golden plans, and properties over random histories of random databases.

``python -m tests.backup.test_retention`` writes the golden plans that do not exist yet; it never changes one that does.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiervdb.backup import restore_plan, retention, windows
from tiervdb.backup.holdings import Archived, Holdings, shard_of
from tiervdb.backup.lineage import Lineage
from tiervdb.backup.policy import Policy
from tiervdb.backup.resolve import Point
from tiervdb.backup.retention import RetentionPlan
from tiervdb.backup.windows import Window
from tiervdb.errors import InvalidInputError, StateError
from tiervdb.format.documents import Owner, TimelineRecord
from tiervdb.format.repository_documents import (
    BackupDocument,
    BackupFile,
    CompleteThrough,
    PartHeader,
    RepositoryEpoch,
    ShardBackup,
    TimelineDocument,
)
from tiervdb.format.wal_header import CHAIN_START
from tiervdb.types import to_datetime, to_us

FOLDER = Path(__file__).parent / "golden_retention"
SECOND, HOUR, DAY = 1_000_000, 3_600_000_000, 86_400_000_000
OWNER = Owner(pid=1, host="here")
NOTHING: Policy = Policy(pitr=None, daily=0, weekly=0, monthly=0, min_backups=1, require_restorable=None, lock=None)


def at(text: str) -> int:
    return to_us(datetime.fromisoformat(text).replace(tzinfo=UTC))


@dataclass
class Line:
    """A timeline: the commit time of each of its own seqs and of its fork, its parts, and its end."""

    document: TimelineDocument
    times: dict[int, int]
    parts: list[PartHeader] = field(default_factory=list)
    archived: int = 0
    fence: int | None = None
    complete: CompleteThrough | None = None


class Story:
    """A database that commits, flushes, archives, is backed up and goes on from earlier points; ``now_us`` is moved by
    hand. Commit times grow even where the clock steps back, as in a database."""

    def __init__(self, start_us: int, *, archive: bool = True) -> None:
        self.now_us, self.archive_on = start_us, archive
        self.lines: dict[str, Line] = {}
        self.epochs: list[RepositoryEpoch] = []
        self.backups: list[BackupDocument] = []
        self.holds: dict[str, str] = {}
        self.seq = self.flushed = 0
        self._begin(TimelineRecord(id="main", created_us=start_us), (), {0: start_us})

    @property
    def line(self) -> Line:
        return list(self.lines.values())[-1]

    @property
    def record(self) -> TimelineRecord:
        return self.line.document.timeline

    def wait(self, us: int) -> Story:
        self.now_us += us
        return self

    def commit(self, count: int = 1) -> Story:
        for _ in range(count):
            self.line.times[self.seq + 1] = max(self.now_us, self._time(self.seq) + 1)
            self.seq += 1
        return self.archive() if self.archive_on else self

    def flush(self) -> Story:
        self.flushed = self.seq
        return self

    def archive(self) -> Story:
        return self._part("records")

    def lose_log(self) -> Story:
        """What was committed and not archived is gone from the disk, too."""
        self.flushed = self.seq
        return self._part("gap")

    def complete(self) -> Story:
        time_us = max(self.now_us, self._time(self.seq))
        self.line.complete = CompleteThrough(timeline=self.record.id, shard=0, epoch=1, seq=self.seq, time_us=time_us)
        return self

    def backup(self, label: str | None = None, hold: str | None = None) -> Story:
        log = BackupFile(name="wal", role="wal", size=1, sha256="", object=None)
        shard = ShardBackup(
            shard=0,
            manifest=replace_name(log, "manifest"),
            flushed_seq=self.flushed,
            first_time_us=self._time(self.flushed),
            seq=self.seq,
            time_us=self._time(self.seq),
            chain="",
            files=(log,) if self.seq > self.flushed else (),
        )
        made = BackupDocument(
            id=f"b{len(self.backups) + 1:05}",
            kind="incremental" if self.backups else "full",
            label=label,
            database_id="d",
            timeline=self.record,
            ancestors=self.line.document.ancestors,
            epoch=len(self.epochs),
            created_us=self.now_us,
            finished_us=self.now_us,
            cold="copy",
            shards=(shard,),
            sent_bytes=0,
            sent_objects=0,
        )
        self.backups.append(made)
        if hold is not None:
            self.holds[made.id] = hold
        return self

    def go_on_from(self, seq: int, name: str) -> Story:
        """The database is restored to a seq of the present history and attached: what it is on now ends."""
        last = max([self.line.archived, *(shard_of(b).seq for b in self.backups if b.timeline.id == self.record.id)])
        self.line.fence = last
        lines = (self.record, *self.line.document.ancestors)
        while lines[0].parent is not None and seq <= lines[0].fork_seqs[0]:
            lines = lines[1:]
        fork_time_us = self._time(seq)
        flushed = [shard_of(b).flushed_seq for b in self.backups if b.timeline in lines]
        self.seq, self.flushed = seq, max((f for f in flushed if f <= seq), default=0)
        parent = lines[0].id
        line = TimelineRecord(
            id=name, created_us=self.now_us, parent=parent, fork_seqs=(seq,), fork_time_us=fork_time_us
        )
        self._begin(line, lines, {seq: fork_time_us})
        self.line.archived = seq
        return self

    def held(self) -> Holdings:
        archived = {
            name: Archived(tuple(line.parts), line.fence, line.complete)
            for name, line in self.lines.items()
            if line.parts or line.fence is not None
        }
        documents = {name: line.document for name, line in reversed(self.lines.items())}  # ids are in no order
        lineage = Lineage(documents, tuple(self.epochs))
        return Holdings(lineage, tuple(sorted(self.backups, key=lambda b: (b.created_us, b.id))), archived)

    def times(self, timeline: str) -> dict[int, int]:
        """The commit time of each seq along the history of a timeline."""
        document = self.lines[timeline].document
        found: dict[int, int] = {}
        for branch in reversed(self.held().lineage.history(document.timeline.id)):
            own = self.lines[branch.timeline].times
            found |= {seq: time for seq, time in own.items() if branch.high is None or seq <= branch.high}
        return found

    def _begin(self, record: TimelineRecord, ancestors: tuple[TimelineRecord, ...], times: dict[int, int]) -> None:
        document = TimelineDocument(timeline=record, database_id="d", ancestors=ancestors, created_us=self.now_us)
        self.lines[record.id] = Line(document, times)
        self.epochs.append(
            RepositoryEpoch(
                epoch=len(self.epochs) + 1,
                database_id="d",
                timeline=record.id,
                writer="w",
                created_us=self.now_us,
                owner=OWNER,
            )
        )

    def _time(self, seq: int) -> int:
        for record in (self.record, *self.line.document.ancestors):
            own = self.lines[record.id].times
            if seq in own and (record.parent is None or seq >= record.fork_seqs[0]):
                return own[seq]
        raise AssertionError(seq)

    def _part(self, kind: str) -> Story:
        line = self.line
        if line.archived < self.seq:
            first = line.archived + 1
            line.parts.append(
                PartHeader(
                    kind=kind,  # type: ignore[arg-type]
                    database_id="d",
                    timeline=self.record.id,
                    shard=0,
                    n=len(line.parts) + 1,
                    epoch=1,
                    writer="w",
                    first_seq=first,
                    last_seq=self.seq,
                    first_time_us=line.times[first if kind == "records" else self.seq],
                    last_time_us=line.times[self.seq],
                    before=CHAIN_START.hex() if first == 1 else "",
                    after="",
                    created_us=self.now_us,
                )
            )
            line.archived = self.seq
        return self


def replace_name(file: BackupFile, name: str) -> BackupFile:
    return BackupFile(name=name, role="local", size=file.size, sha256=file.sha256, object=None)


# -- golden plans


@dataclass
class Case:
    story: Story
    policy: Policy = field(default_factory=Policy)
    now: str | None = None  # None: that of the story

    @property
    def now_us(self) -> int:
        return self.story.now_us if self.now is None else at(self.now)


def every(hours: float, count: int, start: str, *, archive: bool = True, flush_each: int = 1) -> Story:
    """A commit and a backup every so many hours."""
    story = Story(at(start), archive=archive)
    for n in range(count):
        story.commit()
        if n % flush_each == 0:
            story.flush()
        story.backup().wait(round(hours * HOUR))
    return story


def edges() -> Story:
    """Two backups on each side of midnight, of the ends of ISO weeks 53 and 1, of a leap day and of a year."""
    story = Story(at("2020-02-28T00:00:00"), archive=False)
    days = "2020-02-28 2020-02-29 2020-03-01 2020-12-27 2020-12-28 2020-12-31 2021-01-01 2021-01-03 2021-01-04"
    for day in days.split():
        for time in ("00:00:00", "00:00:00.000001", "23:59:59.999999"):
            story.wait(at(f"{day}T{time}") - story.now_us).commit().flush().backup()
    return story.wait(at("2021-01-04T23:59:59.999999") - story.now_us)


def gap() -> Story:
    """Ten days whose log was lost, and no backup for two days after them."""
    story = every(24, 20, "2026-01-01T00:00:00")
    story.archive_on = False
    for _ in range(10):
        story.wait(DAY).commit()
    story.lose_log()
    story.archive_on = True
    for n in range(10):
        story.wait(DAY).commit()
        if n >= 2:
            story.flush().backup()
    return story.complete()


def forks() -> Story:
    """Two timelines that were given up, one months ago and one five days ago, and the present one."""
    story = every(24, 60, "2026-01-01T00:00:00", flush_each=2)
    story.go_on_from(50, "first fork")
    for _ in range(40):
        story.wait(DAY).commit().flush().backup()
    story.go_on_from(88, "second fork")
    for _ in range(5):
        story.wait(DAY).commit().flush().backup()
    return story.complete()


def fork_from_an_old_backup() -> Story:
    story = every(24, 80, "2026-01-01T00:00:00")
    story.go_on_from(20, "fork")
    for _ in range(5):
        story.wait(DAY).commit().flush().backup()
    return story.complete()


def jumped_clock() -> Story:
    """For a while the clock was two years ahead; commit times do not go back after it."""
    story = every(24, 20, "2026-01-01T00:00:00")
    story.wait(700 * DAY).backup("made by a wrong clock").wait(-700 * DAY)
    story.wait(730 * DAY).commit().flush().backup("committed by a wrong clock").wait(-730 * DAY)
    for _ in range(3):
        story.wait(DAY).commit().flush().backup()
    return story


def long_parts() -> Story:
    """A part every five days, which begins and ends between two backups."""
    story = Story(at("2026-01-01T00:00:00"), archive=False)
    for n in range(40):
        story.wait(DAY).commit()
        if n % 4 == 0:
            story.flush().backup()
        if n % 5 == 0:
            story.archive()
    return story


def idle() -> Story:
    """Nothing was committed for forty days, and the archive is known to be complete."""
    return every(24, 10, "2026-01-01T00:00:00", flush_each=5).wait(40 * DAY).complete()


def holds() -> Story:
    story = every(24, 60, "2026-01-01T00:00:00", archive=False)
    story.holds = {"b00003": "by its id", "b00004": "of a label", "b00059": "kept anyway"}
    return story


CASES: dict[str, Callable[[], Case]] = {
    "hourly_for_three_years": lambda: Case(every(1, 3 * 365 * 24, "2024-01-01T00:30:00", flush_each=24)),
    "daily_only": lambda: Case(
        every(6, 200, "2026-01-01T00:00:00"),
        Policy(pitr=None, daily=7, weekly=0, monthly=0, min_backups=1, require_restorable=None),
    ),
    "calendar_edges": lambda: Case(edges(), replace(NOTHING, daily=3, weekly=3, monthly=12, yearly=2, hourly=2)),
    "no_backups": lambda: Case(Story(at("2026-01-01T00:00:00")).commit(3)),
    "one_backup": lambda: Case(every(1, 1, "2025-01-01T00:00:00"), NOTHING, "2026-01-01T00:00:00"),
    "all_in_the_future": lambda: Case(every(24, 5, "2026-01-01T00:00:00"), now="2025-12-01T00:00:00"),
    "jumped_clock": lambda: Case(jumped_clock()),
    "gap_in_the_archive": lambda: Case(gap(), Policy(pitr="14d", daily=2, weekly=0, monthly=0)),
    "no_archive": lambda: Case(
        every(24, 60, "2026-01-01T00:00:00", archive=False), Policy(daily=20, require_restorable=None)
    ),
    "two_abandoned_forks": lambda: Case(forks(), Policy(daily=3, weekly=1, monthly=6)),
    "fork_from_an_old_backup": lambda: Case(fork_from_an_old_backup(), Policy(daily=0, weekly=0, monthly=0)),
    "origin": lambda: Case(every(24, 10, "2026-01-01T00:00:00", flush_each=5)),
    "long_parts": lambda: Case(long_parts(), Policy(daily=0, weekly=0, monthly=0)),
    "idle": lambda: Case(idle(), Policy(pitr="5d", daily=0, weekly=0, monthly=1)),
    "holds": lambda: Case(holds(), Policy(pitr="3d", daily=0, weekly=0, monthly=0, require_restorable=None)),
    "no_pitr": lambda: Case(every(24, 40, "2026-01-01T00:00:00"), Policy(pitr=None)),
    "no_pitr_and_nothing_required": lambda: Case(
        every(24, 40, "2026-01-01T00:00:00"), Policy(pitr=None, daily=5, weekly=0, require_restorable=None)
    ),
    "pitr_shorter_than_required": lambda: Case(every(24, 40, "2026-01-01T00:00:00"), Policy(pitr="2d", daily=10)),
    "fewer_than_min_backups": lambda: Case(
        every(24, 3, "2025-01-01T00:00:00", archive=False), replace(NOTHING, min_backups=5), "2026-01-01T00:00:00"
    ),
    "by_timedelta": lambda: Case(
        every(24, 30, "2026-01-01T00:00:00"), Policy(pitr=timedelta(hours=36), daily=4, require_restorable="1d")
    ),
}


def text(case: Case) -> str:
    held, now_us = case.story.held(), case.now_us
    head = [f"now: {moment(now_us)}", f"policy: {case.policy}", f"current: {case.story.record.id}", ""]
    try:
        plan = retention.plan(held, case.story.holds, case.policy, now_us)
    except StateError as error:
        return "\n".join([*head, f"StateError: {error}", ""])
    documents = {backup.id: backup for backup in held.backups}
    log = [log_line(held, name, plan.log_from.get(name, retention.NOTHING)) for name in held.archived]
    gone = [
        f"no longer restorable: commits {first} to {last} of {name}"
        for name in held.lineage.timelines
        for first, last in intervals(seqs_of(plan.vanishing, name))
    ]
    return "\n".join([*head, *decision_lines(plan, documents), "", *log, "", *gone, ""])


def decision_lines(plan: RetentionPlan, documents: dict[str, BackupDocument]) -> Iterator[str]:
    """One a backup, newest first; of many after each other with the same verdict, the first, their number and the
    last."""
    for (keep, reasons), found in groupby(plan.decisions, key=lambda d: (d.keep, d.reasons)):
        run = list(found)
        shown = [run[0], run[-1]] if len(run) > 3 else run
        for number, decision in enumerate(shown):
            if number == 1 and len(run) > 3:
                yield f"         ... and {len(run) - 2} between them, for the same reason"
            backup = documents[decision.backup]
            shard, line = shard_of(backup), backup.timeline.id
            label = "" if decision.label is None else f" {decision.label!r}"
            yield (
                f"{'keep' if keep else 'expire':6} {backup.id}{label} {moment(decision.time_us)} "
                f"({line} {shard.flushed_seq}..{shard.seq}): {'; '.join(reasons)}"
            )


def log_line(held: Holdings, timeline: str, seq: int) -> str:
    found = held.archived[timeline]
    gone = [part.n for part in retention.needless(found, seq)]
    what = f"parts {gone[0]} to {gone[-1]} of" if gone else "none of"
    return f"log of {timeline}: {what} {len(found.parts)} parts go"


def seqs_of(found: Sequence[Window], timeline: str) -> set[int]:
    return {seq for w in found if w.timeline == timeline for seq in range(w.first_seq, w.last_seq + 1)}


def intervals(seqs: set[int]) -> Iterator[tuple[int, int]]:
    for _, found in groupby(enumerate(sorted(seqs)), key=lambda pair: pair[1] - pair[0]):
        run = [seq for _, seq in found]
        yield run[0], run[-1]


def moment(us: int) -> str:
    return to_datetime(us).isoformat(sep=" ").removesuffix("+00:00")


@pytest.mark.parametrize("name", CASES)
def test_golden(name: str) -> None:
    assert text(CASES[name]()) == (FOLDER / f"{name}.txt").read_text()


def test_every_golden_plan_is_known() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == set(CASES)


# -- properties

ACTIONS = ("commit", "commit", "commit", "flush", "archive", "complete", "backup", "backup", "lose_log", "go_on_from")
WAITS = (0, SECOND, HOUR, 11 * HOUR, DAY, 3 * DAY, 9 * DAY)


def told(seed: int) -> Story:
    """Five to seventy steps of a database that archives, or now and then only."""
    rng = random.Random(seed)
    story = Story(at("2019-12-20T21:00:00"), archive=rng.random() < 0.5)
    for number in range(rng.randrange(5, 70)):
        story.wait(rng.choice(WAITS))
        action = rng.choice(ACTIONS)
        if action == "commit":
            story.commit(rng.randrange(1, 4))
        elif action == "go_on_from":
            known = [seq for w in windows.windows(story.held(), story.record.id) for seq in (w.first_seq, w.last_seq)]
            if known:
                story.go_on_from(rng.randint(min(known), max(known)), f"line {number}")
        else:
            getattr(story, action)()
    return story


STORIES = st.integers(0, 2**32).map(told)
DURATIONS = st.sampled_from([None, "1s", "3h", "1d", "5d", "14d", "60d"])
COUNTS = st.sampled_from([0, 0, 0, 1, 3])
POLICIES = st.builds(
    Policy,
    pitr=DURATIONS,
    hourly=COUNTS,
    daily=COUNTS,
    weekly=COUNTS,
    monthly=COUNTS,
    yearly=COUNTS,
    min_backups=st.sampled_from([1, 1, 2, 4]),
    require_restorable=st.just(None),
)
LATER = st.sampled_from([0, 1, HOUR, DAY, 20 * DAY])


def applied(held: Holdings, plan: RetentionPlan) -> Holdings:
    return retention.rest(held, plan.expiring, plan.log_from)


def restorable(held: Holdings, timeline: str) -> set[int]:
    """The seqs along the history of a timeline that can be restored, as restores plan it."""
    history = held.lineage.history(timeline)
    reaches = windows.reaches(held, history)
    found = {seq for reach in reaches for seq in range(reach.first, reach.until + 1)}
    for seq in found:
        assert restore_plan.plan(held, Point(history, seq)).seq == seq
    return found


def in_force(story: Story, timeline: str, since_us: int) -> set[int]:
    """The seqs that are known to have been the state of a history at a moment from a time until now."""
    held, times = story.held(), story.times(timeline)
    archived = held.archived.get(timeline)
    complete = archived.complete if archived is not None else None
    found = set()
    for reach in windows.reaches(held, held.lineage.history(timeline)):
        ends = {seq: times[seq + 1] - 1 for seq in range(reach.first, reach.until)}
        ends[reach.until] = reach.last_time_us
        if complete is not None and complete.seq == reach.until:
            ends[reach.until] = max(reach.last_time_us, complete.time_us)
        found |= {seq for seq, end in ends.items() if end >= since_us and times[seq] <= story.now_us}
    return found


@settings(max_examples=300, deadline=None)
@given(STORIES, POLICIES, LATER)
def test_every_moment_of_pitr_stays_restorable(story: Story, policy: Policy, later: int) -> None:
    before, since_us = story.wait(later).held(), story.now_us - policy.us("pitr")
    after = applied(before, retention.plan(before, {}, policy, story.now_us))
    for timeline in before.lineage.timelines if policy.pitr is not None else ():
        assert in_force(story, timeline, since_us) <= restorable(after, timeline)


@settings(max_examples=150, deadline=None)
@given(STORIES, POLICIES, LATER)
def test_every_period_keeps_its_newest_backup(story: Story, policy: Policy, later: int) -> None:
    now_us = story.wait(later).now_us
    held = story.held()
    plan = retention.plan(held, {}, policy, now_us)
    kept = {d.backup for d in plan.decisions if d.keep}
    history = {b.timeline: b for b in held.lineage.history(story.record.id)}
    mine = [b for b in held.backups if (branch := history.get(b.timeline.id)) and _state_is_on(b, branch.high)]
    by_time = sorted(mine, key=lambda b: (shard_of(b).time_us, b.created_us, b.id))
    assert {b.id for b in by_time[-policy.min_backups :]} <= kept
    now = to_datetime(now_us)
    for name, period in PERIODS.items():
        slots = {period(now) - number for number in range(getattr(policy, name))}
        newest = {period(to_datetime(shard_of(b).time_us)): b.id for b in by_time}
        assert {newest[slot] for slot in slots & newest.keys()} <= kept


PERIODS: dict[str, Callable[[datetime], int]] = {
    "hourly": lambda t: t.toordinal() * 24 + t.hour,
    "daily": lambda t: t.toordinal(),
    "weekly": lambda t: (t.toordinal() - 1) // 7,  # 1 is a Monday
    "monthly": lambda t: t.year * 12 + t.month,
    "yearly": lambda t: t.year,
}


def _state_is_on(backup: BackupDocument, high: int | None) -> bool:
    return high is None or shard_of(backup).seq <= high


def _manifest_is_on(backup: BackupDocument, high: int | None) -> bool:
    return high is None or shard_of(backup).flushed_seq <= high


@settings(max_examples=150, deadline=None)
@given(STORIES, POLICIES, DURATIONS, LATER)
def test_what_is_required_never_breaks_silently(story: Story, policy: Policy, required: str | None, later: int) -> None:
    policy = replace(policy, require_restorable=required)
    before = story.wait(later).held()
    try:
        after = applied(before, retention.plan(before, {}, policy, story.now_us))
    except StateError:
        assert required is not None
        return
    for branch in before.lineage.history(story.record.id) if required is not None else ():
        since_us = story.now_us - policy.us("require_restorable")
        young = {seq for seq, time_us in story.times(branch.timeline).items() if time_us > since_us}
        assert restorable(before, branch.timeline) & young <= restorable(after, branch.timeline)


@settings(max_examples=150, deadline=None)
@given(STORIES, POLICIES, LATER)
def test_a_second_plan_finds_nothing_more(story: Story, policy: Policy, later: int) -> None:
    now_us = story.wait(later).now_us
    before = story.held()
    first = retention.plan(before, {}, policy, now_us)
    after = applied(before, first)
    second = retention.plan(after, {}, policy, now_us)
    assert second.expiring == ()
    assert second.vanishing == ()
    assert applied(after, second) == after


@settings(max_examples=150, deadline=None)
@given(STORIES, POLICIES, LATER, LATER)
def test_what_went_once_would_go_later_too(story: Story, policy: Policy, later: int, much_later: int) -> None:
    now_us = story.wait(later).now_us
    held = story.held()
    first, second = (retention.plan(held, {}, policy, time) for time in (now_us, now_us + much_later))
    assert set(first.expiring) <= set(second.expiring)
    assert all(second.log_from[line] >= seq for line, seq in first.log_from.items())


@settings(max_examples=150, deadline=None)
@given(STORIES, POLICIES, st.data())
def test_a_hold_keeps_a_backup_and_its_state(story: Story, policy: Policy, data: st.DataObject) -> None:
    held = story.held()
    if not held.backups:
        return
    one = data.draw(st.sampled_from(held.backups))
    plan = retention.plan(held, {one.id: "audit"}, policy, story.now_us)
    (decision,) = [d for d in plan.decisions if d.backup == one.id]
    assert decision.keep
    assert "held: audit" in decision.reasons
    branch = held.lineage.history(one.timeline.id)
    found = restore_plan.plan(applied(held, plan), Point(branch, shard_of(one).seq))
    assert found.seq == shard_of(one).seq
    without = retention.plan(held, {}, policy, story.now_us)
    assert set(plan.expiring) <= set(without.expiring) <= {*plan.expiring, one.id}


@settings(max_examples=150, deadline=None)
@given(STORIES, POLICIES)
def test_the_newest_state_stays(story: Story, policy: Policy) -> None:
    """Where something was committed, or is known to be complete, within ``pitr``."""
    held, line = story.held(), story.record.id
    newest = max(restorable(held, line), default=0)
    after = applied(held, retention.plan(held, {}, policy, story.now_us))
    if policy.pitr is not None and newest in in_force(story, line, story.now_us - policy.us("pitr")):
        assert newest in restorable(after, line)


@settings(max_examples=150, deadline=None)
@given(STORIES, POLICIES, LATER)
def test_vanishing_is_what_is_lost(story: Story, policy: Policy, later: int) -> None:
    held = story.held()
    plan = retention.plan(held, {}, policy, story.wait(later).now_us)
    before, after = windows.windows(held), windows.windows(applied(held, plan))
    for line in held.lineage.timelines:
        assert seqs_of(plan.vanishing, line) == seqs_of(before, line) - seqs_of(after, line)


INTERVALS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 8), st.sampled_from("ab")), max_size=6)


@given(INTERVALS, INTERVALS)
def test_lost_against_brute_force(before: list[tuple[int, int, str]], after: list[tuple[int, int, str]]) -> None:
    one, two = ([Window(line, low, low + n, low, low + n, ()) for low, n, line in found] for found in (before, after))
    for line in "ab":
        assert seqs_of(retention.lost(one, two), line) == seqs_of(one, line) - seqs_of(two, line)


# -- policies


@pytest.mark.parametrize(
    "wrong",
    [
        {"pitr": "14"},
        {"pitr": "14 days"},
        {"pitr": 14},
        {"pitr": "-1d"},
        {"pitr": timedelta(-1)},
        {"lock": "1.5d"},
        {"require_restorable": ""},
        {"daily": -1},
        {"daily": 1.5},
        {"daily": True},
        {"min_backups": 0},
    ],
)
def test_policies_that_cannot_be_used(wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidInputError, match=next(iter(wrong))):
        Policy(**wrong)  # type: ignore[arg-type]


def test_durations() -> None:
    given = {"30s": 30, "5m": 300, "12h": 43_200, "2 w": 1_209_600, "1y": 31_536_000, timedelta(hours=1): 3600, None: 0}
    for duration, seconds in given.items():
        assert Policy(pitr=duration).us("pitr") == seconds * SECOND
    assert str(Policy(pitr=timedelta(hours=1), lock=None, weekly=0)) == (
        "pitr=3600s, daily=30, monthly=24, min_backups=2, require_restorable=7d"
    )


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, case in CASES.items():
        path = FOLDER / f"{name}.txt"
        if not path.exists():
            path.write_text(text(case()))
            print("wrote", path)


if __name__ == "__main__":
    main()
