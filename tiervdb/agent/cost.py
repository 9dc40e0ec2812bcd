"""What a database will take: bytes on disk and in buckets, requests, and dollars, from a few numbers. Pure.

The bytes a row were measured (docs/operations.md says where); prices are S3's list prices, and arguments.
"""

from __future__ import annotations

from dataclasses import dataclass

GRAPH_FROM_ROWS = 50_000
SKETCH_FROM_FLOATS = 1_000_000
ID_BYTES, LINK_BYTES, PARQUET_BYTES, ROWSUM_BYTES, COMMIT_BYTES = 20, 149, 13, 4, 200
LOG_SHRINKS_TO, LINKS_SHRINK_TO = 0.93, 0.6
PART_SECONDS = 1.0  # a part of the log a second while something is written
PUTS_A_BACKUP = 30  # lease, document, manifest, log, catalog
FILES_A_SEGMENT = 5
ROWS_A_SEGMENT = 250_000  # about, once merges have settled
DAYS_A_MONTH = 30.4
GIB = 2**30


@dataclass(frozen=True)
class Load:
    """What is known of a database. ``rate``: rows written a second while it writes; ``active``: the share of the day in
    which it does. ``column_bytes``: of a row's filter columns. ``searches``: a second, over cold segments that are not
    in the cache."""

    vectors: int
    dim: int
    cold: float = 0.8
    rate: float = 10.0
    active: float = 1.0
    column_bytes: int = 8
    searches: float = 0.0
    gets_a_search: float = 14.0
    backups_a_day: float = 1.0
    pitr_days: float = 14.0
    kept_backups: int = 66
    offsite: bool = False


@dataclass(frozen=True)
class Prices:
    """US dollars: a GiB and month in a bucket, a thousand PUTs, a thousand GETs."""

    storage: float = 0.023
    puts: float = 0.005
    gets: float = 0.0004


@dataclass(frozen=True)
class Cost:
    """Bytes at rest; requests a day; dollars a month."""

    local_bytes: int
    cold_bytes: int
    full_backup_bytes: int
    incremental_bytes: int
    log_bytes_a_day: int
    repository_bytes: int
    offsite_bytes: int
    puts_a_day: int
    gets_a_day: int
    dollars_a_month: float
    assumptions: tuple[str, ...]


def plan(load: Load, prices: Prices = Prices()) -> Cost:
    """The sums, and what they assume."""
    cold_rows = round(load.vectors * load.cold)
    hot_rows = load.vectors - cold_rows
    local = hot_rows * hot_row_bytes(load, hot_rows) + cold_rows * cold_local_bytes(load)
    cold = cold_rows * cold_row_bytes(load)
    full = hot_rows * hot_row_bytes(load, hot_rows, stored=True) + cold_rows * (
        cold_row_bytes(load) + cold_local_bytes(load)
    )
    rows_a_day = load.rate * load.active * 86_400
    new_rows = rows_a_day / load.backups_a_day if load.backups_a_day else 0.0
    incremental = min(2 * new_rows * hot_row_bytes(load, hot_rows, stored=True), full)  # merges rewrite once
    log = rows_a_day * log_row_bytes(load) + load.active * 86_400 / PART_SECONDS * COMMIT_BYTES * (load.rate > 0)
    repository = full + load.kept_backups * incremental + load.pitr_days * log
    offsite = repository if load.offsite else 0.0
    segments = new_rows / ROWS_A_SEGMENT * 2 + 1
    backup_puts = load.backups_a_day * (PUTS_A_BACKUP + segments * FILES_A_SEGMENT)
    puts = (load.active * 86_400 / PART_SECONDS * (load.rate > 0) + backup_puts) * (2 if load.offsite else 1)
    gets = load.searches * 86_400 * load.gets_a_search * (load.cold > 0)
    dollars = (cold + repository + offsite) / GIB * prices.storage
    dollars += DAYS_A_MONTH * (puts / 1000 * prices.puts + gets / 1000 * prices.gets)
    return Cost(
        local_bytes=round(local),
        cold_bytes=round(cold),
        full_backup_bytes=round(full),
        incremental_bytes=round(incremental),
        log_bytes_a_day=round(log),
        repository_bytes=round(repository),
        offsite_bytes=round(offsite),
        puts_a_day=round(puts),
        gets_a_day=round(gets),
        dollars_a_month=dollars,
        assumptions=_assumptions(load, hot_rows),
    )


def hot_row_bytes(load: Load, hot_rows: int, *, stored: bool = False) -> float:
    """On local disk, or as a backup stores it."""
    vector = 4.0 * load.dim
    sketch = load.dim / 2 if hot_rows * load.dim >= SKETCH_FROM_FLOATS else 0.0
    links, copy = (LINKS_SHRINK_TO, LOG_SHRINKS_TO) if stored else (1.0, 1.0)
    graph = copy * vector + links * LINK_BYTES if hot_rows >= GRAPH_FROM_ROWS else 0.0
    return vector + ID_BYTES + load.column_bytes + sketch + graph


def cold_row_bytes(load: Load) -> float:
    """In the cold store: Parquet and sketch."""
    return 4.0 * load.dim + PARQUET_BYTES + load.column_bytes + load.dim / 2


def cold_local_bytes(load: Load) -> float:
    """What a cold row leaves on local disk: id, filter columns, checksum, and the copy of its sketch."""
    return ID_BYTES + load.column_bytes + ROWSUM_BYTES + load.dim / 2


def log_row_bytes(load: Load) -> float:
    """In the archive."""
    return LOG_SHRINKS_TO * (4.0 * load.dim + load.column_bytes + 8)


def _assumptions(load: Load, hot_rows: int) -> tuple[str, ...]:
    graphs = "with a graph" if hot_rows >= GRAPH_FROM_ROWS else "without graphs"
    rows, share = f"{load.rate:,.0f} rows a second", f"{load.active:.0%} of the day"
    return (
        f"{1 - load.cold:.0%} of the rows are hot, {graphs}; ids are 64-bit integers",
        f"{load.column_bytes} bytes of filter columns a row; no stored columns",
        f"{rows} are written for {share}, as new rows; a part of the log a second",
        f"{load.backups_a_day:g} backups a day, {load.kept_backups} kept; each sends what is new twice (merges)",
        f"the log of {load.pitr_days:g} days is kept; merges need local room for as much again",
        f"{load.gets_a_search:g} GETs for each of {load.searches:g} searches a second that the cache does not answer",
    )
