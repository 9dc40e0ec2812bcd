"""How long to wait for an object store, and how much to ask of it at once."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class StoreLimits:
    """Waits are short, so that a store that is away is an error within seconds.

    ``connect_timeout``, ``read_timeout``: seconds, of one attempt. ``attempts``: the first one included.
    ``retry_seconds``: how long to go on asking a store that answers with an error of its own (503 SlowDown, 500) or
    with a body cut short; waits between double from 0.1 to 2 seconds. ``connections``: requests at once.
    """

    connect_timeout: float = 2.0
    read_timeout: float = 20.0
    attempts: int = 2
    retry_seconds: float = 10.0
    connections: int = 32
