"""Bringing rows, or a dropped collection, back from an earlier state into the live database, as one commit."""

from __future__ import annotations

from collections.abc import Collection as Names
from dataclasses import dataclass, replace
from typing import Literal

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from tiervdb.database import diff
from tiervdb.database.diff import State
from tiervdb.database.filters import Params, to_filter
from tiervdb.database.session import Session, named
from tiervdb.database.writes import Build
from tiervdb.engine.view import View
from tiervdb.errors import InvalidInputError, SchemaError
from tiervdb.format.operations import CreateCollection, Operation, UpsertRows
from tiervdb.types import CollectionSchema, Column, Commit, RowBatch

Mode = Literal["missing", "changed", "all"]
MODES: tuple[Mode, ...] = ("missing", "changed", "all")
_SAMPLE = 10
_NEW = 0  # provisional number of a collection that the commit makes


@dataclass(frozen=True)
class Recovery:
    """What was, or would be, brought back from commit ``from_seq``. ``commit``: None for a dry run, or for nothing.

    ``missing``, ``changed``: how many rows of each kind. ``creates``: whether the collection is made anew.
    """

    collection: str
    from_seq: int
    missing: int
    changed: int
    creates: bool
    sample_ids: tuple[int | str, ...]
    commit: Commit | None

    @property
    def rows(self) -> int:
        return self.missing + self.changed


@dataclass(frozen=True)
class RecoverWish:
    """Which rows: ``mode``, and those that ``where`` matches in the earlier state. ``leave_out``: columns to forget."""

    mode: Mode = "missing"
    where: str | None = None
    params: Params = None
    leave_out: Names[str] = ()


def recover(session: Session, name: str, past: View, wish: RecoverWish, dry_run: bool) -> Recovery:
    """See Database.recover."""
    if wish.mode not in MODES:
        raise InvalidInputError(f'recover: mode={wish.mode!r} is not known; give "missing", "changed" or "all"')
    then = named(past.catalog, name)
    now_view = session.view()
    now = now_view.schema(name) if name in now_view.collections() else None
    wanted = _wanted(State(now_view, now), State(past, then), wish)
    if now is not None:
        _check_columns(now, then, wish)
    plan = Recovery(
        collection=name,
        from_seq=past.seq,
        missing=len(wanted.missing),
        changed=len(wanted.changed),
        creates=now is None,
        sample_ids=tuple(pa.concat_arrays([wanted.missing, wanted.changed]).slice(0, _SAMPLE).to_pylist()),
        commit=None,
    )
    if dry_run or (now is not None and not plan.rows):
        return plan
    note = f"recovered {plan.rows} rows of {name} from commit {past.seq}"
    shard = session.shard("recover")
    if now is None:
        made = msgspec.structs.replace(then, id=_NEW, columns=_kept(then, wish))
        operations: list[Operation] = [CreateCollection(made)]
        if plan.rows:
            operations.append(UpsertRows(_NEW, _batch(past, then, made, wanted.missing)))
        commit = shard.commit(operations, note)
    else:
        commit = shard.commit_where(_builder(past, then, now, wish), now, note)
    return replace(plan, commit=commit)


@dataclass(frozen=True)
class _Wanted:
    missing: pa.Array
    changed: pa.Array


def _wanted(now: State, then: State, wish: RecoverWish, only: pa.Array | None = None) -> _Wanted:
    """The ids to bring back, as the wish says; among ``only``, if given."""
    assert then.schema is not None
    found = diff.candidates(now, then)
    missing, both = found.removed, found.both
    if only is not None:
        missing, both = (ids.filter(pc.is_in(ids, value_set=only)) for ids in (missing, both))
    condition = to_filter(wish.where, wish.params, then.schema)
    if condition is not None:
        matching = then.view.matching_ids(then.schema, condition)
        missing, both = (ids.filter(pc.is_in(ids, value_set=matching)) for ids in (missing, both))
    nothing = missing.slice(0, 0)
    changed = nothing
    if wish.mode != "missing":
        parts = [part.ids for part in diff.changes(now, then, both)]
        changed = pa.concat_arrays(parts) if parts else nothing
    return _Wanted(nothing if wish.mode == "changed" else missing, changed)


def _builder(past: View, then: CollectionSchema, now: CollectionSchema, wish: RecoverWish) -> Build:
    """For commit_where: the rows to bring back into a view, again for those that were written since."""

    def build(view: View, only: pa.Array | None) -> list[Operation]:
        schema = view.schema(now.name)
        wanted = _wanted(State(view, schema), State(past, then), wish, only)
        ids = pa.concat_arrays([wanted.missing, wanted.changed])
        return [UpsertRows(schema.id, _batch(past, then, schema, ids))]

    return build


def _batch(past: View, then: CollectionSchema, target: CollectionSchema, ids: pa.Array) -> RowBatch:
    """The rows as they were, with the target's numbers of columns."""
    pairs = diff.common_columns(target, then)
    place = past.locate(then, ids)
    table = past.fetch(then, place, [old for _, old in pairs], vectors=False, ids=ids)
    columns = {new.id: _one(table.column(old.name)) for new, old in pairs}
    return RowBatch(ids, past.vectors(then, place), columns)


def _one(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)


def _check_columns(now: CollectionSchema, then: CollectionSchema, wish: RecoverWish) -> None:
    """SchemaError where rows cannot be as they were, for the collection is another one now."""
    if (now.dim, now.metric, now.id_type) != (then.dim, then.metric, then.id_type):
        raise SchemaError(
            f"recover: {now.name!r} was made anew since, with dim {now.dim}, {now.metric} and {now.id_type} "
            f"ids instead of dim {then.dim}, {then.metric} and {then.id_type}; drop it, and recover the old one then"
        )
    common = {new.name for new, _ in diff.common_columns(now, then)}
    lost = sorted(c.name for c in then.columns if c.name not in common and c.name not in set(wish.leave_out))
    if lost:
        raise SchemaError(
            f"recover: {', '.join(lost)} of {now.name!r} was dropped or has another type since; add it again, or give "
            f"leave_out={lost!r} to bring the rows back without"
        )


def _kept(then: CollectionSchema, wish: RecoverWish) -> tuple[Column, ...]:
    return tuple(column for column in then.columns if column.name not in set(wish.leave_out))
