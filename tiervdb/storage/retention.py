"""Keeping objects from deletion, in a bucket with S3 Object Lock: what some stores can do beyond ``ObjectStore``.

Such a bucket keeps versions. ``delete`` and each write over a key succeed and hide the version that was there; a
request that names a version removes it for good, and is refused while that version is retained. Nothing here ever
asks the store to make an exception, so what is retained stays retained.
"""

from __future__ import annotations

from typing import Literal, Protocol, runtime_checkable

from tiervdb.storage.object_store import ObjectStore
from tiervdb.storage.wrapped_store import WrappedStore

RetentionMode = Literal["GOVERNANCE", "COMPLIANCE"]


@runtime_checkable
class RetainingStore(Protocol):
    """A store that may keep objects from deletion. Keys, threads and errors as in ``ObjectStore``."""

    def retains(self) -> bool:
        """Whether the store can do it: asks whether the bucket has Object Lock."""
        ...

    def retain(self, key: str, until_us: int, mode: RetentionMode = "GOVERNANCE") -> None:
        """Keeps the version that the key has now from deletion until then (UTC microseconds, up to a second longer).

        Retention is set or extended, never shortened, and what is in COMPLIANCE mode stays in it. GOVERNANCE can be
        lifted by who holds s3:BypassGovernanceRetention, COMPLIANCE by nobody.

        ObjectNotFoundError for a missing key; InvalidInputError for a time that is over by the store's clock;
        StoreRefusedError without the permissions, and for a COMPLIANCE that should replace a GOVERNANCE;
        FeatureUnavailableError in a bucket without Object Lock.
        """
        ...

    def retained_until(self, key: str) -> int | None:
        """Until when the version that the key has now is retained, in UTC microseconds; perhaps over. None if not."""
        ...


def retaining(store: ObjectStore) -> RetainingStore | None:
    """What retains the objects of this store, or None if nothing does: no S3, or a bucket without Object Lock.

    Sees through wrappers that do not retain by themselves; these then neither count the requests nor fail them.
    """
    layer: ObjectStore = store
    while not isinstance(layer, RetainingStore):
        if not isinstance(layer, WrappedStore):
            return None
        layer = layer.inner
    return layer if layer.retains() else None
