"""What the documents say is true: their Python runs, their links lead somewhere, their commands exist."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tiervdb.cli.main import app

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md"), *ROOT.glob("configs/*.md")]
)
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def blocks(document: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", document.read_text(), re.MULTILINE | re.DOTALL)


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("document", [d for d in DOCUMENTS if blocks(d, "python")], ids=name)
def test_python_in_documents(document: Path, tmp_path: Path) -> None:
    """All blocks of a document in order, beside the examples. What a comment says that is printed, is."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    code = "\n".join(blocks(document, "python"))
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    promised = [line.strip() for line in re.findall(r"print\(.*\)  # (.+)", code)]
    assert result.stdout.splitlines() == promised


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_links_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text())
    missing = [link for link in links if "://" not in link and not (document.parent / link).exists()]
    assert missing == []


def commands() -> list[list[str]]:
    """Every `tiervdb ...` line in a shell block of the README."""
    lines = "\n".join(blocks(ROOT / "README.md", "sh")).splitlines()
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("tiervdb ")]


@pytest.mark.parametrize("command", commands(), ids=lambda command: command[0])
def test_commands_of_the_readme_exist(command: list[str]) -> None:
    """Their names and options; what they do is tested in tests/cli."""
    words = command[: 2 if command[0] in {"catalog", "snapshot", "tier"} else 1]
    result = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    for option in (word for word in command if word.startswith("--")):
        assert option in result.stdout


def test_make_targets_that_documents_mention_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    mentioned = {target for d in DOCUMENTS for target in re.findall(r"`make ([a-z]+)", d.read_text())}
    assert mentioned <= targets


@pytest.mark.parametrize("example", EXAMPLES, ids=name)
def test_examples(example: Path, tmp_path: Path) -> None:
    """Each runs in a folder of its own and leaves nothing there."""
    result = subprocess.run([sys.executable, example], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout
    assert list(tmp_path.iterdir()) == []


def test_every_example_is_listed() -> None:
    listed = (ROOT / "examples" / "README.md").read_text()
    assert all(f"[{example.name}]({example.name})" in listed for example in EXAMPLES)


def test_the_readme_needs_only_what_is_here() -> None:
    assert shutil.which("make")
    for target in ("demo", "test"):
        assert f"make {target}" in (ROOT / "README.md").read_text()
