"""What the catalog's tables say, against what was done."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from tests.backup.conftest import World, create, put
from tests.backup.test_backup import made
from tests.backup.test_catalog_world import Story, rows, told
from tiervdb.backup import leases
from tiervdb.backup.values import Backup, RestorableWindow
from tiervdb.engine.identity import this_process
from tiervdb.format import repository_documents as documents
from tiervdb.format import repository_paths as paths
from tiervdb.format.repository_documents import BackupDocument, BackupFile

OWNER = this_process()
DONE_BY = {"user": OWNER.user, "host": OWNER.host, "version": OWNER.version}
LATE = "f" * 32


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """Only read by tests."""
    return told(tmp_path_factory.mktemp("story"))


def table(story: Story, name: str) -> list[dict[str, Any]]:
    return rows(story.repository, name)


def ask(story: Story, query: str) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = story.repository.sql(query).fetchall()
    return found


def document(story: Story, backup: str) -> BackupDocument:
    found = story.repository.open().vault.read(paths.BackupKey(backup).key, documents.decode_backup)
    assert isinstance(found, BackupDocument)
    return found


def names(story: Story) -> dict[str, str]:
    """Ids of backups to the names that this story has for them."""
    return {backup.id: name for name, backup in story.backups.items()} | {LATE: "late"}


# -- backups


def test_backups_say_what_making_them_said(story: Story) -> None:
    found = {row["id"]: row for row in table(story, "backups")}
    assert {names(story)[id] for id in found} == {"full", "second", "gone", "late", "last"}
    same = set(Backup.__dataclass_fields__) - {"snapshots"}
    for backup in story.backups.values():
        row = found[backup.id]
        assert {name: row[name] for name in same} == {name: getattr(backup, name) for name in same}
        assert tuple(row["snapshots"]) == backup.snapshots
        assert row["seconds"] == (backup.finished - backup.created).total_seconds()
        assert row.items() >= DONE_BY.items()
    assert [names(story)[row["id"]] for row in found.values() if row["listed"]] == ["full", "second", "last"]


def test_where_backups_come_from(story: Story) -> None:
    found = ask(
        story, "select id, database_id, timeline, epoch, rows, cold, cold_url from backups order by created, id"
    )
    cold_url = f"file://{story.world.folder / 'cold'}"
    old = (story.databases["old"], story.timelines["old"], 1)
    new = (story.databases["new"], story.timelines["new"], 3)
    assert [(names(story)[id], *rest) for id, *rest in found] == [
        ("full", *old, 300, "copy", cold_url),
        ("second", *old, 330, "reference", cold_url),
        ("late", *old, 330, "reference", cold_url),
        ("gone", *old, 350, "copy", cold_url),
        ("last", *new, 480, "copy", cold_url),
    ]


def test_why_backups_are_not_listed_and_what_is_held(story: Story) -> None:
    found = ask(story, "select id, listed, unlisted_reason, held from backups")
    assert {names(story)[id]: rest for id, *rest in found} == {
        "full": [True, None, True],
        "second": [True, None, False],
        "gone": [False, "too old", False],
        "late": [False, "made after another writer had taken over", False],
        "last": [True, None, False],
    }


def test_collections_in_backups(story: Story) -> None:
    found = table(story, "backup_collections")
    assert {(row["dim"], row["metric"]) for row in found} == {(4, "cosine")}
    assert sorted((names(story)[row["backup"]], row["collection"], row["rows"]) for row in found) == [
        ("full", "words", 300),
        ("gone", "texts", 50),
        ("gone", "words", 300),
        ("last", "texts", 50),
        ("last", "words", 430),
        ("late", "texts", 50),
        ("late", "words", 280),
        ("second", "texts", 50),
        ("second", "words", 280),
    ]


# -- objects


def tier_of(file: BackupFile) -> str:
    if file.role == "cold":
        return "cold"
    if file.kind == "wal":
        return "log"
    return "meta" if file.segment is None else "hot"


def test_objects_are_what_the_documents_list(story: Story) -> None:
    listed = []
    for backup in table(story, "backups"):
        known = document(story, backup["id"])
        collections = {c.id: c.name for c in known.collections}
        files = list(known.files)
        assert (backup["files"], backup["bytes"]) == (len(files), sum(file.size for file in files))
        for file in files:
            stored = file.object
            listed.append(
                {
                    "backup": backup["id"],
                    "name": file.name,
                    "tier": tier_of(file),
                    "kind": file.kind,
                    "collection": None if file.collection is None else collections[file.collection],
                    "segment": file.segment,
                    "bytes": file.size,
                    "hash": file.sha256,
                    "object": None if stored is None else stored.key,
                    "stored_bytes": None if stored is None else stored.stored_size,
                    "uploaded_by": None if stored is None else stored.key.split("/")[1],
                }
            )
    assert sorted(table(story, "backup_objects"), key=repr) == sorted(listed, key=repr)
    kinds = {(row["tier"], row["kind"]) for row in listed}
    assert {tier for tier, _ in kinds} == {"hot", "cold", "log", "meta"}
    assert {kind for tier, kind in kinds if tier == "cold"} == {"parquet", "sketch", "codebook"}
    assert {("meta", "manifest"), ("log", "wal"), ("hot", "vectors"), ("hot", "ids")} <= kinds


def test_who_uploaded_what(story: Story) -> None:
    """``sent_objects`` of a backup are those that it uploaded; the others come from earlier ones."""
    sent = dict(ask(story, "select uploaded_by, count(distinct object) from backup_objects group by all"))
    for name, backup in story.backups.items():
        assert sent[backup.id] == backup.sent_objects, name
    query = f"select distinct uploaded_by from backup_objects where backup = '{story.backups['last'].id}'"
    uploaders = {names(story)[id] for (id,) in ask(story, query)}
    assert "last" in uploaders
    assert uploaders & {"full", "second"}


def test_how_many_listed_backups_need_an_object(story: Story) -> None:
    needed: dict[str, list[str]] = {}
    for backup in table(story, "backups"):
        for file in document(story, backup["id"]).files:
            if file.object is not None:
                needed.setdefault(file.object.key, [])
                needed[file.object.key] += [backup["id"]] if backup["listed"] else []
    found = {row["object"]: row for row in table(story, "objects")}
    assert found.keys() == needed.keys()
    once = [key for key, ids in needed.items() if len(ids) == len(set(ids))]  # not the same contents under two names
    assert {key: found[key]["backups"] for key in once} == {key: len(needed[key]) for key in once}
    assert {row["backups"] for row in found.values()} >= {1, 2}
    for key, row in found.items():
        path = story.world.folder / "repository" / key
        if row["backups"]:
            assert path.stat().st_size == row["stored_bytes"]
        assert row["uploaded_by"] == key.split("/")[1]
    expired = [row for row in found.values() if row["uploaded_by"] == story.backups["gone"].id]
    assert expired
    assert {row["backups"] for row in expired} == {0}
    assert {(row["layout"], row["codec"]) for row in found.values()} >= {("framed", "zstd")}


# -- lineage


def test_lineage(story: Story) -> None:
    called = names(story) | {id: f"{name} timeline" for name, id in story.timelines.items()}
    called |= {done.timeline: name for name, done in story.restores.items() if name != "attached"}
    found = [
        (kind, called.get(parent, parent), called.get(child, child), seq)
        for kind, parent, child, seq in ask(
            story, "select kind, parent, child, seq from lineage where kind not in ('copy', 'clone')"
        )
    ]
    seqs = {name: backup.seq for name, backup in story.backups.items()}
    late = document(story, LATE).shards[0].seq
    assert sorted(found, key=repr) == sorted(
        [
            ("fork", "old timeline", "new timeline", story.fork),
            *(("backup", "old timeline", name, seqs[name]) for name in ("full", "second", "gone")),
            ("backup", "old timeline", "late", late),
            ("backup", "new timeline", "last", seqs["last"]),
            *(("reuses", names(story)[p], n, None) for n, p in reused(story)),
            ("snapshot", "old timeline", "start", 2),
            ("snapshot", "old timeline", "before", 6),
            *(("restore", "second", name, story.fork) for name in ("plain", "lazy", "new timeline")),
        ],
        key=repr,
    )
    folder = story.world.folder
    copies = ask(story, "select parent_kind, parent, child_kind, child from lineage where kind = 'copy'")
    ends = ("repository", f"file://{folder / 'repository'}", "repository", f"file://{folder / 'offsite'}")
    assert copies == [ends]  # not that which failed


def reused(story: Story) -> list[tuple[str, str]]:
    return [(name, other) for id, name in names(story).items() for other in document(story, id).reused]


def test_timelines(story: Story) -> None:
    old, new = table(story, "timelines")
    assert (old["timeline"], old["database_id"]) == (story.timelines["old"], story.databases["old"])
    assert (old["parent"], old["fork_seq"], old["current"]) == (None, None, False)
    assert (old["fence_seq"], old["archived_seq"]) == (story.fork + 1, story.fork + 1)
    assert (new["timeline"], new["database_id"]) == (story.timelines["new"], story.databases["new"])
    assert (new["parent"], new["parent_database"]) == (story.timelines["old"], story.databases["old"])
    assert (new["fork_seq"], new["fence_seq"], new["current"]) == (story.fork, None, True)
    [last] = story.repository.windows(new["timeline"])[-1:]
    assert (new["archived_seq"], new["complete_through"]) == (last.last_seq, last.last_time)


def test_epochs(story: Story) -> None:
    found = table(story, "epochs")
    assert [(row["epoch"], row["timeline"], row["fences"]) for row in found] == [
        (1, story.timelines["old"], []),
        (2, story.timelines["new"], [story.timelines["old"]]),
        (3, story.timelines["new"], []),
    ]
    assert all(row.items() >= DONE_BY.items() for row in found)


# -- the log


def test_commits_are_those_of_the_log(story: Story) -> None:
    old, new = story.timelines["old"], story.timelines["new"]
    whole = story.repository.sql("from commits order by seq").to_arrow_table().to_pylist()
    for timeline, until in ((old, story.fork + 1), (new, story.fork)):
        along = [r for r in whole if r["timeline"] == timeline or (r["timeline"] == old and r["seq"] <= until)]
        logged = story.repository.log(timeline).to_pylist()
        assert [nameless(row) for row in logged] == [nameless(row) for row in along]
        named = [(row["collection"], other["collection"]) for row, other in zip(logged, along, strict=True)]
        assert all(name in (None, other) for name, other in named)  # the log may not tell what backups do
    [(deleted, note)] = ask(story, "select deleted, note from commits where deleted > 0")
    assert (deleted, note) == (20, "too many")


def nameless(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "collection"}


def test_snapshots(story: Story) -> None:
    found = ask(story, "select name, timeline, seq, expires - created, dropped_seq is not null from snapshots")
    old = story.timelines["old"]
    told_of = {name: rest for name, *rest in found}
    assert told_of.keys() == {"start", "before", "brief"}
    assert (told_of["before"][:2], told_of["before"][2].days, told_of["before"][3]) == ([old, 6], 7, False)
    assert told_of["brief"] == [old, 7, None, True]
    assert ask(story, "select dropped_seq from snapshots where name = 'brief'") == [(9,)]


def test_parts_of_the_log_and_the_gap(story: Story) -> None:
    found = table(story, "wal_files")
    for row in found:
        path = story.world.folder / "repository" / row["object"]
        assert path.is_file()
        assert row["commits"] == (row["last_seq"] - row["first_seq"] + 1 if row["kind"] == "records" else 0)
    new = [row for row in found if row["timeline"] == story.timelines["new"]]
    first, last = story.gap
    assert [(row["n"], row["kind"]) for row in new] == [
        (1, "records"),
        (2, "gap"),
        *((n, "records") for n in (3, 4, 5)),
    ]
    old = [row for row in found if row["timeline"] == story.timelines["old"]]
    assert (old[-1]["kind"], old[-1]["epoch"], old[0]["n"]) == ("fence", 2, 1)
    [gap] = table(story, "gaps")
    assert (gap["timeline"], gap["why"]) == (story.timelines["new"], "given up")
    assert first < gap["first_seq"] <= gap["last_seq"] < last + 1
    assert (gap["first_seq"], gap["last_seq"]) == (new[1]["first_seq"], new[1]["last_seq"])
    assert (gap["after"], gap["before"]) == (new[0]["last_time"], new[2]["first_time"])
    committed = {seq for (seq,) in ask(story, f"select seq from commits where timeline = '{story.timelines['new']}'")}
    assert not committed & set(range(gap["first_seq"], gap["last_seq"] + 1))


def test_windows_are_those_of_the_repository(story: Story) -> None:
    found = table(story, "restorable_windows")
    same = RestorableWindow.__dataclass_fields__
    assert [RestorableWindow(**{n: row[n] for n in same} | {"backups": tuple(row["backups"])}) for row in found] == (
        story.repository.windows()
    )
    assert [row["current"] for row in found] == [row["timeline"] == story.timelines["new"] for row in found]
    assert [row["seconds"] for row in found] == [
        (row["last_time"] - row["first_time"]).total_seconds() for row in found
    ]


def test_a_gap_that_nothing_follows_yet(world: World) -> None:
    """A part that is missing, though nobody gave it up, makes a gap, too."""
    with world.open() as db:
        create(db)
        made(db)
        for first in (0, 10, 20):
            world.tick()
            put(db, first)
            db.archive()
    found = rows(world.repository(), "wal_files")
    (world.folder / "repository" / found[2]["object"]).unlink()
    [gap] = rows(world.repository(), "gaps")
    assert (gap["first_seq"], gap["last_seq"], gap["why"]) == (3, 3, "missing")
    assert (gap["after"], gap["before"]) == (found[1]["last_time"], found[3]["first_time"])


# -- what was done


def test_restores(story: Story) -> None:
    failed, *found = table(story, "restores")
    assert (failed["target"], failed["backup"], failed["timeline"]) == ("backup weekly", None, None)
    assert "is damaged" in failed["error"]
    assert [(row["lazy"], row["attached"]) for row in found] == [(False, False), (True, False), (False, True)]
    for row, done in zip(found, story.restores.values(), strict=True):
        assert (row["target"], row["error"], row["delta"]) == (f"seq {story.fork}", None, False)
        same = ("database_id", "timeline", "from_timeline", "seq", "time", "backup", "fetched_bytes", "kept_bytes")
        assert [row[name] for name in same] == [getattr(done, name) for name in same]
        assert row["path"] == str(done.path)
    assert all(row.items() >= DONE_BY.items() for row in (failed, *found))


def test_verifications(story: Story) -> None:
    found = table(story, "verifications")
    assert [(row["ok"], row["deep"], row["sample"]) for row in found] == [
        (False, False, None),
        (True, False, None),
        (True, False, 0.5),
        (False, True, None),
        (True, True, None),
    ]
    away, quick, _, deep, _ = found
    assert (away["error"], away["findings"]) == ("away", [])
    assert (quick["backups"], quick["read_objects"], quick["error"]) == (2, 0, None)
    assert deep["read_objects"] >= deep["objects"] + deep["parts"]  # references are read where they are
    [finding] = deep["findings"]
    assert finding.startswith("data/")
    assert all(took(row) and row.items() >= DONE_BY.items() for row in found)


def took(row: dict[str, Any]) -> bool:
    return bool(row["seconds"] == (row["finished"] - row["started"]).total_seconds() >= 0)


def test_drills(story: Story) -> None:
    good, bad = table(story, "drills")
    assert (good["ok"], good["error"], good["problems"], good["rows"], good["collections"]) == (True, None, [], 300, 1)
    assert (good["backup"], good["seq"]) == (story.backups["full"].id, story.backups["full"].seq)
    assert 0 < good["open_seconds"] <= good["first_query_seconds"] <= good["hydrated_seconds"]
    assert good["golden_share"] == 1
    assert good["recall"] > 0.9
    assert good["rpo_seconds"] > 0
    assert not bad["ok"]
    assert "damaged" in bad["error"]
    assert bad["hydrated_seconds"] is None
    assert all(took(row) and row.items() >= DONE_BY.items() for row in (good, bad))


def test_expirations_and_runs_of_expiry(story: Story) -> None:
    expired, given_up = table(story, "expirations")
    gone = story.backups["gone"].id
    assert (expired["backup"], expired["kind"], expired["reason"]) == (gone, "expired", "too old")
    assert (given_up["kind"], given_up["reason"]) == ("given up", "its lease ended before it was finished")
    assert given_up["backup"] not in names(story)
    named, by_policy, failed, swept = table(story, "expiry_runs")
    assert (named["policy"], named["backups"], named["error"]) == (None, [gone], None)
    assert named["objects"] == story.backups["gone"].sent_objects
    assert named["parts"] == 0  # of the log, only a policy lets something go
    assert by_policy["policy"].startswith("pitr=10y, daily=30")
    assert (by_policy["backups"], by_policy["objects"]) == ([], 0)
    assert (failed["error"], failed["objects"]) == ("away", 0)
    assert swept["objects"] > 0
    assert all(row.items() >= DONE_BY.items() for row in (expired, given_up, named, by_policy, failed, swept))


def test_holds_pins_and_leases(story: Story) -> None:
    audit, label = sorted(table(story, "holds"), key=lambda row: row["created"])
    assert (audit["id"], audit["backup"]) == (story.holds["audit"].id, story.backups["full"].id)
    assert (audit["label"], audit["reason"], audit["active"], audit["released"]) == (None, "audit", True, None)
    assert (label["backup"], label["label"], label["active"]) == (None, "nightly", False)
    assert isinstance(label["released"], datetime)
    [pin] = table(story, "pins")
    lazy = story.restores["lazy"]
    assert (pin["database_id"], pin["path"], pin["backups"]) == (lazy.database_id, str(lazy.path), [lazy.backup])
    [lease] = table(story, "leases")
    assert (lease["kind"], lease["running"], lease["backups"], lease["timelines"]) == ("backup", True, [], [])
    assert all(row.items() >= DONE_BY.items() for row in (audit, label, pin, lease))


def test_a_lease_that_ended_is_told_as_such(world: World) -> None:
    repository = world.repository()
    with world.open():
        leases.take(repository.open().vault, "verify").leave()
        assert [row["running"] for row in rows(repository, "leases")] == [True]
        world.tick(leases.LEASE_SECONDS)
        assert [row["running"] for row in rows(repository, "leases")] == [False]


def test_copies_are_told_on_both_sides(story: Story) -> None:
    failed, done = table(story, "copies")
    assert "is not complete" in failed["error"]
    assert (done["error"], done["backups"], done["skipped_backups"]) == (None, 2, 0)
    assert done["source_url"] == story.repository.url
    assert done["target_url"] == story.world.repository("offsite").url
    assert done["bytes"] > 0
    assert rows(story.world.repository("offsite"), "copies") == [failed, done]
    offsite = {row["id"]: row for row in rows(story.world.repository("offsite"), "backups")}
    assert [names(story)[id] for id in offsite] == ["full", "second"]
    assert {row["cold"] for row in offsite.values()} == {"copy"}


def test_jobs(story: Story) -> None:
    failed, done = table(story, "jobs")
    assert (failed["job"], failed["attempt"], failed["ok"], failed["error"]) == ("verify", 1, False, "away")
    assert (done["job"], done["attempt"], done["ok"], done["error"]) == ("verify", 2, True, None)
    assert (done["summary"], done["seconds"], done["due"]) == ("nothing is wrong", 5.0, done["started"])
    assert all(row.items() >= DONE_BY.items() for row in (failed, done))


def test_clones(story: Story) -> None:
    [clone] = table(story, "clones")
    assert (clone["from_timeline"], clone["path"]) == (story.timelines["old"], str(story.world.folder / "clone"))
    assert clone["timeline"] not in story.timelines.values()
    assert clone.items() >= DONE_BY.items()
    edges = ask(story, "select parent, child from lineage where kind = 'clone'")
    assert edges == [(story.timelines["old"], clone["timeline"])]


def test_tier_moves(story: Story) -> None:
    [first] = table(story, "tier_moves")
    assert (first["collection"], first["source"], first["target"]) == ("words", "hot", "cold")
    assert (first["segments"], first["rows"]) == (1, 150)
    assert first["bytes"] > 0


def test_an_empty_repository(world: World) -> None:
    repository = world.repository()
    with world.open():
        pass
    found = {name: len(rows(repository, name)) for name in ("backups", "objects", "commits", "snapshots", "lineage")}
    assert set(found.values()) == {0}
    assert [row["current"] for row in rows(repository, "timelines")] in ([], [True])
