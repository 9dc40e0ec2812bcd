from __future__ import annotations

import json
from pathlib import Path

import tiervdb
from tests.cli.conftest import Ask, Run
from tiervdb.format import documents


def test_a_directory(tmp_path: Path, run: Run, ask: Ask) -> None:
    document = ask("doctor", tmp_path)
    assert (document["usable"], document["conditional"], document["recorded"]) == (True, True, False)
    assert {found["severity"] for found in document["findings"]} == {"ok"}
    shown = run("doctor", tmp_path).stdout
    assert "of two writers one is stopped" in shown
    assert shown.endswith(": usable\n")
    assert not (tmp_path / "store.json").exists()


def test_the_record(tmp_path: Path, run: Run, ask: Ask) -> None:
    assert "recorded there" in run("doctor", tmp_path, "--record").stdout
    found = documents.decode_store((tmp_path / "store.json").read_bytes(), "store.json")
    assert (found.by, found.conditional, found.range_reads) == ("doctor", True, True)


def test_single_writer_mode(ask: Ask, run: Run) -> None:
    assert ask("doctor", "memory://cli/doctor")["conditional"] is False
    assert "never write to it from two machines" in run("doctor", "memory://cli/doctor").stdout


def test_a_store_that_is_away(tmp_path: Path, run: Run, ask: Ask) -> None:
    assert ask("doctor", tmp_path / "nowhere", exit_code=8)["usable"] is False
    assert "not usable" in run("doctor", tmp_path / "nowhere", exit_code=8).stdout
    run("doctor", "s3://user:secret@bucket", exit_code=2)


def test_what_is_found_of_a_repository_is_kept_there(tmp_path: Path, run: Run) -> None:
    def probe() -> tuple[object, ...]:
        document = json.loads((tmp_path / "repository" / "repository.json").read_text())
        return tuple(document["probe"][name] for name in ("by", "conditional", "lists_after_writing", "copies"))

    tiervdb.Repository.create(tmp_path / "repository")
    assert probe() == ("first write", True, True, None)
    assert "recorded there" in run("doctor", tmp_path / "repository").stdout
    assert probe() == ("doctor", True, True, True)
    assert "recorded there" not in run("doctor", tmp_path / "repository").stdout
    assert not (tmp_path / "repository" / "store.json").exists()
    assert tiervdb.Repository(tmp_path / "repository").backups() == []
