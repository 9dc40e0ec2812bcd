from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from typing import Any

import pytest
from cronsim import CronSim

import tiervdb
from tests.agent.conftest import FILE, Machine
from tiervdb.agent import agent as agents
from tiervdb.agent import jobs
from tiervdb.agent.agent import Agent, Outcome
from tiervdb.agent.standing import look
from tiervdb.backup import create, holdings, merging
from tiervdb.clock import SystemClock
from tiervdb.errors import CorruptionError
from tiervdb.types import to_datetime, to_us


def rows(machine: Machine) -> list[tuple[object, ...]]:
    found = tiervdb.Repository(machine.folder / "repository").sql("select job, ok, attempt, summary, error from jobs")
    return [tuple(row) for row in found.fetchall()]


def test_at_first_all_is_done_once_but_expiry(machine: Machine) -> None:
    agent = machine.agent()
    agent.run_due()
    assert sorted(machine.took()) == ["archive", "backup", "copy", "drill", "verify"]
    assert agent.run_due() == []
    agent.close()
    assert sorted(row[0] for row in rows(machine)) == ["archive", "backup", "copy", "drill", "verify"]
    assert all(row[1] for row in rows(machine))


def test_a_day_later_what_the_schedule_names_is_due_once(machine: Machine) -> None:
    monday = next(CronSim("0 12 * * 1", to_datetime(machine.clock.now_us())))
    machine.clock.advance((to_us(monday) - machine.clock.now_us()) / 1e6)
    agent = machine.agent()
    agent.run_due()
    machine.took()
    machine.clock.advance(24 * 3600)
    agent.run_due()
    assert "merge" in machine.ran
    assert sorted(machine.took()) == ["archive", "backup", "copy", "expire"]
    machine.clock.advance(14 * 24 * 3600)  # asleep for two weeks: no storm
    agent.run_due()
    assert sorted(machine.took()) == ["archive", "backup", "copy", "drill", "expire", "verify"]
    agent.close()


def test_another_agent_goes_on_where_the_first_was_killed(machine: Machine) -> None:
    first = machine.agent()
    first.run_due()
    machine.took()
    machine.clock.advance(200)  # it was killed: its lease ends by itself
    second = machine.agent()
    second.run_due()
    assert machine.took() == ["archive"]  # which is due each minute; the others were done
    second.close()


def test_one_agent_at_a_repository(machine: Machine) -> None:
    first, second = machine.agent(), machine.agent()
    machine.clock.advance(1)  # the two began at different times
    assert first.tick() == ["words/archive"]
    first.wait()
    assert second.tick() == []
    first.close()
    assert second.tick() == ["words/backup"] or second.tick()
    second.close()


def test_a_job_that_is_due_each_minute_starves_no_other(machine: Machine) -> None:
    agent = machine.agent()
    for _ in range(6):
        agent.tick()
        agent.wait()
        machine.clock.advance(60)
    agent.close()
    assert set(machine.took()) == {"archive", "backup", "copy", "drill", "verify"}


def test_a_failure_is_tried_again_later_and_written_down(machine: Machine) -> None:
    machine.configure(FILE + '\n[defaults.schedule]\narchive = ""\nverify = ""\ndrill = ""\ncopy = ""\n')
    machine.outcomes["backup"] = Outcome("", "the store is away")
    agent = machine.agent()
    agent.run_due()
    assert machine.took() == ["backup"]
    agent.run_due()
    assert machine.took() == []
    machine.clock.advance(46)
    agent.run_due()
    assert machine.took() == ["backup"]
    assert rows(machine) == [
        ("backup", False, 1, "", "the store is away"),
        ("backup", False, 2, "", "the store is away"),
    ]
    [alert] = [a for a in look(machine.config["words"], machine.clock.now_us()).alerts if a.name == "JobFailing"]
    assert "the store is away" in alert.problem
    del machine.outcomes["backup"]
    machine.clock.advance(10)
    agent.run_due()
    assert machine.took() == []  # the second failure waits for longer
    again = machine.agent()  # and another agent knows of both
    agent.close()
    again.run_due()
    assert machine.took() == []
    machine.clock.advance(200)
    again.run_due()
    assert machine.took() == ["backup"]
    assert rows(machine)[-1] == ("backup", True, 3, "backup was done", None)
    again.close()


def test_a_failure_of_what_has_nothing_to_do_clears(machine: Machine) -> None:
    machine.configure(FILE + '\n[defaults.schedule]\nbackup = ""\nverify = ""\ndrill = ""\ncopy = ""\n')
    agent = machine.agent()
    machine.outcomes["archive"] = Outcome("", "away")
    agent.run_due()
    machine.outcomes["archive"] = Outcome("", None)
    machine.clock.advance(60)
    agent.run_due()
    agent.close()
    assert rows(machine)[-1][:3] == ("archive", True, 2)
    assert "JobFailing" not in [a.name for a in look(machine.config["words"], machine.clock.now_us()).alerts]


def test_a_clock_that_was_set_back_stops_no_job(machine: Machine) -> None:
    agent = machine.agent()
    agent.run_due()
    machine.took()
    machine.clock.advance(-400 * 24 * 3600)
    agent.run_due()
    assert machine.took() == []
    machine.clock.advance(24 * 3600)
    agent.run_due()
    agent.close()
    assert {"archive", "backup"} <= set(machine.took())


def test_a_mistyped_url_makes_no_repository(machine: Machine) -> None:
    machine.configure(FILE.replace('"repository"', '"reopsitory"'))
    agent = machine.agent()
    assert agent.run_due() == []
    agent.close()
    assert not (machine.folder / "reopsitory").exists()


def test_jobs_do_what_they_say(machine: Machine) -> None:
    config = machine.config["words"]
    assert jobs.run(config, "archive") == jobs.NOTHING
    assert "full backup" in jobs.run(config, "backup")
    assert "took snapshot" in jobs.run(config, "snapshot")
    assert jobs.run(config, "snapshot") != jobs.NOTHING  # a snapshot is a commit, so the state is another one
    assert "are there" in jobs.run(config, "verify")
    assert "first answer after" in jobs.run(config, "drill")
    assert jobs.run(config, "expire") == "nothing to expire"
    assert jobs.run(config, "merge") == jobs.NOTHING
    assert "copied 1 backups" in jobs.run(config, "copy")
    assert len(tiervdb.Repository(machine.folder / "offsite").backups()) == 1


def test_the_log_is_merged_where_deleting_is_allowed(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging, "YOUNG_US", 0)
    config = machine.config["words"]
    with tiervdb.open(machine.folder / "words", archive="async") as db:
        for number in range(12):
            db["words"].delete(ids=[number])
            db.archive()
    assert jobs.is_possible(config, "merge")
    assert jobs.run(config, "merge").startswith("1")
    assert jobs.run(config, "merge") == jobs.NOTHING
    config.schedule["expire"] = ""
    assert not jobs.is_possible(config, "merge")


def test_nothing_is_archived_where_the_archive_is_off(machine: Machine) -> None:
    config = machine.config["words"]
    assert jobs.is_possible(config, "archive")
    config.options["archive"] = "off"
    assert not jobs.is_possible(config, "archive")
    assert "backup" in jobs.run(config, "backup")


def test_beside_a_writer(machine: Machine) -> None:
    config = machine.config["words"]
    with tiervdb.open(machine.folder / "words", archive="async") as db:
        db["words"].delete(ids=[1])
        db.archive()
        assert jobs.run(config, "archive") == jobs.NOTHING
        assert jobs.run(config, "snapshot") == jobs.NOTHING
        assert "backup" in jobs.run(config, "backup")
    assert holdings.shard_of(holdings.read(config.repository().open().vault).backups[-1]).seq == db_seq(machine)


def test_an_application_may_start_while_a_backup_is_made(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    config = machine.config["words"]
    made, opened = create.create, []

    def beside(*given: Any, **named: Any) -> Any:
        with tiervdb.open(machine.folder / "words") as db:
            opened.append(db["words"].delete(ids=[1]).seq)
        return made(*given, **named)

    monkeypatch.setattr(create, "create", beside)
    assert "backup" in jobs.run(config, "backup")
    assert opened
    [backup] = config.repository().backups()
    assert backup.seq == opened[0] - 1


def db_seq(machine: Machine) -> int:
    with tiervdb.open(machine.folder / "words", read_only=True) as db:
        return db.seq


def test_damage_fails_a_verification_and_a_drill(machine: Machine) -> None:
    config = machine.config["words"]
    jobs.run(config, "backup")
    for path in (machine.folder / "repository" / "data").rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[:-1] + b"?")
    (machine.folder / "tiervdb.toml").write_text(FILE + "\n[databases.words.schedule]\nverify_sample = 1\n")
    config = machine.config["words"]
    with pytest.raises(CorruptionError, match="findings"):
        jobs.run(config, "verify")


def test_a_job_is_a_process_with_a_deadline(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    config = machine.config
    done = agents.run_in_process(config, config["words"], "backup", 60.0)
    assert (done.error, "full backup" in done.summary) == (None, True)
    monkeypatch.setattr(subprocess, "run", lambda *_, **how: _too_late(how["timeout"]))
    stopped = agents.run_in_process(config, config["words"], "backup", 5.0)
    assert stopped.error == "it was stopped after its deadline of 5 s"


def _too_late(timeout: float) -> None:
    raise subprocess.TimeoutExpired("tiervdb", timeout)


def test_killed_in_the_middle_of_a_backup(machine: Machine) -> None:
    """The agent and its job are killed; the next agent's backup is whole, and nothing half is listed."""
    command = [sys.executable, "-m", "tiervdb.cli.main", "agent", "--config", machine.folder / "tiervdb.toml"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stderr is not None
    for line in process.stderr:
        event = json.loads(line)
        if (event["event"], event.get("job")) == ("started", "backup"):
            break
    process.kill()
    process.wait()
    process.stderr.close()
    lease_ends = SystemClock().now_us() + 200_000_000
    later = machine.clock
    later.advance(max(lease_ends - later.now_us(), 0) / 1e6)
    agent = Agent(machine.config, later, random.Random(1))
    deadline = time.monotonic() + 60
    while not tiervdb.Repository(machine.folder / "repository").backups():
        agent.run_due()
        assert time.monotonic() < deadline
    agent.close()
    repository = tiervdb.Repository(machine.folder / "repository")
    assert repository.verify(deep=True).ok
    assert repository.drill().ok
