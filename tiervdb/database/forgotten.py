"""Closing what a program forgot to close, as soon as Python collects it: a notebook may open the same path again."""

from __future__ import annotations

import gc
import logging
import os
import threading
import warnings
import weakref
from contextlib import suppress
from typing import TypeVar

from tiervdb.engine import identity as identities
from tiervdb.engine.reader import Reader
from tiervdb.engine.shard import Shard
from tiervdb.errors import TiervdbError
from tiervdb.format.documents import Identity
from tiervdb.storage.local_dir import LocalDir

_T = TypeVar("_T")

THREAD = "tiervdb-forgotten"
WAIT_SECONDS = 2.0  # for the end of closing, where an object was collected
REOPEN_SECONDS = 60.0  # for the same, where the directory is to be opened again

_log = logging.getLogger("tiervdb")
_closing: set[threading.Thread] = set()


def close_with(owner: _T, source: Shard | Reader, identity: Identity) -> weakref.finalize[..., _T]:
    """Closes ``source`` once ``owner`` is garbage, with a ResourceWarning. ``detach`` it when ``owner`` is closed."""
    watching = weakref.finalize(owner, _forgotten, source, identity, os.getpid())
    watching.atexit = False  # session.py closes all at the end of the program
    return watching


def directory(source: Shard | Reader) -> LocalDir:
    """Where it lies."""
    return source.core.env.local if isinstance(source, Shard) else source.env.local


def wait_for_all() -> None:
    """Collects what is garbage, and waits until it is closed."""
    gc.collect()
    for thread in list(_closing):
        thread.join(REOPEN_SECONDS)


def _forgotten(source: Shard | Reader, identity: Identity, pid: int) -> None:
    local = directory(source)
    if os.getpid() != pid:  # in a child after fork the files are the parent's
        return
    there = is_there(local, identity)
    if there is None:
        return
    closing = threading.Thread(target=_close, args=(source, local, there), name=THREAD, daemon=True)
    _closing.add(closing)
    try:
        closing.start()
    except RuntimeError:
        _closing.discard(closing)
        return  # the interpreter ends, and its locks with it
    # Python may collect in any thread, also in one that holds a lock which closing waits for: so never wait for long.
    if not threading.current_thread().name.startswith("tiervdb-"):
        closing.join(WAIT_SECONDS)
    warnings.warn(
        f"the database {local.root} was forgotten without being closed, and is closed now; call close(), or open it "
        "in a with statement",
        ResourceWarning,
        stacklevel=3,
    )


def is_there(local: LocalDir, identity: Identity) -> bool | None:
    """Whether the directory still holds the database; None for a simulated disk of a machine that has ended."""
    with suppress(BaseException):
        try:
            return identities.read(local).database_id == identity.database_id
        except TiervdbError:
            return False
    return None


def _close(source: Shard | Reader, local: LocalDir, there: bool) -> None:
    try:
        source.close()
    except TiervdbError as error:
        _log.log(
            logging.ERROR if there else logging.DEBUG, "closing the forgotten database %s failed: %s", local.root, error
        )
    finally:
        _closing.discard(threading.current_thread())
