"""The operations guide, tried: every command in its order, in an empty folder."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import tiervdb
from tests.test_docs import ROOT, blocks

GUIDE = ROOT / "docs" / "operations.md"


def test_every_command_of_the_guide(tmp_path: Path) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    called = f'tiervdb() {{ {sys.executable} -m tiervdb.cli.main "$@"; }}'
    script = "\n".join(["set -eu", called, *blocks(GUIDE, "sh")])
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    with tiervdb.open(tmp_path / "again", create=False) as again:
        assert len(again["words"]) == 20_000
    assert (tmp_path / "lineage.html").stat().st_size > 10_000


def test_every_alert_is_in_the_guide() -> None:
    source = (ROOT / "tiervdb" / "agent" / "standing.py").read_text()
    raised = set(re.findall(r'Alert\(\s*"([A-Za-z]+)"', source)) | set(re.findall(r'"((?:Backup|Drill)Late)"', source))
    told = set(re.findall(r"^\| `([A-Za-z]+)` \|", GUIDE.read_text(), re.MULTILINE))
    assert raised == told


WRITER = """
import sys
import numpy as np
import tiervdb

db = tiervdb.open(sys.argv[1])
rows = db.create_collection("rows", dim=8, id_type="int64")
for number in range(1_000_000):
    ids = np.arange(number * 100, number * 100 + 100)
    rows.upsert(ids=ids, vectors=np.full((100, 8), number + 1, np.float32))
    print(number, flush=True)
"""


@pytest.mark.parametrize("commits", [1, 7, 60])
def test_a_copy_of_one_moment_opens_like_after_a_power_loss(tmp_path: Path, commits: int) -> None:
    """The writer stands still while its directory is copied: what a snapshot of the file system sees."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path / "live")], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        for line in writer.stdout:
            if int(line) + 1 >= commits:
                break
        os.kill(writer.pid, signal.SIGSTOP)
        shutil.copytree(tmp_path / "live", tmp_path / "copy")
        writer.kill()
    with tiervdb.open(tmp_path / "copy", copied="take_over") as copy:
        count = len(copy["rows"])
        assert count >= commits * 100
        assert count % 100 == 0
        assert copy["rows"].get([0], vectors=True)["vector"].to_pylist() == [[1.0] * 8]
    assert not [f for f in tiervdb.check(tmp_path / "copy").findings if f.severity == "error"]
