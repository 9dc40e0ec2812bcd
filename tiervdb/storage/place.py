"""Where a directory lies, so that a copy of it can be told from the original."""

from __future__ import annotations

import getpass
import os
import socket
from pathlib import Path

_MACHINE_ID_FILES = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))


def inode(root: Path) -> int:
    """The directory's inode: it stays when the directory is moved, and differs in a copy."""
    return root.stat().st_ino


def machine() -> str:
    """The machine's id where it has one (containers often have none), else an empty text."""
    for path in _MACHINE_ID_FILES:
        try:
            return path.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            continue
    return ""


def is_running(pid: int) -> bool:
    """Whether a process of this machine has that number now; perhaps another one than had it before."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        return True
    return True


def user() -> str:
    """Whose process this is: a name, or the number where it has none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return str(os.getuid())


def owner() -> tuple[int, str]:
    """This process: pid and host name."""
    return os.getpid(), socket.gethostname()
