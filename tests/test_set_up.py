"""What `make` does on a machine where something is missing. Nothing is installed here: --look only looks."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GOOD_PYTHON = f'exec {sys.executable} "$@"'


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A PATH with a good Python and a good compiler; tests break one of them."""
    for tool in ("bash", "env", "dirname", "cksum", "cat"):
        found = shutil.which(tool)
        assert found
        (tmp_path / tool).symlink_to(found)
    command(tmp_path, "python3", GOOD_PYTHON)
    command(tmp_path, "c++", "cat >/dev/null")
    return tmp_path


def command(folder: Path, name: str, body: str) -> None:
    (folder / name).write_text(f"#!/bin/bash\nPATH=/usr/bin:/bin\n{body}\n")
    (folder / name).chmod(0o755)


def look(machine: Path, **env: str) -> subprocess.CompletedProcess[str]:
    script = ROOT / "scripts" / "set_up.sh"
    environment = {"PATH": str(machine), **env}
    return subprocess.run([script, "--look"], env=environment, capture_output=True, text=True, check=False)


def complaint(result: subprocess.CompletedProcess[str]) -> str:
    """The one line that it ends with."""
    assert result.returncode == 1
    assert result.stdout == ""
    [line] = result.stderr.splitlines()
    return line


def test_a_machine_that_has_everything(machine: Path) -> None:
    result = look(machine)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_no_python_at_all(machine: Path) -> None:
    (machine / "python3").unlink()
    assert "Python 3.11 or newer is needed, found none. Install it" in complaint(look(machine))


def old_python(machine: Path, name: str) -> None:
    command(machine, name, 'case "$2" in pass) ;; *version_info*) exit 1 ;; *) echo 3.9.2 ;; esac')


def test_an_old_python(machine: Path) -> None:
    old_python(machine, "python3")
    line = complaint(look(machine))
    assert "Python 3.11 or newer is needed, found 3.9.2 (python3)" in line
    assert "apt install" in line


def test_an_old_python_beside_a_good_one(machine: Path) -> None:
    old_python(machine, "python3")
    command(machine, "python3.12", GOOD_PYTHON)
    assert look(machine).returncode == 0


def test_a_named_python_is_the_only_one_tried(machine: Path) -> None:
    assert "found none" in complaint(look(machine, PYTHON="/nowhere/python3"))


def test_no_venv_module(machine: Path) -> None:
    command(machine, "python3", f'case "$2" in *ensurepip*) exit 1 ;; esac\n{GOOD_PYTHON}')
    assert "lacks the venv module. Install it (Debian, Ubuntu: apt install python3-venv)" in complaint(look(machine))


def test_no_compiler(machine: Path) -> None:
    (machine / "c++").unlink()
    line = complaint(look(machine))
    assert "a C++ compiler is needed" in line
    assert "apt install g++" in line


def test_no_headers_of_python(machine: Path) -> None:
    command(machine, "c++", 'if [[ "$(cat)" = *Python.h* ]]; then exit 1; fi')
    assert "the C headers of python3 are needed" in complaint(look(machine))


def test_set_up_is_not_repeated_while_pyproject_stays(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    command(python.parent, "python", f'echo "$@" >> {tmp_path}/calls')
    set_up = [tmp_path / "scripts" / "set_up.sh"]

    def installs() -> int:
        subprocess.run(set_up, check=True, capture_output=True)
        return (tmp_path / "calls").read_text().count("--editable")

    assert installs() == 1
    assert installs() == 1
    with (tmp_path / "pyproject.toml").open("a") as file:
        file.write("# changed\n")
    assert installs() == 2


def test_make_help_explains_every_target() -> None:
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    explained = set(re.findall(r"^  make (\w+)", shown, re.MULTILINE))
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert explained == targets
