"""``repo.log()``: what was committed when, from the archived log and the logs of backups."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from tiervdb.backup.holdings import Holdings, stretches
from tiervdb.backup.lineage import Branch
from tiervdb.backup.log_reader import LogReader
from tiervdb.engine import commit_log
from tiervdb.engine.commit_log import TimedCommit
from tiervdb.format import commit_log as fmt
from tiervdb.format.wal_header import RECORD_HEADER_LENGTH
from tiervdb.format.wal_record import peek


def table(reader: LogReader, holdings: Holdings, history: Sequence[Branch]) -> pa.Table:
    """One row for each kind of operation on each collection in each commit along a history, oldest first.

    Collections that were created before the log that is held have no name here, but for those of later renamings.
    """
    found: dict[int, TimedCommit] = {}
    names: dict[int, str] = {}
    held = sorted(stretches(holdings, history), key=lambda s: (s.after, s.until))
    with reader.ahead(held):
        for stretch in held:
            if all(seq in found for seq in range(stretch.after + 1, stretch.until + 1)):
                continue
            for header, record in reader.all_of(stretch):
                if header.seq <= stretch.until and header.seq not in found:
                    meta = peek(record[RECORD_HEADER_LENGTH:], header, f"commit {header.seq}")
                    line = next(b.timeline for b in history if b.holds(header.seq))
                    commit = fmt.summarize(header, meta, names)
                    names |= {op.collection: op.name for op in commit.operations if op.collection and op.name}
                    found[header.seq] = TimedCommit(line, fmt.summarize(header, meta, names))
    return commit_log.table([found[seq] for seq in sorted(found)])
