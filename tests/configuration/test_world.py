"""What does not fit the machine is named by its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiervdb import Key, Repository
from tiervdb.configuration import reading, world
from tiervdb.configuration.configuration import Configuration


def mistakes(folder: Path, text: str, *, connect: bool = False) -> list[str]:
    """Of a file that says this, but for spaces at the beginnings of lines."""
    path = folder / "tiervdb.toml"
    path.write_text("\n".join(line.strip() for line in text.strip().splitlines()))
    tables, wrong = reading.read(path)
    assert tables is not None, wrong
    return [str(mistake) for mistake in world.look(Configuration.of(path, tables), tables, connect=connect)]


def key(folder: Path, name: str = "the.key", text: str = "a key that is long enough", mode: int = 0o640) -> Path:
    path = folder / name
    path.write_text(text)
    path.chmod(mode)
    return path


def test_all_is_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_KEY", "k")
    key(tmp_path)
    text = """
        [stores.s]
        urls = ["s3://bucket/"]
        key_env = "THE_KEY"
        [databases.a]
        path = "new/a"
        repository = "s3://bucket/a"
        key_file = "the.key"
        [databases.b]
        path = "new/b"
        repository = "repository"
        key_command = "printenv THE_KEY"
        [databases.b.offsite]
        url = "offsite"
        key_env = "THE_KEY"
        [databases.copy]
        repository = "offsite"
    """
    assert mistakes(tmp_path, text) == []
    assert {path.name for path in tmp_path.iterdir()} == {"tiervdb.toml", "the.key"}


def test_variables_and_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NOT_SET_1", "NOT_SET_2", "NOT_SET_3"):
        monkeypatch.delenv(name, raising=False)
    text = """
        [stores.s]
        key_env = "NOT_SET_1"
        secret_env = "NOT_SET_2"
        [databases.a]
        path = "a"
        key_env = "NOT_SET_3"
        [databases.a.offsite]
        key_command = "no-such-program --at all"
    """
    found = mistakes(tmp_path, text)
    assert [line.split(": ")[:2] for line in found] == [
        ["line 2", "stores.s.key_env"],
        ["line 3", "stores.s.secret_env"],
        ["line 6", "databases.a.key_env"],
        ["line 8", "databases.a.offsite.key_command"],
    ]
    assert "NOT_SET_1 is not set; set it" in found[0]
    assert "no such program" in found[3]


@pytest.mark.parametrize(
    ("text", "mode", "said"),
    [
        (None, 0o640, "make one by `openssl rand"),
        ("a key that is long enough", 0o644, "everybody may read or write"),
        ("short", 0o600, "has 5 bytes; a key has at least 16"),
    ],
)
def test_key_files(tmp_path: Path, text: str | None, mode: int, said: str) -> None:
    if text is not None:
        key(tmp_path, text=text, mode=mode)
    [found] = mistakes(tmp_path, '[databases.a]\nrepository = "r"\nkey_file = "the.key"')
    assert found.startswith("line 3: databases.a.key_file: ")
    assert said in found


@pytest.mark.parametrize(
    ("text", "key", "said"),
    [
        ('[databases.a]\npath = "x"\n[databases.b]\npath = "y/../x"', "databases.b.path", "lie in one another"),
        ('[databases.a]\npath = "x"\n[databases.b]\npath = "x/y"', "databases.b.path", "lie in one another"),
        ('[databases.a]\nrepository = "s3://b/r/"\n[databases.b]\nrepository = "s3://b/r"', "b.repository", "one data"),
        ('[databases.a]\npath = "x"\nrepository = "x/r"', "databases.a.repository", "another disk"),
        ('[databases.a]\nrepository = "r"\n[databases.a.offsite]\nurl = "r"', "a.offsite.url", "the repository itself"),
        ('[databases.a]\npath = "tiervdb.toml/a"', "databases.a.path", "is a file; name a directory"),
        ('[databases.a]\npath = "/proc/1/a"', "databases.a.path", "cannot be made in /proc/1"),
        ('[databases.a]\npath = "a"\n[databases.a.schedule]\ndrill_scratch = "none"', "drill_scratch", "make it"),
    ],
)
def test_places(tmp_path: Path, text: str, key: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda place, _mode: not str(place).startswith("/proc"))  # root may do everything
    [found] = mistakes(tmp_path, text)
    assert key in found
    assert said in found


def test_connecting(tmp_path: Path) -> None:
    key(tmp_path)
    own = Key.file(key(tmp_path, "its.key", "the key of that one"))
    Repository.create(tmp_path / "sealed", encrypted=True, key=own)
    (tmp_path / "empty").mkdir()
    text = """
        [stores.away]
        urls = ["s3://bucket/"]
        endpoint_url = "http://127.0.0.1:9"
        [databases.a]
        cold = "s3://bucket/cold"
        repository = "sealed"
        key_file = "the.key"
        [databases.a.offsite]
        url = "empty"
        [databases.b]
        repository = "sealed2"
    """
    assert mistakes(tmp_path, text) == []
    wrong_key, away = mistakes(tmp_path, text, connect=True)[::-1]
    assert "databases.a.repository: " in wrong_key
    assert "opens none" in wrong_key
    assert "databases.a.cold: " in away
    text = text.replace('"the.key"', '"its.key"').replace('cold = "s3://bucket/cold"', "")
    assert mistakes(tmp_path, text, connect=True) == []
    assert not (tmp_path / "sealed2").exists()


def test_a_schedule_that_never_fires(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text('[databases.a]\npath = "a"\n[databases.a.schedule]\nbackup = "0 0 30 2 *"\n')
    [found] = reading.read(tmp_path / "x.toml")[1]
    assert "line 4: databases.a.schedule.backup" in str(found)
    assert "fires some day" in str(found)
