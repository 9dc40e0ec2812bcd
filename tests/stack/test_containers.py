"""The containers are the processes of docker/stack.py elsewhere, and their files are valid where no Docker runs."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import stack_services
from ruamel.yaml import YAML
from stack_processes import PREFERRED
from stack_services import CONTAINERS, KEYS, Place, Server, Service

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
DOCKERFILES = {"tiervdb": DOCKER / "Dockerfile", "minio": DOCKER / "minio.Dockerfile"}
SERVICES = stack_services.services(CONTAINERS, KEYS)


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """With its defaults filled in: ${NAME:-default}."""
    text = (DOCKER / "compose.yaml").read_text()
    found: dict[str, Any] = YAML(typ="safe").load(re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text))
    return found


def instruction(dockerfile: Path, name: str) -> Any:
    """The last ENTRYPOINT, CMD or the like of a Dockerfile."""
    [*_, value] = re.findall(rf"^{name} (.+)$", dockerfile.read_text(), re.MULTILINE)
    return json.loads(value) if value.startswith("[") else value


# -- the same stack


def test_the_same_services(compose: dict[str, Any]) -> None:
    always = [name for name, given in compose["services"].items() if "profiles" not in given]
    assert always == [service.name for service in SERVICES]


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_the_same_commands(service: Service, compose: dict[str, Any]) -> None:
    given = compose["services"][service.name]
    image = DOCKERFILES["minio" if service.name in {"store", "offsite"} else "tiervdb"]
    assert [*given.get("entrypoint", instruction(image, "ENTRYPOINT")), *given["command"]] == list(service.command)


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_the_same_environment_and_order(service: Service, compose: dict[str, Any]) -> None:
    given = compose["services"][service.name]
    assert given["environment"] == dict(service.environment)
    ends = {s.name for s in SERVICES if s.ends}
    conditions = {n: "service_completed_successfully" if n in ends else "service_started" for n in service.after}
    assert {name: found["condition"] for name, found in given.get("depends_on", {}).items()} == conditions
    assert ("restart" in given) is not service.ends


def test_the_same_ports_and_only_for_this_machine(compose: dict[str, Any]) -> None:
    published = [port for given in compose["services"].values() for port in given.get("ports", ())]
    assert all(port.startswith("127.0.0.1:") for port in published)
    ours = {
        name: int(given["ports"][0].split(":")[1]) for name, given in compose["services"].items() if "ports" in given
    }
    assert {name: port for name, port in ours.items() if name != "prometheus"} == PREFERRED


def test_the_same_configuration(compose: dict[str, Any]) -> None:
    mounts = dict(volume.split(":")[:2] for volume in compose["services"]["agent"]["volumes"])
    [source] = [source for source, target in mounts.items() if target == CONTAINERS.config]
    assert (DOCKER / source).resolve() == stack_services.CONFIG
    assert mounts["./"] == CONTAINERS.scripts
    assert stack_services.config_text(CONTAINERS) == stack_services.CONFIG.read_text()


def test_processes_differ_in_addresses_only() -> None:
    server = replace(CONTAINERS.store, reach="127.0.0.1:1")
    place = Place(server, replace(CONTAINERS.offsite, reach="127.0.0.1:2"), "127.0.0.1:3", "/here", "c", "s")
    theirs = tomllib.loads(stack_services.config_text(CONTAINERS))
    ours = tomllib.loads(stack_services.config_text(place))
    theirs["agent"]["listen"] = "127.0.0.1:3"
    theirs["databases"]["words"]["path"] = "/here/words"
    for name, port in (("store", 1), ("offsite", 2)):
        theirs["stores"][name]["endpoint_url"] = f"http://127.0.0.1:{port}"
    assert ours == theirs


def test_the_configuration_names_these_servers_and_keys(compose: dict[str, Any]) -> None:
    stores = tomllib.loads(stack_services.CONFIG.read_text())["stores"]
    servers: list[Server] = [CONTAINERS.store, CONTAINERS.offsite]
    assert list(stores) == [server.name for server in servers]
    for server in servers:
        store = stores[server.name]
        assert store["endpoint_url"] == f"http://{server.reach}"
        assert server.reach.split(":")[0] in compose["services"]
        assert (store["key_env"], store["secret_env"]) == (f"{server.key}_KEY", f"{server.key}_SECRET")


def test_minio_is_the_version_of_make_minio() -> None:
    [version] = re.findall(r"^version=(\S+)$", (DOCKER / "build_minio.sh").read_text(), re.MULTILINE)
    assert f"ARG MINIO_VERSION={version}\n" in DOCKERFILES["minio"].read_text()
    assert version.rpartition("-")[2] in (DOCKER / "compose.yaml").read_text()


# -- valid, without Docker


def test_compose_is_what_the_specification_allows() -> None:
    check = [Path(sys.executable).with_name("check-jsonschema"), "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*check, DOCKER / "compose.yaml"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_hadolint_has_nothing_to_say() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, *DOCKERFILES.values()], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("dockerfile", DOCKERFILES.values(), ids=DOCKERFILES)
def test_images_are_not_root_and_know_whether_they_live(dockerfile: Path) -> None:
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", instruction(dockerfile, "USER"))
    assert "\nHEALTHCHECK " in dockerfile.read_text()


def test_hnswlib_is_not_compiled_for_the_machine_that_builds() -> None:
    text = DOCKERFILES["tiervdb"].read_text()
    assert text.index("ENV HNSWLIB_NO_NATIVE=1") < text.index("RUN pip ")


def copied() -> Iterator[tuple[str, str]]:
    """What the Dockerfile copies from the repository, and where to."""
    for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILES["tiervdb"].read_text(), re.MULTILINE):
        *sources, target = line.split()
        yield from ((source, f"{target}/{source}" if target == "./" else target) for source in sources)


def test_the_image_is_built_from_what_it_copies(tmp_path: Path) -> None:
    """The wheel, by the build backend, as `pip install .` does in the image."""
    for source, target in copied():
        (tmp_path / target).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, tmp_path / target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / source, tmp_path / target)
    build = "import hatchling.build as b; print(b.build_wheel('dist'))"
    subprocess.run([sys.executable, "-c", build], cwd=tmp_path, check=True, capture_output=True)
    ignored = (DOCKER / "Dockerfile.dockerignore").read_text().split()
    assert {f"!{source}" for source, _ in copied()} == {line for line in ignored if line.startswith("!")}
