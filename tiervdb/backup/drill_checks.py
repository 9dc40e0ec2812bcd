"""What a drill compares in the database that it restored. Each check says in sentences what does not hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean

import numpy as np
import pyarrow as pa

from tiervdb.backup import drill_log, golden
from tiervdb.backup.drill_log import LogTold
from tiervdb.backup.golden import NEIGHBOURS, Answer
from tiervdb.backup.holdings import Holdings, shard_of, stretches
from tiervdb.backup.log_reader import LogReader
from tiervdb.backup.restore import Restored
from tiervdb.backup.restore_plan import RestorePlan
from tiervdb.backup.vault import Vault
from tiervdb.engine import check as engine_check
from tiervdb.engine.reader import Reader
from tiervdb.engine.view import Place, View
from tiervdb.errors import TiervdbError
from tiervdb.format.columns import id_arrow_type
from tiervdb.format.repository_documents import GoldenQuery
from tiervdb.types import CollectionSchema, to_datetime

WORST_RECALL = 0.9  # of searches with defaults against exact ones, on average
WORST_SHARE = 0.9  # of the neighbours that a backup names, to be found again
_FINDINGS = 20  # of files that are spelled out


@dataclass(frozen=True)
class Drilled:
    """A database that was restored and is open, and what it was restored from."""

    vault: Vault
    held: Holdings
    plan: RestorePlan
    restored: Restored
    reader: Reader


@dataclass(frozen=True)
class Checked:
    """``queries``: golden ones that were asked. ``recall``: mean, of these. ``share``: see DrillOperation."""

    problems: tuple[str, ...]
    files: int = 0
    queries: int = 0
    recall: float | None = None
    share: float | None = None


@dataclass(frozen=True)
class _Golden:
    queries: int
    recall: float | None
    share: float | None
    problems: tuple[str, ...]


def check(drilled: Drilled) -> Checked:
    """All checks, each of which is made whatever the others found. Never raises for damage."""
    problems: list[str] = []
    log = LogReader(drilled.vault)
    view = drilled.reader.view()

    def note(what: str, look: Callable[[], Sequence[str]]) -> None:
        try:
            problems.extend(look())
        except TiervdbError as error:
            problems.append(f"{what} could not be checked: {error}")

    note("the restored commit", lambda: list(_point(drilled, log)))
    told = _told(drilled, log, problems)
    if told is not None:
        problems += told.problems
        problems += _document(drilled.plan, told)
        problems += _counts(view, told.ledger.rows)
    for schema in view.catalog.collections.values():
        note(f"the ids of collection {schema.name}", partial(_ids, view, schema))
    report = _files(drilled)
    problems += _sentences(report)
    try:
        asked = _golden(drilled.plan, view, _unchanged(drilled.plan, told))
    except TiervdbError as error:
        asked = _Golden(0, None, None, (f"the golden queries could not be asked: {error}",))
    return Checked((*problems, *asked.problems), report.files, asked.queries, asked.recall, asked.share)


def first_query(view: View, queries: Sequence[GoldenQuery]) -> None:
    """Answers a search near a row: a golden query if there is one, else any; nothing where there is no row."""
    for schema, vectors in _questions(view, queries):
        outcome = view.search(schema, vectors, NEIGHBOURS)
        hits = np.flatnonzero(outcome.sources[0] >= 0)
        view.fetch(schema, Place(outcome.sources[0][hits], outcome.rows[0][hits]), (), vectors=False)
        return


# -- the point


def _point(drilled: Drilled, log: LogReader) -> Iterator[str]:
    """The commit that was planned, with its time, and for a time the last one that was made by then."""
    plan, restored, view = drilled.plan, drilled.restored, drilled.reader.view()
    due = _time_of(plan, log)
    if not restored.seq == view.seq == plan.seq:
        yield f"commit {plan.seq} was to be restored, {restored.seq} was, and {view.seq} shows when it is opened"
    if not restored.time_us == view.time_us == due:
        yield (
            f"commit {plan.seq} was made at {_text(due)}, was restored as of {_text(restored.time_us)}, and says "
            f"{_text(view.time_us)} when it is opened"
        )
    asked = plan.point.time_us
    if asked is None:
        return
    if restored.time_us > asked:
        yield f"commit {restored.seq}, of {_text(restored.time_us)}, is later than {_text(asked)}, which was asked for"
    later = _successor_us(drilled, log)
    if later is not None and later <= asked:
        yield f"commit {restored.seq + 1}, of {_text(later)}, is missing: {_text(asked)} was asked for"


def _time_of(plan: RestorePlan, log: LogReader) -> int:
    """The commit time of the plan's point, by what the repository holds."""
    if not plan.steps:
        return shard_of(plan.backup).first_time_us
    return next(at for seq, at in log.times(plan.steps[-1].stretch) if seq == plan.seq)


def _successor_us(drilled: Drilled, log: LogReader) -> int | None:
    """The time of the commit after the restored one along the history; None where none is held."""
    seq = drilled.restored.seq
    for stretch in stretches(drilled.held, drilled.plan.point.history):
        if stretch.after <= seq < stretch.until:
            return next(at for number, at in log.times(stretch) if number == seq + 1)
    return None


# -- rows


def _told(drilled: Drilled, log: LogReader, problems: list[str]) -> LogTold | None:
    local, manifest = drilled.reader.env.local, drilled.reader.manifest()
    try:
        return drill_log.walk(local, manifest, drilled.plan, drilled.held, log)
    except TiervdbError as error:
        problems.append(f"the restored log could not be checked: {error}")
        return None


def _document(plan: RestorePlan, told: LogTold) -> Iterator[str]:
    """The rows that the backup's document names at its own commit, against manifest and log."""
    backup = plan.backup
    named = {collection.id: (collection.name, collection.rows) for collection in backup.collections}
    if told.then is None or not named:  # an empty database, an origin, or a document of before there were names
        return
    for number in sorted(named.keys() | told.then.keys()):
        name, rows = named.get(number, (f"number {number}", None))
        known = told.then.get(number)
        if rows != known:
            yield (
                f"collection {name} at commit {shard_of(backup).seq}: {_rows(rows)} by the document of backup "
                f"{backup.id}, {_rows(known)} by its manifest and log"
            )


def _rows(count: int | None) -> str:
    return "not there" if count is None else f"{count} rows"


def _counts(view: View, rows: Mapping[int, int]) -> Iterator[str]:
    found = view.catalog.collections
    for number in sorted(found.keys() ^ rows.keys()):
        name = found[number].name if number in found else f"number {number}"
        yield f"collection {name} {'should not be there' if number in found else 'is missing'}, by the log"
    for schema in found.values():
        due, count = rows.get(schema.id), view.count(schema)
        if due is not None and due != count:
            yield f"collection {schema.name} has {count} rows instead of {due}, which its log says"


def _ids(view: View, schema: CollectionSchema) -> list[str]:
    """Reads every id."""
    batches = list(view.scan(schema, None, (), vectors=False))
    kind = id_arrow_type(schema.id_type)
    every = pa.chunked_array([batch.column("id") for batch in batches], kind)
    problems = []
    if len(every) != view.count(schema):
        problems.append(f"collection {schema.name} counts {view.count(schema)} rows, and {len(every)} are there")
    twice = len(every) - len(pa.compute.unique(every))
    if twice:
        problems.append(f"collection {schema.name} holds {twice} rows whose ids are there already")
    return problems


# -- files


def _files(drilled: Drilled) -> engine_check.Report:
    env = drilled.reader.env
    return engine_check.check(env.local, env.shard, env.opener.cold_store, env.tools)


def _sentences(report: engine_check.Report) -> Iterator[str]:
    yield from (f"{finding.file}: {finding.problem}" for finding in report.findings[:_FINDINGS])
    if len(report.findings) > _FINDINGS:
        yield f"and {len(report.findings) - _FINDINGS} more findings in its files"


# -- answers


def _unchanged(plan: RestorePlan, told: LogTold | None) -> frozenset[int]:
    """The collections that are as the backup left them."""
    if told is None or not drill_log.passes(plan):
        return frozenset()
    return told.ledger.untouched_since(shard_of(plan.backup).seq)


def _golden(plan: RestorePlan, view: View, unchanged: frozenset[int]) -> _Golden:
    """Asks the backup's golden queries of all collections that are there.

    Their recall is a problem only where a collection has as many rows as are asked for: with fewer, one that is missed
    weighs too much. What the backup found is expected again only in collections that are ``unchanged``.
    """
    named, again = 0, 0
    asked: list[Answer] = []
    judged: list[float] = []
    for schema in view.catalog.collections.values():
        queries = [query for query in plan.backup.golden if query.collection == schema.id]
        answers = golden.ask(view, schema, queries) if queries else {}
        asked += answers.values()
        if view.count(schema) >= NEIGHBOURS:
            judged += [answer.recall for answer in answers.values()]
        if schema.id in unchanged:
            named += sum(len(query.neighbours) for query in queries)
            again += sum(_found_again(query, answers.get(query.id)) for query in queries)
    share = again / named if named else None
    recall = fmean(answer.recall for answer in asked) if asked else None
    problems = []
    if judged and fmean(judged) < WORST_RECALL:
        problems.append(f"the recall of {len(judged)} golden queries is {fmean(judged):.3f}, below {WORST_RECALL}")
    if share is not None and share < WORST_SHARE:
        problems.append(
            f"of the neighbours that backup {plan.backup.id} names, only {share:.1%} are found again, although nothing "
            "was written since"
        )
    return _Golden(len(asked), recall, share, tuple(problems))


def _found_again(query: GoldenQuery, answer: Answer | None) -> int:
    return 0 if answer is None else len(set(query.neighbours) & set(answer.found))


def _questions(view: View, queries: Sequence[GoldenQuery]) -> Iterator[tuple[CollectionSchema, np.ndarray]]:
    """Collections, each with the vector of one of its rows as ``(1, dim)``; those of golden queries first."""
    schemas = view.catalog.collections
    for query in queries:
        schema = schemas.get(query.collection)
        if schema is not None:
            place = view.locate(schema, pa.array([query.id], id_arrow_type(schema.id_type)))
            if place.sources[0] >= 0:
                yield schema, view.vectors(schema, place)
    for schema in sorted(schemas.values(), key=lambda s: (-view.count(s), s.id)):
        for number, source in enumerate(view.sources(schema)):
            live = source.live()
            rows = np.arange(min(source.rows, 1)) if live is None else np.flatnonzero(live)[:1]
            if len(rows):
                yield schema, view.vectors(schema, Place(np.array([number]), rows))


def _text(time_us: int) -> str:
    return to_datetime(time_us).isoformat()
