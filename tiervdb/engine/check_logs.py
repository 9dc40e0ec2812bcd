"""The logs that are kept, against each other: files of commits, headers of commits whose log is gone, and manifests."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from itertools import pairwise

from tiervdb.engine import commit_log, wal
from tiervdb.engine.check_report import Finding, Report, attempt
from tiervdb.engine.wal import WalFile
from tiervdb.errors import CorruptionError, ObjectNotFoundError
from tiervdb.format import commit_log as fmt
from tiervdb.format import paths
from tiervdb.format.commit_log import CommitLog, LoggedCommit
from tiervdb.format.documents import Identity
from tiervdb.format.manifest import Manifest
from tiervdb.storage.local_dir import LocalDir

_ADVICE = "files were mixed up: restore the directory from a clone or a backup"
_HISTORY = "only what db.log() shows of these commits is concerned: remove the file, or restore it"
_Known = dict[int, tuple[str, LoggedCommit]]  # by seq: which file says so, and what


def check_logs(report: Report, local: LocalDir, shard: int, identity: Identity, manifests: Sequence[Manifest]) -> None:
    """Each file is whole, goes on where the one before it ended, and tells of a commit what the others tell."""
    files = _wal_files(report, local, shard)
    _check_chains(report, files, manifests)
    lines = {identity.timeline.id, *(line.id for line in identity.ancestors)}
    known: _Known = {}
    for file in files:
        if file.scan.header is not None and file.scan.header.timeline not in lines:
            report.error(file.name, f"it is of timeline {file.scan.header.timeline}, not of this database", _ADVICE)
        told = attempt(report, file.name, partial(_summaries, file))
        _compare(report, known, file.name, told or [], _ADVICE)
    for name, log in _kept_logs(report, local, shard):
        if log.timeline not in lines:
            report.error(name, f"it is of timeline {log.timeline}, not of this database", _HISTORY)
        _compare(report, known, name, log.commits, _HISTORY)
    _check_times(report, known)


def _summaries(file: WalFile) -> list[LoggedCommit]:
    return list(commit_log.summaries(file, file.last_seq, {}))


def _wal_files(report: Report, local: LocalDir, shard: int) -> list[WalFile]:
    names = wal.file_names(local, shard)
    read = (attempt(report, n, partial(wal.read_file, local, n, last=n == names[-1], published_seq=0)) for n in names)
    return [file for file in read if file is not None]


def _check_chains(report: Report, files: Sequence[WalFile], manifests: Sequence[Manifest]) -> None:
    for before, after in pairwise(files):
        if after.scan.header is None or before.last_seq + 1 < after.first_seq:
            continue  # what lay between was not needed any more
        if before.last_seq >= after.first_seq:
            report.error(after.name, f"it starts at commit {after.first_seq}, which {before.name} holds too", _ADVICE)
        elif before.chain_at(before.last_seq) != after.scan.header.chain:
            report.error(after.name, f"its running hash does not go on from {before.name}", _ADVICE)
    for manifest in manifests:
        for file in files:
            at = manifest.flushed_seq
            if file.scan.header and file.first_seq - 1 <= at <= file.last_seq and file.chain_at(at) != manifest.chain:
                report.error(
                    file.name, f"its running hash at commit {at} is not that of manifest {manifest.version}", _ADVICE
                )


def _kept_logs(report: Report, local: LocalDir, shard: int) -> list[tuple[str, CommitLog]]:
    """Those that can be read. They are never synced, so a damaged one is worth a note only."""
    found = []
    for name in local.list(paths.LOG_DIR):
        parsed = paths.parse_local(name)
        if not isinstance(parsed, paths.LogName) or parsed.shard != shard:
            continue
        try:
            log = fmt.decode(local.read(name), str(local.path(name)))
        except ObjectNotFoundError:
            continue
        except CorruptionError as error:
            note = "a power loss may do this; db.log() does not show these commits"
            report.findings.append(Finding("info", name, str(error), note))
            continue
        held = (log.shard, *(c.seq for c in (log.commits[:1] + log.commits[-1:])))
        if held != (parsed.shard, parsed.first_seq, parsed.last_seq):
            report.error(name, "it does not hold the commits that its name says", _HISTORY)
        found.append((name, log))
    return found


def _compare(report: Report, known: _Known, name: str, commits: Iterable[LoggedCommit], advice: str) -> None:
    """Notes the commits; one that another file tells differently is an error."""
    for commit in commits:
        other, same = known.setdefault(commit.seq, (name, commit))
        if _told(same) != _told(commit):
            report.error(name, f"it tells commit {commit.seq} differently than {other}", advice)
            return


def _told(commit: LoggedCommit) -> tuple[object, ...]:
    """All but the names of collections, which are those of the time when it was summarized."""
    operations = tuple((o.operation, o.collection) for o in commit.operations)
    return commit.time_us, commit.write_id, operations, commit.counts, commit.note


def _check_times(report: Report, known: _Known) -> None:
    newest, before = 0, 0
    for seq in sorted(known):
        name, commit = known[seq]
        if commit.time_us <= newest:
            report.error(name, f"commit {seq} is not later than commit {before}", _ADVICE)
        newest, before = max(newest, commit.time_us), seq
