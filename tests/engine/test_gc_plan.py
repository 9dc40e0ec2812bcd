"""What garbage collection may delete, as a pure function."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec
import pytest

from tests.engine.values import an_id, cold, hot, manifest, pin
from tests.format.values import ref
from tiervdb.engine.gc import GcPlan, LogSpan, names_of, plan
from tiervdb.format.documents import Pin
from tiervdb.format.manifest import CodebookEntry, Manifest
from tiervdb.format.paths import CodebookName, WalName

BOOK = CodebookEntry(id=an_id(20), collection=1, file=ref(CodebookName(an_id(20)).name), trained_rows=5, codec="pq4fs")
CURRENT = manifest(3, 9, [hot(1), hot(2, dead=5)], codebooks=(BOOK,))
OLD = manifest(2, 5, [hot(3), hot(2), cold(4)])


def files_of(*manifests: Manifest) -> list[str]:
    return sorted({name for m in manifests for name in names_of(m) if name.startswith(("segments", "codebooks"))})


def planned(
    files: Sequence[str] = (),
    pinned: Sequence[tuple[Pin, Manifest]] = (),
    logs: Sequence[LogSpan] = (),
    keys: Sequence[str] = (),
    in_use: Collection[str] = (),
    building: Collection[str] = (),
) -> GcPlan:
    return plan(CURRENT, pinned, files, logs, keys, set(in_use), set(building))


def test_what_the_current_manifest_names_stays() -> None:
    assert not planned(files_of(CURRENT)).is_something
    assert f"segments/{an_id(2)}.0000000000000002.dead" in files_of(CURRENT)
    assert BOOK.file.name in files_of(CURRENT)


def test_what_only_an_old_manifest_names_goes() -> None:
    gone = planned(files_of(CURRENT, OLD)).files
    assert gone == tuple(sorted(set(files_of(OLD)) - set(files_of(CURRENT))))
    assert len(gone) > 3


def test_a_pin_keeps_all_of_its_manifest() -> None:
    assert planned(files_of(CURRENT, OLD), [(pin(1, 2, 7), OLD)]).files == ()


def test_open_views_and_running_jobs_keep_what_they_name() -> None:
    orphan = hot(7)
    names = [f.name for f in orphan.files.values()]
    assert planned(names).files == tuple(names)
    assert planned(names, in_use=names[:1]).files == tuple(names[1:])
    assert planned(names, building=[an_id(7)]).files == ()
    book, dead = CodebookName(an_id(8)).name, f"segments/{an_id(7)}.0000000000000009.dead"
    assert planned([book, dead], building=[an_id(8), an_id(7)]).files == ()
    assert planned([book, dead]).files == (book, dead)


@pytest.mark.parametrize("name", ["segments/notes.txt", "segments/x.vectors", f"codebooks/{an_id(3)}.codebook.bak"])
def test_files_of_others_stay(name: str) -> None:
    assert planned([name]).files == ()


def test_cold_objects_go_only_when_nothing_names_them() -> None:
    keys = [f.name for f in cold(4).objects.values()]
    assert planned(keys=keys).keys == tuple(keys)
    assert planned(keys=keys, pinned=[(pin(1, 2, 7), OLD)]).keys == ()
    assert planned(keys=keys, in_use=keys).keys == ()
    with_cold = msgspec.structs.replace(CURRENT, segments=(*CURRENT.segments, cold(4)))
    assert plan(with_cold, (), (), (), keys, set(), set()).keys == ()


def span(first: int, last: int) -> LogSpan:
    return LogSpan(WalName(0, first).name, first, last)


LOGS = [span(1, 3), span(4, 6), span(7, 9), span(10, 12)]


@pytest.mark.parametrize(
    ("pins", "kept"),
    [
        ([], [10]),  # CURRENT is flushed to 9
        ([(5, 5)], [10]),  # exactly a manifest: nothing to replay
        ([(5, 6)], [4, 10]),
        ([(5, 7)], [4, 7, 10]),
        ([(0, 1)], [1, 10]),
        ([(0, 4), (9, 9)], [1, 4, 10]),
        ([(3, 9)], [4, 7, 10]),
    ],
)
def test_logs_stay_between_a_pins_manifest_and_its_seq(pins: list[tuple[int, int]], kept: list[int]) -> None:
    pinned = [(pin(n + 1, 2, seq), manifest(2, flushed)) for n, (flushed, seq) in enumerate(pins)]
    gone = planned(pinned=pinned, logs=LOGS).logs
    assert [s.first_seq for s in LOGS if s not in gone] == kept
