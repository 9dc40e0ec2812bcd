"""Cold objects that may be rubbish, written down before they come into being or lose their manifest.

An intent names keys. It is synced before an upload starts, and before an edit that removes a segment is published.
Whatever happens then, the collection of garbage looks at each named key: what no manifest, pin or view needs is
deleted.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from tiervdb.clock import Clock
from tiervdb.format import documents, paths
from tiervdb.format.documents import Intent
from tiervdb.storage.local_dir import LocalDir


def record(
    local: LocalDir, shard: int, keys: Sequence[str], epoch: int, clock: Clock, rng: random.Random, kind: str
) -> Intent:
    """Writes an intent, durably. ``kind`` says for whom it is read: "upload" or "remove"."""
    intent = Intent(
        id=paths.random_id(rng), kind=kind, shard=shard, epoch=epoch, created_us=clock.now_us(), keys=tuple(keys)
    )
    local.write_atomic(paths.IntentName(intent.id).name, documents.encode(intent))
    return intent


def listed(local: LocalDir, shard: int | None = None) -> list[Intent]:
    """All intents, or those of one shard."""
    names = [n for n in local.list(paths.INTENT_DIR) if isinstance(paths.parse_local(n), paths.IntentName)]
    found = [documents.decode_intent(local.read(name), str(local.path(name))) for name in names]
    return [intent for intent in found if shard is None or intent.shard == shard]


def forget(local: LocalDir, intent_id: str) -> None:
    """Deletes an intent whose keys were all dealt with."""
    local.delete(paths.IntentName(intent_id).name)
