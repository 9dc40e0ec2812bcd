"""What ``Repository.sql`` takes, and what it refuses: one statement that reads the catalog, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pytest

from tests.backup.test_catalog_world import Story, told
from tiervdb.backup.catalog.schema import TABLES
from tiervdb.backup.repository import Repository
from tiervdb.errors import InvalidInputError, NotARepositoryError


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """Only read by tests."""
    return told(tmp_path_factory.mktemp("story"))


@pytest.fixture(scope="module")
def repository(story: Story) -> Repository:
    return story.repository


READS = [
    "select count(*) from backups",
    "from backups",
    "table backups",
    "values (1)",
    "with b as (from backups) from b",
    "describe backups",
    "summarize drills",
    "show tables",
    "explain select * from backups",
    "select b.id, c.collection from backups b join backup_collections c on c.backup = b.id;",
    "select * from backups -- with a remark",
]


@pytest.mark.parametrize("query", READS)
def test_what_reads_is_answered(repository: Repository, query: str) -> None:
    assert repository.sql(query).fetchall()


@pytest.mark.parametrize(
    "query",
    [
        "select count(*) from commits",
        "select count(*) from main.commits",
        'select count(*) from "commits"',
        "with c as (from commits) select count(*) from c",
        "select (select count(*) from commits)",
        "select count(*) from backups b join commits c on c.timeline = b.timeline",
        "select count(*) from (select 1 union all select seq from commits)",
        "select count(*) from query_table('commits')",
    ],
)
def test_the_log_is_there_however_its_tables_are_named(repository: Repository, query: str) -> None:
    [(count,)] = repository.sql(query).fetchall()
    assert count > 5


def test_show_tables_shows_all_and_nothing_else(repository: Repository) -> None:
    assert {name for (name,) in repository.sql("show tables").fetchall()} == set(TABLES)


def test_forms_of_an_answer(repository: Repository) -> None:
    relation = repository.sql("select id, time, bytes from backups order by id")
    assert relation.columns == ["id", "time", "bytes"]
    rows = relation.fetchall()
    assert relation.to_arrow_table().column("bytes").to_pylist() == [size for _, _, size in rows]
    assert list(relation.df()["id"]) == [id for id, _, _ in rows]
    assert all(time.utcoffset().total_seconds() == 0 for _, time, _ in rows)
    assert relation.filter("bytes > 0").aggregate("count(*)").fetchall() == [(len(rows),)]


NOT_ONE_SELECT = [
    *("", "   ", ";", "-- nothing"),
    "select 1; select 2",
    "from backups; drop table backups",
    "drop table backups",
    "drop view objects",
    "delete from backups",
    "update backups set label = 'mine'",
    "insert into backups (id) values ('mine')",
    "truncate backups",
    "alter table backups drop column id",
    "create table mine as from backups",
    "create macro mine() as 1",
    "create secret (type s3, key_id 'a', secret 'b')",
    "copy backups to '{folder}/out.csv'",
    "copy backups from '{folder}/in.csv'",
    "copy (from backups) to '{folder}/out.parquet' (format parquet)",
    "export database '{folder}/out'",
    "import database '{folder}/out'",
    "attach '{folder}/other.duckdb'",
    "detach memory",
    "use internal",
    "set threads = 1",
    "set enable_external_access = true",
    "reset enable_external_access",
    "pragma enable_profiling",
    "pragma database_list",
    "install httpfs",
    "load httpfs",
    "load '{folder}/mine.duckdb_extension'",
    "call pragma_version()",
    "checkpoint",
    "vacuum",
    "begin",
    "prepare mine as from backups",
]


@pytest.mark.parametrize("query", NOT_ONE_SELECT)
def test_what_does_anything_else_is_refused(repository: Repository, tmp_path: Path, query: str) -> None:
    (tmp_path / "in.csv").write_text("id\n1\n")
    with pytest.raises(InvalidInputError, match=r"one select|syntax error"):
        repository.sql(query.replace("{folder}", str(tmp_path)))
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]


FILES_AND_NETWORK = [
    "from read_csv('{file}')",
    "from '{file}'",
    "from read_text('{file}')",
    "from read_blob('{file}')",
    "from read_json('{file}')",
    "from read_parquet('{file}')",
    "from glob('{folder}/*')",
    "from read_csv('/etc/passwd')",
    "from read_parquet('s3://bucket/key.parquet')",
    "from read_csv('http://127.0.0.1:1/x.csv')",
    "from 'https://127.0.0.1:1/x.parquet'",
    "explain analyze copy backups to '{folder}/out.csv'",
    "select (select count(*) from read_text('{file}'))",
    "select getenv('HOME')",
    "from backups where id in (from read_csv('{file}'))",
]


@pytest.mark.parametrize("query", FILES_AND_NETWORK)
def test_no_file_and_no_network(repository: Repository, tmp_path: Path, query: str) -> None:
    (tmp_path / "in.csv").write_text("id\nsecret\n")
    asked = query.replace("{file}", str(tmp_path / "in.csv")).replace("{folder}", str(tmp_path))
    with pytest.raises(InvalidInputError):
        repository.sql(asked)
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]


def test_no_variable_of_the_caller(repository: Repository) -> None:
    mine = pa.table({"a": [1]})
    frame = mine.to_pandas()
    for name in ("mine", "frame", "repository", "os"):
        with pytest.raises(InvalidInputError, match=f"{name} does not exist"):
            repository.sql(f"from {name}")
    assert len(frame) == mine.num_rows
    assert os.sep


def test_settings_cannot_be_changed_by_a_function(repository: Repository) -> None:
    for query in ("from enable_logging()", "select set_config('threads', '1')"):
        with pytest.raises(InvalidInputError):
            repository.sql(query)
    [external] = repository.sql("select value from duckdb_settings() where name = 'enable_external_access'").fetchall()
    assert external == ("false",)
    [locked] = repository.sql("select value from duckdb_settings() where name = 'lock_configuration'").fetchall()
    assert locked == ("true",)


def test_what_one_query_does_no_other_sees(repository: Repository) -> None:
    before = repository.sql("select count(*) from backups").fetchall()
    repository.sql("explain analyze drop table backups").fetchall()
    assert repository.sql("select count(*) from backups").fetchall() == before


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("selec 1", ["syntax error", "selec"]),
        ("select nope from backups", ['"nope" not found', "Candidate", "docs/catalog.md"]),
        ("from backup", ["backup does not exist", "Did you mean"]),
        ("select id from backups group by label", ["id", "GROUP BY"]),
        ("select sum(label) from backups", ["sum"]),
        ("select * from backups where", ["syntax error"]),
    ],
)
def test_wrong_sql_is_explained(repository: Repository, query: str, words: list[str]) -> None:
    with pytest.raises(InvalidInputError) as raised:
        repository.sql(query)
    message = str(raised.value)
    assert message.startswith("sql: ")
    assert all(word in message for word in words), message
    assert "show tables" in message


@pytest.mark.parametrize("query", [5, None, b"from backups", ["from backups"]])
def test_what_is_no_text_is_no_query(repository: Repository, query: object) -> None:
    with pytest.raises(InvalidInputError, match="is no query; give a text"):
        repository.sql(query)  # type: ignore[arg-type]


def test_where_there_is_no_repository(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotARepositoryError):
        Repository(tmp_path / "empty").sql("from backups")
