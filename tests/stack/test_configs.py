"""The files of configs/: each can be used as it is, and says what is so."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import make_reference
import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from tiervdb.agent.metrics import StandingCollector, registry_of
from tiervdb.agent.standing import Alert, JobStanding, Standing
from tiervdb.cli.main import app
from tiervdb.configuration import options
from tiervdb.configuration.configuration import Configuration
from tiervdb.types import to_datetime

ROOT = Path(__file__).parents[2]
CONFIGS = sorted((ROOT / "configs").glob("*.toml"))
ALERTS = ROOT / "configs" / "tiervdb-alerts.yaml"
UNIT = ROOT / "configs" / "tiervdb-agent.service"


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_each_configuration_has_no_mistake(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever environment variables it names."""
    for variable in re.findall(r'^(?:key|secret)_env = "(\w+)"', config.read_text(), re.MULTILINE):
        monkeypatch.delenv(variable, raising=False)
    done = CliRunner().invoke(app, ["config", "check", "--only-file", str(config)])
    assert (done.exit_code, done.stderr) == (0, "")


def test_the_readme_names_every_file() -> None:
    readme = (ROOT / "configs" / "README.md").read_text()
    names = {path.name for path in (ROOT / "configs").iterdir()} - {"README.md", "__pycache__"}
    assert {name for name in names if f"]({name})" not in readme} == set()


# -- the reference


def test_the_reference_is_what_the_options_say() -> None:
    assert make_reference.FILE.read_text() == make_reference.text(), "run: python configs/make_reference.py"


def test_the_reference_shows_every_default() -> None:
    """Read back as a configuration; but for the path and repository that a database must have."""
    data = tomllib.loads(make_reference.FILE.read_text())
    shown = {
        "agent": (data["agent"], options.AGENT),
        "stores": (data["stores"]["NAME"], options.STORE),
        "databases": (data["databases"]["NAME"], options.DATABASE),
        **{name: (data["defaults"][name], table) for name, table in options.PARTS.items()},
    }
    for given, table in shown.values():
        assert list(given) == list(table)
        read = {name: option.read(given[name]) for name, option in table.items()}
        defaults = {name: option.default for name, option in table.items()}
        assert {n: v for n, v in read.items() if v != defaults[n]} in ({}, make_reference.EXAMPLES)


# -- alerts


def rules() -> list[dict[str, Any]]:
    [group] = YAML(typ="safe").load(ALERTS.read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def promtool(*arguments: str | Path) -> None:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("no promtool on the PATH (it comes with Prometheus): the alert rules were not run")
    done = subprocess.run([found, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_rules_ask_for_metrics_that_there_are() -> None:
    job = JobStanding(to_datetime(1), None, None, None)
    tiers = {"hot": 1, "cold": 1}
    alert = Alert("BackupLate", "", "")
    standing = Standing("words", to_datetime(0), (alert,), 1.0, 1.0, 1.0, jobs={"backup": job}, bytes_by_tier=tiers)
    there = {
        sample.name
        for metric in registry_of(StandingCollector(lambda: [standing])).collect()
        for sample in metric.samples
    }
    asked = {name for rule in rules() for name in re.findall(r"\btiervdb_\w+", rule["expr"])}
    assert asked <= there


def test_rules_name_every_alert_of_the_agent() -> None:
    """Those of agent/standing.py; JobFailing has a metric of its own."""
    source = (ROOT / "tiervdb" / "agent" / "standing.py").read_text()
    known = set(re.findall(r'Alert\(\s*"(\w+)"', source)) | set(re.findall(r'now_us, "(\w+)"', source))
    named = {
        name
        for rule in rules()
        for group in re.findall(r'alert=~?"([^"]+)"', rule["expr"])
        for name in group.split("|")
    }
    assert named == known - {"JobFailing"}


def test_every_rule_says_how_bad_and_what_to_do() -> None:
    for rule in rules():
        assert rule["labels"]["severity"] in {"info", "warning", "critical"}
        assert set(rule["annotations"]) == {"summary", "description"}


def test_promtool_reads_the_rules() -> None:
    promtool("check", "rules", "--lint-fatal", ALERTS)


def test_promtool_runs_the_rules() -> None:
    promtool("test", "rules", Path(__file__).with_name("alerts.test.yaml"))


def test_promtool_reads_the_configuration_of_the_stack() -> None:
    promtool("check", "config", "--syntax-only", ROOT / "docker" / "prometheus.yaml")


# -- systemd


def test_systemd_reads_the_unit() -> None:
    found = shutil.which("systemd-analyze")
    if found is None:
        pytest.skip("no systemd-analyze: the unit was not read")
    done = subprocess.run([found, "verify", UNIT], capture_output=True, text=True, check=False)
    complaints = [line for line in done.stderr.splitlines() if UNIT.name in line]
    assert [line for line in complaints if "is not executable" not in line] == []  # tiervdb is not installed here


def test_the_unit_starts_what_there_is() -> None:
    text = UNIT.read_text()
    commands = re.findall(r"^Exec\w+=/opt/tiervdb/bin/tiervdb (.+)$", text, re.MULTILINE)
    assert commands == ["config check --only-file /etc/tiervdb/tiervdb.toml", "agent"]
    assert "Environment=TIERVDB_CONFIG=/etc/tiervdb/tiervdb.toml" in text
    for command in commands:
        words = command.split()[: 2 if command.startswith("config") else 1]
        assert CliRunner().invoke(app, [*words, "--help"]).exit_code == 0


def test_the_offsite_copy_is_of_the_same_key_on_both_sides() -> None:
    config = Configuration.load(ROOT / "configs" / "offsite.toml")
    copy, source = config["products-copy"], config["products"]
    assert (copy.options["repository"], copy.options["key_file"]) == (source.offsite["url"], source.offsite["key_file"])
