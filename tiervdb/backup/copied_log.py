"""Whether two repositories hold the same log, where the parts of one may be merged in the other. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from tiervdb.engine.log_files import split
from tiervdb.errors import ArchiveConflictError
from tiervdb.format.repository_documents import PartHeader
from tiervdb.format.wal_record import chain_next


def conflict(what: str, source: str, target: str) -> ArchiveConflictError:
    """What says that they do not."""
    return ArchiveConflictError(
        f"{what} is another one in {target} than in {source}: a database was attached to the copy since, and went its "
        "own way. Copy to another URL"
    )


def holds(found: Sequence[PartHeader], part: PartHeader, begin: int = 0) -> bool:
    """Whether these, in order, stand for all numbers of a part, from ``begin`` on."""
    reached = max(part.n, begin) - 1
    for other in found:
        if other.n > reached + 1:
            return False
        reached = max(reached, other.through)
    return reached >= part.through


def agree(part: PartHeader, found: Sequence[PartHeader]) -> bool:
    """Whether nothing that the heads say of the same numbers differs."""
    return all(_agree(part, other) for other in found)


def differing(part: PartHeader, records: bytes, found: Sequence[PartHeader]) -> list[PartHeader]:
    """Those of ``found`` whose running hashes are not those of the records of a part, wherever they begin or end in
    it. A fence or a gap where a part has records is another history."""
    chains = {part.first_seq - 1: part.before}
    chain = bytes.fromhex(part.before)
    for header, record in split(records, part.where) if found else ():
        chain = chain_next(chain, record)
        chains[header.seq] = chain.hex()
    return [
        other
        for other in found
        if other.kind != part.kind
        or chains.get(other.first_seq - 1, other.before) != other.before
        or chains.get(other.last_seq, other.after) != other.after
    ]


def _agree(one: PartHeader, other: PartHeader) -> bool:
    if (one.n, one.through) == (other.n, other.through) and one.n == one.through:
        return one == other  # a part keeps its head wherever it is
    if one.kind != other.kind:
        return False
    begins = one.n != other.n or (one.first_seq, one.before) == (other.first_seq, other.before)
    ends = one.through != other.through or (one.last_seq, one.after) == (other.last_seq, other.after)
    return begins and ends
