"""Keys of encrypted repositories. Each opens a slot that holds the repository's secret, so that a key can be changed
without writing the data again."""

from __future__ import annotations

import os
import random
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tiervdb.backup import ciphers
from tiervdb.backup.ciphers import RandomBytes
from tiervdb.clock import Clock
from tiervdb.errors import InvalidInputError, WrongKeyError
from tiervdb.format import paths
from tiervdb.format.repository_documents import KeySlotDocument

LEAST_BYTES = 16
_SECONDS = 60  # for a command to answer


@dataclass(frozen=True, repr=False)
class Key:
    """Where the key of a repository comes from: make one with ``Key.file``, ``Key.env`` or ``Key.command``.

    It is read when it is needed, never kept, and never shown. At least 16 bytes; a newline at the end does not count.
    """

    kind: Literal["file", "env", "command"]
    source: str
    command_line: tuple[str, ...] = field(default=())

    @classmethod
    def file(cls, path: str | Path) -> Key:
        """The bytes of a file."""
        return cls("file", str(path))

    @classmethod
    def env(cls, name: str) -> Key:
        """The text of an environment variable."""
        return cls("env", name)

    @classmethod
    def command(cls, command: str | Sequence[str]) -> Key:
        """What a command prints, run without a shell: a list of arguments, or text that is split as a shell would."""
        try:
            words = shlex.split(command) if isinstance(command, str) else list(command)
        except ValueError as error:
            raise InvalidInputError(f"Key.command: the command cannot be split ({error}); close its quotes") from error
        if not words:
            raise InvalidInputError("Key.command: the command is empty")
        return cls("command", words[0], tuple(words))

    def read(self) -> bytes:
        """The key's bytes. WrongKeyError if they cannot be had, or are too few."""
        data = self._read().removesuffix(b"\n").removesuffix(b"\r")
        if len(data) < LEAST_BYTES:
            raise WrongKeyError(f"{self} has {len(data)} bytes; a key has at least {LEAST_BYTES}")
        return data

    def _read(self) -> bytes:
        try:
            if self.kind == "file":
                return Path(self.source).read_bytes()
            if self.kind == "env":
                return os.environb[self.source.encode()]
            done = subprocess.run(self.command_line, capture_output=True, check=True, timeout=_SECONDS)  # noqa: S603
        except KeyError as error:
            raise WrongKeyError(f"{self} is not set") from error
        except (OSError, subprocess.SubprocessError) as error:
            raise WrongKeyError(
                f"{self} could not be read ({type(error).__name__}); `openssl rand -base64 32 > FILE` makes a new key"
            ) from error
        return done.stdout

    def __str__(self) -> str:
        names = {"file": "the key file", "env": "the environment variable", "command": "the key command"}
        return f"{names[self.kind]} {self.source}"

    def __repr__(self) -> str:
        return f"<Key: {self}>"


def new_slot(
    key: Key,
    secret: bytes,
    repository_id: str,
    clock: Clock,
    rng: random.Random,
    label: str | None,
    random_bytes: RandomBytes = os.urandom,
    cost: int = ciphers.SCRYPT_COST,
) -> KeySlotDocument:
    """A slot that ``key`` opens, bound to the repository and to the slot's id."""
    slot_id = paths.random_id(rng)
    salt = random_bytes(16)
    wrapped = ciphers.seal(
        ciphers.stretched(key.read(), salt, cost), _bound(repository_id, slot_id), secret, random_bytes
    )
    return KeySlotDocument(
        id=slot_id, created_us=clock.now_us(), label=label, salt=salt.hex(), wrapped=wrapped.hex(), cost=cost
    )


def open_slots(key: Key, slots: Sequence[KeySlotDocument], repository_id: str) -> bytes:
    """The secret, from the slot that the key opens. WrongKeyError if it opens none."""
    given = key.read()
    for slot in slots:
        wrapping = ciphers.stretched(given, bytes.fromhex(slot.salt), slot.cost)
        try:
            return ciphers.unseal(wrapping, _bound(repository_id, slot.id), bytes.fromhex(slot.wrapped))
        except ValueError:
            continue
    raise WrongKeyError(f"{key} opens none of the repository's {len(slots)} keys; give the one that it was made with")


def _bound(repository_id: str, slot_id: str) -> str:
    return f"slot {repository_id}/{slot_id}"
