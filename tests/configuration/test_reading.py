from __future__ import annotations

from pathlib import Path

import pytest

from tiervdb.configuration import reading
from tiervdb.configuration.configuration import Configuration
from tiervdb.errors import InvalidInputError


def mistakes(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "x.toml"
    path.write_text(text, encoding="utf-8")
    return [str(mistake) for mistake in reading.read(path)[1]]


def test_every_mistake_is_named_by_its_line(tmp_path: Path) -> None:
    text = """[agent]
listn = "x"
parallel = 0
[databases.words]
path = "words"
repositry = "r"
[databases.words.schedule]
backup = "every day"
verify_sample = 2
[databases.words.retention]
pitr = "two weeks"
min_backups = true
[databases.words.nothing]
a = 1
[databases.other]
archive = "maybe"
[defaults.objectives]
rpo = 5
"""
    found = mistakes(tmp_path, text)
    assert [line.split(": ")[0] for line in found] == [f"line {n}" for n in (2, 3, 6, 8, 9, 11, 12, 13, 15, 16, 18)]
    assert "did you mean 'listen'?" in found[0]
    assert "did you mean 'repository'?" in found[2]
    assert "five fields" in found[3]
    assert "neither path nor repository" in found[8]
    with pytest.raises(InvalidInputError, match=r"line 6: databases.words.repositry"):
        Configuration.load(tmp_path / "x.toml")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "databases: there is none"),
        ("agent = 1\n", "this is a table"),
        ("[databases]\nwords = 1\n", "write [databases.words]"),
        ("[databases.words\n", "it is not TOML"),
        ('[databases."a b"]\npath = "x"\n', "letters, digits"),
        ('[databases.w]\nrepository = "r"\nkey_env = "A"\nkey_file = "b"\n', "not several"),
        ('[databases.w]\nrepository = "r"\nkey_command = "echo \'"\n', "as a shell would split it"),
        ('[database.w]\npath = "x"\n', "did you mean 'databases'?"),
    ],
)
def test_files_that_are_no_configuration(tmp_path: Path, text: str, said: str) -> None:
    assert any(said in line for line in mistakes(tmp_path, text)), mistakes(tmp_path, text)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert "cannot be read" in str(reading.read(tmp_path / "none.toml")[1][0])
