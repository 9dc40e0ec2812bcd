"""botocore's descriptions of services, read once for both clients, without what S3 never asks.

As they come they take 12 MB of memory: nine tenths of the rules for regions are about other services, and a third of
the description of S3 is its manual.
"""

from __future__ import annotations

import gzip
import json
from functools import cache
from pathlib import Path, PurePath
from typing import Any

import botocore.loaders
import botocore.session

_SERVICES = frozenset({"s3", "s3-control", "sts", "sso", "portal.sso", "oidc", "signin"})  # S3, and signing in to it


@cache
def models() -> botocore.loaders.Loader:
    """One for the process: it keeps what it read, and reading takes 100 ms. Give it to a session as "data_loader"."""
    loader = botocore.session.Session().get_component("data_loader")  # it knows AWS_DATA_PATH
    loader.file_loader = _LeanFiles()
    return loader


class _LeanFiles(botocore.loaders.JSONFileLoader):  # type: ignore[misc]
    """Reads what botocore reads, into plain dicts, and lets most of it go. What it does not know it leaves as it is."""

    def load_file(self, file_path: str) -> Any:
        found = _read(file_path)
        if found is None:
            return super().load_file(file_path)
        name = PurePath(file_path).name
        if name == "endpoints":
            _keep_our_services(found)
        elif name.startswith("service-"):
            _empty_manual(found)
        return found


def _read(file_path: str) -> Any:
    """botocore's own way makes OrderedDicts, which take nearly twice the memory."""
    for suffix, opened in ((".json", open), (".json.gz", gzip.open)):
        if Path(file_path + suffix).is_file():
            with opened(file_path + suffix, "rb") as file:
                return json.load(file)
    return None


def _keep_our_services(endpoints: Any) -> None:
    """What is not listed for a service follows from its partition's defaults, which stay."""
    if not isinstance(endpoints, dict):
        return
    for partition in endpoints.get("partitions", ()):
        services = partition.get("services", {})
        for name in [name for name in services if name not in _SERVICES]:
            del services[name]


def _empty_manual(found: Any) -> None:
    """Texts become empty, but stay: botocore asks for some of them. A parameter may be called "documentation" too."""
    if isinstance(found, dict):
        if isinstance(found.get("documentation"), str):
            found["documentation"] = ""
        for value in found.values():
            _empty_manual(value)
    elif isinstance(found, list):
        for value in found:
            _empty_manual(value)
