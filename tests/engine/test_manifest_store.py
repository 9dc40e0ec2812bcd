from __future__ import annotations

import pytest

from tests.engine.values import hot, manifest
from tests.support.crash_dir import CrashDir, every_crash
from tiervdb.engine.manifest_store import ManifestStore
from tiervdb.errors import CorruptionError, ObjectNotFoundError
from tiervdb.format.paths import ManifestName
from tiervdb.storage.os_dir import OsDir


def test_the_highest_version_is_current(os_dir: OsDir) -> None:
    store = ManifestStore(os_dir, 0)
    with pytest.raises(CorruptionError, match="no manifest of shard 0"):
        store.current()
    for version in (1, 3, 10):
        store.publish(manifest(version, version, [hot(1)]))
    os_dir.write_atomic("manifests/README", b"not ours")
    assert store.versions() == [1, 3, 10]
    assert store.current() == manifest(10, 10, [hot(1)])
    assert store.read(3) == manifest(3, 3, [hot(1)])
    assert ManifestStore(os_dir, 1).versions() == []


def test_unlisted_manifests_are_out_of_reach_but_not_gone(os_dir: OsDir) -> None:
    store = ManifestStore(os_dir, 0)
    store.publish(manifest(1))
    store.publish(manifest(2))
    store.unlist(1)
    assert (store.versions(), store.unlisted_versions()) == ([2], [1])
    with pytest.raises(ObjectNotFoundError):
        store.read(1)
    store.relist(1)
    assert store.read(1) == manifest(1)
    store.unlist(1)
    store.delete_unlisted(1)
    assert (store.versions(), store.unlisted_versions()) == ([2], [])


def test_a_renamed_manifest_is_noticed(os_dir: OsDir) -> None:
    store = ManifestStore(os_dir, 0)
    store.publish(manifest(1))
    os_dir.rename(ManifestName(0, 1).name, ManifestName(0, 2).name)
    with pytest.raises(CorruptionError, match="renamed or swapped"):
        store.current()


@pytest.mark.parametrize("when", ["before", "during", "after"])
def test_a_crash_leaves_the_old_or_the_new_one(tmp_path, when) -> None:
    def workload(directory: CrashDir) -> None:
        store = ManifestStore(directory, 0)
        store.publish(manifest(1))
        done.append(1)
        store.publish(manifest(2, 5, [hot(1)]))
        done.append(2)

    crashes, done = 0, list[int]()
    for crashed in every_crash(workload, tmp_path, when):
        crashes += 1
        crashed.drop_unsynced(crashes)
        versions = ManifestStore(OsDir(crashed.root, sync=False), 0).versions()
        assert versions in ([], [1], [1, 2])
        assert max(done, default=0) <= max(versions, default=0)
        if versions:
            assert ManifestStore(OsDir(crashed.root), 0).current().version == versions[-1]
        done.clear()
    assert crashes > 8
