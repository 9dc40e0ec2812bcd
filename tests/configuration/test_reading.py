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


STRINGS = '''[databases.words]
path = """
archive = 1
[databases.other]
a quote \\""" and two more"""""
repository = '\'\'
archive = 2
'\'\'
archive = "maybe"
key_env = "# \'\'\'"
cold = 1
'''


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        (STRINGS, ["line 9: databases.words.archive", "line 11: databases.words.cold"]),
        (
            '[stores.s]\nurls = [\n"a = 1",  # ]\n"profile=2",\n]\nprofile = 3\n[databases.w]\npath = "a"\ncold = 4\n',
            ["line 6: stores.s.profile", "line 9: databases.w.cold"],
        ),
        ('[stores.s]\nurls = [\n["x"],\n]\nregion = 1\n', ["line 2: stores.s.urls", "line 5: stores.s.region"]),
        ('[databases]\n\nwords = { path = "a", archiv = "x" }\n', ["line 3: databases.words.archiv"]),
        (
            'databases = { w = { path = """\n=\n""", schedule = { backup = 1 } }, v = {} }\n',
            ["line 3: databases.v", "line 3: databases.w.schedule.backup"],
        ),
        ('[databases]\nw . "path" = "a"\nw.\'archive\' = "x"\n', ["line 3: databases.w.archive"]),
        ('[databases."\\u0077"]\npath = 1\n', ["line 1: databases.w", "line 2: databases.w.path"]),
        ("# \u2028 \x85\n[databases.w]\npath = 1\n", ["line 2: databases.w", "line 3: databases.w.path"]),
        ('\n[databases.w.offsite]\nurl = "u"\n', ["line 2: databases.w"]),
        ('\n[databases.w.offsite]\nurl = "u"\n[databases.w]\n', ["line 4: databases.w"]),
        ('\n[[databases.w]]\npath = "a"\n[[databases.w]]\n', ["line 2: databases.w"]),
        ('[agent]\n[agent.listn]\n[databases.w]\npath = "a"\n', ["line 2: agent.listn"]),
        ('[databases.w]\npath = "a"\nschedule.bakup.x = 1\n', ["line 3: databases.w.schedule.bakup"]),
        ('[databases.w]\npath = "a"\nschedule = 1\n', ["line 3: databases.w.schedule"]),
    ],
)
def test_the_line_and_key_of_a_mistake_however_it_is_written(tmp_path: Path, text: str, wrong: list[str]) -> None:
    assert [": ".join(line.split(": ")[:2]) for line in mistakes(tmp_path, text)] == wrong
