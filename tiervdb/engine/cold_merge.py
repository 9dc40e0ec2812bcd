"""Background merges of cold segments. What is merged when: cold_merge_plan.py.

It is a demotion of rows that are cold already: list by list from the old objects into a local file, an intent, the
upload, the object read back, one edit of the manifest; later the old objects are deleted, when no pin needs them.
"""

from __future__ import annotations

from tiervdb.engine.cold_merge_plan import plan_cold_merge
from tiervdb.engine.compaction import collections
from tiervdb.engine.core import ShardCore
from tiervdb.engine.tier_plan import Move
from tiervdb.engine.tiering import check_tenure, demote_group


def merge_cold_once(core: ShardCore) -> bool:
    """Does the next merge of cold segments that is worth it, of any collection; False if none is.

    Raises StoreUnavailableError, having changed nothing, if the store is away.
    """
    with core.work, core.building.job():
        core.require_open()
        for schema, entries in collections(core):
            planned = plan_cold_merge(entries)
            if planned is not None:
                check_tenure(core)
                live = {entry.id: entry.live for entry in entries}
                demote_group(core, schema, [Move(i, live[i], live[i]) for i in planned.segments])
                return True
    return False
