from __future__ import annotations

import shutil
import urllib.error
import urllib.request

import pytest

import tiervdb
from tests.agent.conftest import FILE, Machine
from tiervdb.agent import jobs
from tiervdb.agent.metrics import MetricsServer, StandingCollector, registry_of, serve_database
from tiervdb.agent.standing import Standing, look
from tiervdb.clock import SystemClock
from tiervdb.errors import StateError
from tiervdb.target import Target

DAY = 24 * 3600


def names(standing: Standing) -> list[str]:
    return [alert.name for alert in standing.alerts]


def now(seconds: float = 0) -> int:
    return SystemClock().now_us() + round(seconds * 1e6)


def test_from_bad_to_well(machine: Machine) -> None:
    config = machine.config["words"]
    assert names(look(config, now())) == ["BackupLate", "DrillLate"]
    jobs.run(config, "backup")
    jobs.run(config, "drill")
    well = look(config, now())
    assert well.ok
    assert (well.rows, well.rpo_seconds) == (50, 0.0)
    assert well.rto_seconds is not None
    assert well.window_first is not None
    assert list(well.jobs) == ["archive", "backup", "copy", "verify", "drill", "expire", "merge"]


def test_time_alone_makes_it_late(machine: Machine) -> None:
    config = machine.config["words"]
    jobs.run(config, "backup")
    jobs.run(config, "drill")
    assert names(look(config, now(2 * DAY))) == ["BackupLate"]
    assert names(look(config, now(10 * DAY))) == ["BackupLate", "DrillLate"]


def test_what_is_not_archived_is_the_rpo(machine: Machine) -> None:
    config = machine.config["words"]
    jobs.run(config, "backup")
    jobs.run(config, "drill")
    with tiervdb.open(machine.folder / "words", archive="off") as db:
        db["words"].delete(ids=[1])
    late = look(config, now(600))
    assert names(late) == ["RpoMissed"]
    assert late.rpo_seconds is not None
    assert late.rpo_seconds > 500
    jobs.run(config, "archive")
    assert look(config, now(600)).ok


def test_what_is_missing_is_said(machine: Machine) -> None:
    config = machine.config["words"]
    jobs.run(config, "backup")
    shutil.rmtree(machine.folder / "words")
    assert "DatabaseMissing" in names(look(config, now()))
    shutil.rmtree(machine.folder / "repository")
    assert "RepositoryUnreachable" in names(look(config, now()))
    alone = machine.configure('[databases.words]\npath = "words"\n')["words"]
    assert "Unprotected" in names(look(alone, now()))


def test_what_was_read_is_kept_until_another_repository_is_there(machine: Machine) -> None:
    config = machine.config["words"]
    jobs.run(config, "backup")
    first = look(config, now())
    known = config.repository()
    assert look(config, now()).last_backup == first.last_backup is not None
    assert config.repository() is known
    shutil.rmtree(machine.folder / "repository")
    tiervdb.Repository.create(machine.folder / "repository")
    assert "NothingRestorable" in names(look(config, now()))
    assert config.repository() is not known


def test_objectives_of_a_drill(machine: Machine) -> None:
    config = machine.configure(FILE + '\n[databases.words.objectives]\nrto = "1s"\n')["words"]
    jobs.run(config, "backup")
    repository = config.repository()
    repository.drill(Target.latest())
    assert look(config, now()).ok
    for path in (machine.folder / "repository" / "wal").rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[:-1] + b"?")
    for path in (machine.folder / "repository" / "data").rglob("*"):
        if path.is_file():
            path.unlink()
    assert not repository.drill().ok
    assert "DrillFailed" in names(look(config, now()))


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}") as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_metrics_of_the_agent(machine: Machine) -> None:
    config = machine.config["words"]
    jobs.run(config, "backup")
    seen = [look(config, now())]
    server = MetricsServer("127.0.0.1:0", registry_of(StandingCollector(lambda: seen)), lambda: seen[0].ok)
    try:
        code, text = get(server.port, "/metrics")
        assert code == 200
        for sample in (
            'tiervdb_up{database="words"} 0.0',
            'tiervdb_alert{alert="DrillLate",database="words"} 1.0',
            'tiervdb_archive_lag_seconds{database="words"} 0.0',
            'tiervdb_bytes{database="words",tier="hot"}',
        ):
            assert sample in text
        assert get(server.port, "/healthz")[0] == 503
        jobs.run(config, "drill")
        seen[:] = [look(config, now())]
        assert get(server.port, "/healthz") == (200, "ok\n")
        assert get(server.port, "/")[0] == 404
    finally:
        server.close()


def test_an_address_that_is_taken(machine: Machine) -> None:
    server = MetricsServer("127.0.0.1:0", registry_of(), lambda: True)
    try:
        with pytest.raises(StateError, match=f"127.0.0.1:{server.port} cannot be listened at"):
            MetricsServer(f"127.0.0.1:{server.port}", registry_of(), lambda: True)
    finally:
        server.close()


def test_metrics_of_an_application(machine: Machine) -> None:
    with tiervdb.open(machine.folder / "words") as db:
        words = db["words"]
        words.search([1, 2, 3, 4], k=3)
        db.demote("words")
        for _ in range(2):
            words.search([1, 2, 3, 4], k=3)
        server = serve_database(db, "127.0.0.1:0", "mine")
        try:
            text = get(server.port, "/metrics")[1]
            done = db.stats().searches
            assert done.gets > 0
            for sample in (
                'tiervdb_rows{database="mine"} 50.0',
                'tiervdb_search_seconds_bucket{database="mine",le="10.0",tier="hot"} 1.0',
                'tiervdb_search_seconds_bucket{database="mine",le="+Inf",tier="cold"} 2.0',
                'tiervdb_search_seconds_count{database="mine",tier="cold"} 2.0',
                f'tiervdb_search_seconds_sum{{database="mine",tier="hot"}} {done.hot.seconds}',
                f'tiervdb_search_gets_total{{database="mine"}} {done.gets:.1f}',
                f'tiervdb_search_bytes_total{{database="mine"}} {done.bytes:.1f}',
                f'tiervdb_search_cache_hits_total{{database="mine"}} {done.cache_hits:.1f}',
            ):
                assert sample in text
            assert sum(done.hot.counts) + sum(done.cold.counts) == done.searches == 3
            assert get(server.port, "/healthz")[0] == 200
        finally:
            server.close()


@pytest.mark.parametrize("path", ["words", None])
def test_only_a_repository(machine: Machine, path: str | None) -> None:
    """A machine that has no database but looks after its repository."""
    jobs.run(machine.config["words"], "backup")
    text = FILE if path else FILE.replace('path = "words"\n', "")
    config = machine.configure(text)["words"]
    jobs.run(config, "drill")
    standing = look(config, now())
    assert standing.rows == (50 if path else None)
    assert standing.ok


def test_right_after_a_restore_that_attached(machine: Machine) -> None:
    config = machine.config["words"]
    jobs.run(config, "backup")
    config.repository().drill(Target.latest())
    shutil.rmtree(machine.folder / "words")
    config.repository().restore(machine.folder / "words", attach=True)
    standing = look(config, now())
    assert standing.ok, standing.alerts
    assert (standing.rpo_seconds, standing.rows) == (0.0, 50)


def test_an_empty_drill_proves_nothing(machine: Machine) -> None:
    config = machine.config["words"]
    jobs.run(config, "backup")
    assert config.repository().drill(Target.seq(0)).ok
    assert names(look(config, now())) == ["DrillLate"]


def test_what_a_verification_found_is_an_alert(machine: Machine) -> None:
    config = machine.config["words"]
    jobs.run(config, "backup")
    config.repository().drill(Target.latest())
    data = [path for path in (machine.folder / "repository" / "data").rglob("*") if path.is_file()]
    kept = [path.read_bytes() for path in data]
    for path in data:
        path.write_bytes(b"?")
    assert not config.repository().verify().ok
    assert names(look(config, now())) == ["VerifyFailed"]
    for path, whole in zip(data, kept, strict=True):
        path.write_bytes(whole)
    assert config.repository().verify(deep=True).ok
    assert look(config, now()).ok
