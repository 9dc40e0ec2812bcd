"""What keeps files and objects from being deleted: here, and in the cold store."""

from __future__ import annotations

import logging

from tiervdb.database.session import Session
from tiervdb.database.values import PinInfo, PinList
from tiervdb.engine import lent
from tiervdb.engine import pins as local_pins
from tiervdb.engine.lent import Lent
from tiervdb.errors import PinNotFoundError, StorageError
from tiervdb.format.documents import Pin
from tiervdb.types import to_datetime

_log = logging.getLogger("tiervdb")


def list_pins(session: Session) -> PinList:
    """See Database.pins."""
    session.check()
    env = session.env
    found = PinList(_local(pin, str(session.path)) for pin in local_pins.listed(env.local, env.shard))
    if session.identity.cold_url is None:  # its own subdirectory: clones have links
        return found
    try:
        found += [_lent(session, one) for one in lent.listed(env.opener.store, session.identity.database_id)]
    except StorageError as error:
        found.away = f"the pins in {env.opener.store.url} are not known: {error}"
        _log.warning("pins: %s", found.away)
    return found


def release(session: Session, pin_id: str, dry_run: bool) -> PinInfo:
    """See Database.release_pin."""
    shard = session.shard("release a pin")
    listed = list_pins(session)
    for pin in listed:
        if pin.id == pin_id:
            if not dry_run:
                shard.release_pin(pin_id)
            return pin
    away = f"; {listed.away}" if listed.away else ""
    raise PinNotFoundError(f"there is no pin {pin_id!r}; pins() lists them{away}")


def _local(pin: Pin, where: str) -> PinInfo:
    holder = f"pid {pin.owner.pid} on {pin.owner.host}" if pin.owner is not None else pin.holder
    reads = f"{holder} reads" if pin.kind == "reader" else f"{pin.kind} {pin.name or pin.id} keeps"
    return PinInfo(
        id=pin.id,
        kind=pin.kind,
        seq=pin.seq,
        created=to_datetime(pin.created_us),
        expires=None if pin.expires_us is None else to_datetime(pin.expires_us),
        name=pin.name,
        holder=holder,
        where=where,
        depends=f"{reads} the state at commit {pin.seq}; without the pin, maintenance deletes what only that needs",
    )


def _lent(session: Session, one: Lent) -> PinInfo:
    pin = one.pin
    return PinInfo(
        id=one.id,
        kind="clone" if pin is None else pin.kind,
        seq=None if pin is None else pin.seq,
        created=to_datetime(one.created_us),
        expires=None if pin is None or pin.expires_us is None else to_datetime(pin.expires_us),
        name=None if pin is None else pin.name,
        holder=None if pin is None else pin.holder,
        where=session.env.opener.store.url,
        state="damaged" if pin is None else pin.state,
        path=None if pin is None else pin.path,
        host=pin.owner.host if pin is not None and pin.owner is not None else None,
        depends=lent.depends(one, session.env.manifests),
    )
