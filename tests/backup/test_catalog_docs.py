"""docs/catalog.md says what the catalog is: its reference, its queries, its commands and its way to a bucket."""

from __future__ import annotations

import re
import shlex
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.backup.conftest import World, create, put
from tests.backup.test_backup import made
from tests.backup.test_catalog_world import Story, told
from tests.support.s3_servers import S3Endpoint
from tiervdb.backup.catalog import catalog, publishing
from tiervdb.backup.catalog.schema import TABLES
from tiervdb.backup.repository import Repository
from tiervdb.cli.main import app

PAGE = (Path(__file__).parents[2] / "docs" / "catalog.md").read_text()
HOUR_US = 3600 * 1_000_000
SQL_TYPES = {"timestamptz": "TIMESTAMP WITH TIME ZONE"}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def questions() -> dict[str, str]:
    """SQL by the question above it."""
    return dict(re.findall(r"^\*\*(.+?)\*\*\n\n```sql\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """It ended just now, so that the last week and the last 30 days have something in them."""
    return told(tmp_path_factory.mktemp("story"), time.time_ns() // 1000 - 2 * HOUR_US)


@pytest.fixture(scope="module")
def repository(story: Story) -> Repository:
    return story.repository


# -- the reference


def test_the_reference_is_the_schema() -> None:
    sections = re.findall(r"^### (\w+)\n\n(.+?)\n\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    assert [name for name, _, _ in sections] == list(TABLES)
    for name, meaning, rows in sections:
        assert meaning == TABLES[name].meaning
        found = re.findall(r"^\| `(\w+)` \| (\S+) \| (.+) \|$", rows, re.MULTILINE)
        assert [(column, told_of) for column, _, told_of in found] == [
            (column, told_of) for column, _, told_of in TABLES[name].columns
        ]


def test_types_are_those_that_duckdb_gives(repository: Repository) -> None:
    loaded = repository.catalog.tables()
    for name in TABLES:
        [rows] = re.findall(rf"^### {name}\n\n.+?\n\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
        said = re.findall(r"^\| `(\w+)` \| (\S+) \|", rows, re.MULTILINE)
        there = [row[:2] for row in loaded.sql(f"describe {name}").fetchall()]
        assert [(column, SQL_TYPES.get(kind, kind.upper())) for column, kind in said] == there


def test_limits_that_the_page_names() -> None:
    assert f"{catalog.SHORT_LOG_PARTS:,} parts and {catalog.SHORT_LOG_BYTES >> 20} MiB" in PAGE
    assert f"of {publishing.BACKUPS_A_PIECE} backups each" in PAGE
    assert publishing._READING_US == HOUR_US


# -- the questions


def test_there_are_many_questions_and_no_query_beside_them() -> None:
    assert len(questions()) == len(blocks("sql")) >= 20
    assert {table for table in TABLES if re.search(rf"\b{table}\b", "".join(blocks("sql")))} >= TABLES.keys() - {
        "backup_collections"
    }


@pytest.mark.parametrize("question", questions())
def test_a_question_has_an_answer(repository: Repository, question: str) -> None:
    found = repository.sql(questions()[question]).fetchall()
    assert found
    assert any(value is not None for value in found[0])


def answer(repository: Repository, beginning: str) -> list[dict[str, object]]:
    [query] = [query for question, query in questions().items() if question.startswith(beginning)]
    found: list[dict[str, object]] = repository.sql(query).to_arrow_table().to_pylist()
    return found


def test_what_a_backup_would_free_is_what_an_expiry_says(story: Story, repository: Repository) -> None:
    repository.release(story.holds["audit"].id)
    found = answer(repository, "How much would each backup free")
    assert {row["id"] for row in found} == {backup.id for backup in repository.backups()}
    read = "select unnest(backups) from pins union select unnest(backups) from leases where running"
    protected = {id for (id,) in repository.sql(read).fetchall()}
    assert protected
    for row in found:
        planned = repository.expire([str(row["id"])], dry_run=True)
        free = (0, 0) if row["id"] in protected else (row["objects"], row["bytes"])
        assert (planned.objects, planned.bytes) == free
    repository.hold("weekly", reason="audit")


def test_answers_are_those_of_the_story(story: Story, repository: Repository) -> None:
    [newest] = answer(repository, "How old is the newest")
    assert newest["newest"] == repository.windows()[-1].last_time
    [never] = [answer(repository, "Which windows were never drilled")]
    assert {row["timeline"] for row in never} == {story.timelines["new"]}
    assert [row["label"] for row in answer(repository, "Which backups came after")] == ["late"]
    [most] = answer(repository, "Which commit deleted the most")
    assert (most["deleted"], most["note"]) == (20, "too many")
    lines = answer(repository, "Which histories does the current")
    assert [row["timeline"] for row in lines] == [story.timelines["new"], story.timelines["old"]]
    descendants = {row["id"] for row in answer(repository, "What descends from the oldest")}
    assert descendants >= {story.backups[name].id for name in ("full", "second", "gone", "last")}
    assert descendants >= {done.timeline for done in story.restores.values()}
    [copy] = answer(repository, "Which copies are off-site")
    assert copy["backups_behind"] == 1
    assert int(str(copy["commits_behind"])) > 0
    assert {str(row["what"]) for row in answer(repository, "What failed")} == {
        *("restore", "verification", "drill", "expiry", "copy", "job verify")
    }
    assert {row["name"] for row in answer(repository, "Which snapshots can still")} == {"before", "brief", "start"}
    [running] = answer(repository, "What runs right now")
    assert running["kind"] == "backup"


# -- the command line


@pytest.mark.parametrize("line", [line for line in "".join(blocks("sh")).splitlines() if line.startswith("tiervdb ")])
def test_a_command_runs(story: Story, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TIERVDB_REPOSITORY", str(story.world.folder / "repository"))
    result = CliRunner().invoke(app, shlex.split(line)[1:])
    assert result.exit_code == 0, result.output
    assert result.stdout


# -- a bucket


@pytest.mark.s3
def test_reading_a_bucket_as_the_page_says(
    world: World, s3_endpoint: S3Endpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    place = s3_endpoint.place()
    away = Repository(str(place.url), place.storage_options, clock=world.clock, rng=world.rng)
    with world.open(repository=away) as db:
        create(db)
        put(db, 0)
        made(db, label="in the bucket")
    [code] = blocks("py")
    given = ", ".join(f"{name}={value!r}" for name, value in place.storage_options.items())
    code = code.replace("s3://bucket/prefix", str(place.url))
    code = code.replace('key="...", secret="...", endpoint_url="..."', given)
    names: dict[str, object] = {}
    exec(code, names)
    assert "in the bucket" in capsys.readouterr().out
    assert names["tables"].keys() == TABLES.keys()  # type: ignore[attr-defined]
    names["connection"].close()  # type: ignore[attr-defined]
