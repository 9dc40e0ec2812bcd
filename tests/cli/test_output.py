from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tiervdb.cli import readable
from tiervdb.cli.output import WIDTH_IN_A_PIPE, Output, is_number


def test_json_is_one_document_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output(json=True)
    output.say("for people")
    output.table(["a"], [["1"]])
    with output.progress("busy") as advance:
        advance(1, 2)
    output.document(
        {"path": Path("/x"), "floats": np.array([0.5, 1.5]), "count": np.int64(3), "rows": pa.table({"a": [1]})}
    )
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {"path": "/x", "floats": [0.5, 1.5], "count": 3, "rows": [{"a": 1}]}
    assert captured.err == ""


def test_text_in_a_pipe_has_no_colours_and_is_not_cut(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output(json=False)
    output.document({"not": "shown"})
    output.say("x" * (WIDTH_IN_A_PIPE + 50), style="bold red")
    output.table(["name", "rows"], [["y" * 100, "1,234"], ["[markup]", "5"]])
    with output.progress("busy") as advance:
        advance(1, 2)
    long, header, first, second = capsys.readouterr().out.splitlines()
    assert long == "x" * (WIDTH_IN_A_PIPE + 50)
    assert header.split() == ["name", "rows"]
    assert first.split() == ["y" * 100, "1,234"]
    assert second.split() == ["[markup]", "5"]
    assert first.endswith("1,234")
    assert second.endswith("    5")


def test_no_rows(capsys: pytest.CaptureFixture[str]) -> None:
    Output(json=False).rows([], {"a": readable.text}, empty="nothing")
    Output(json=True).rows([], {"a": readable.text}, empty="nothing")
    assert capsys.readouterr().out == "nothing\n[]\n"


def test_what_stands_to_the_right() -> None:
    assert all(is_number(text) for text in ("0", "1,234", "-0.5", "3.1 MB", "12.50 ms", ""))
    assert not any(is_number(text) for text in ("p1", "1a2b", "2026-01-02 03:04:05 UTC", "-", "1 row"))


def test_a_table_without_names(capsys: pytest.CaptureFixture[str]) -> None:
    Output(json=False).table(["", ""], [["seq", "7"], ["path", "x"]])
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [["seq", "7"], ["path", "x"]]


def test_sizes() -> None:
    assert [readable.size(n) for n in (0, 999, 1000, 1234567, 999_960, 5 * 10**15, 10**19)] == [
        "0 B",
        "999 B",
        "1.0 KB",
        "1.2 MB",
        "1.0 MB",
        "5.0 PB",
        "10000.0 PB",
    ]


def test_other_values() -> None:
    assert readable.text(None) == ""
    assert readable.text(True) == "yes"
    assert readable.text(1234567) == "1,234,567"
    assert readable.text(0.123456) == "0.1235"
    assert readable.text(["a", 1]) == "a, 1"
    assert readable.text(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)) == "2026-01-02 03:04:05 UTC"
    assert readable.milliseconds(0.00035) == "0.35 ms"
    assert readable.milliseconds(1.25) == "1,250 ms"
    assert readable.plural(1, "row") == "1 row"
    assert readable.plural(2000, "row") == "2,000 rows"
