"""The wheel carries what an installation needs, once."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    """Built by the build backend in a process of its own, as `pip install .` does."""
    folder = tmp_path_factory.mktemp("wheel")
    build = f"import hatchling.build as b; b.build_wheel({str(folder)!r})"
    subprocess.run([sys.executable, "-c", build], cwd=ROOT, check=True, capture_output=True)
    [path] = folder.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


def test_it_is_typed(wheel: zipfile.ZipFile) -> None:
    assert "tiervdb/py.typed" in wheel.namelist()


def test_it_has_every_module(wheel: zipfile.ZipFile) -> None:
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "tiervdb").rglob("*.py")}
    assert modules <= set(wheel.namelist())


def test_it_carries_the_example_words_once(wheel: zipfile.ZipFile) -> None:
    [name] = [name for name in wheel.namelist() if name.endswith(".parquet")]
    assert name == "tiervdb/cli/data/glove-words-20k.parquet"
    assert wheel.read(name) == (ROOT / "examples" / "data" / "glove-words-20k.parquet").read_bytes()


def test_it_carries_nothing_else(wheel: zipfile.ZipFile) -> None:
    folders = {name.split("/")[0] for name in wheel.namelist()}
    assert {folder for folder in folders if not folder.endswith(".dist-info")} == {"tiervdb"}


def test_it_has_the_licence_and_the_command(wheel: zipfile.ZipFile) -> None:
    by_end = {name.split(".dist-info/")[1]: name for name in wheel.namelist() if ".dist-info/" in name}
    assert "licenses/LICENSE" in by_end
    assert b"tiervdb = tiervdb.cli.main:run" in wheel.read(by_end["entry_points.txt"])
