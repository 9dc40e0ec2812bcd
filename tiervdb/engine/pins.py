"""Pins as files: each keeps a manifest, all its files and the log after it from being deleted.

Whoever reads beside the writer pins first and then checks that the manifest is still listed; the collection of garbage
unlists first and then looks for pins. So one of the two always sees the other.
"""

from __future__ import annotations

from tiervdb.errors import ObjectNotFoundError, PinNotFoundError
from tiervdb.format import documents, paths
from tiervdb.format.documents import Pin
from tiervdb.storage.local_dir import FileLock, LocalDir


def write(local: LocalDir, pin: Pin) -> None:
    """Writes a pin, durably."""
    local.write_atomic(paths.PinName(pin.id).name, documents.encode(pin))


def hold(local: LocalDir, pin: Pin) -> FileLock | None:
    """Writes a pin that lives as long as this process: its file is locked, so that a crash releases it.

    The file is locked before it gets its name, so that nobody ever sees the pin without its lock, and synced, so that a
    power loss does not leave a pin that nobody can read. ObjectNotFoundError if a starting writer swept it away.
    """
    data = documents.encode(pin)
    with local.stage(paths.PinName(pin.id).name) as staged:
        staged.write(data)
        name = f"{paths.TMP_DIR}/{staged.path.name}"
        lock = local.lock(name)
        try:
            if local.size(name) != len(data):  # it was swept, and locking made an empty file
                raise ObjectNotFoundError(f"pin {pin.id} was swept away while it was made; try again")
            staged.commit()
        except BaseException:
            if lock is not None:
                lock.release()
            raise
    return lock


def release(local: LocalDir, pin_id: str) -> None:
    """Deletes a pin; PinNotFoundError."""
    if not paths.is_id(pin_id) or not local.exists(paths.PinName(pin_id).name):
        raise PinNotFoundError(f"there is no pin {pin_id!r}; pins() lists them")
    local.delete(paths.PinName(pin_id).name, durable=True)


def listed(local: LocalDir, shard: int | None = None) -> list[Pin]:
    """All pins, or those of one shard."""
    names = [n for n in local.list(paths.PIN_DIR) if isinstance(paths.parse_local(n), paths.PinName)]
    pins = [pin for name in names if (pin := _read(local, name)) is not None]
    return [p for p in pins if shard is None or p.shard == shard]


def is_abandoned(local: LocalDir, pin: Pin, now_us: int) -> bool:
    """Whether the pin's reader is gone, or its time over."""
    if pin.kind == "reader":
        return not local.is_locked(paths.PinName(pin.id).name)
    return pin.kind != "snapshot" and pin.expires_us is not None and pin.expires_us <= now_us


def _read(local: LocalDir, name: str) -> Pin | None:
    try:
        return documents.decode_pin(local.read(name), str(local.path(name)))
    except ObjectNotFoundError:
        return None  # released since it was listed
