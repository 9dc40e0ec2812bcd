"""A directory that fails when told, under the workloads of the crash tests."""

from __future__ import annotations

from tests.model.conftest import one_inode

__all__ = ["one_inode"]
