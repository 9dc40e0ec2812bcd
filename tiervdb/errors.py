"""Every error that tiervdb raises.

    TiervdbError
    |-- InvalidInputError (ValueError)          the caller's data or arguments: correct them and call again
    |   |-- FilterError                         a where= expression that cannot be used
    |   `-- SchemaError                         unknown column, wrong type, name taken or reserved
    |-- NotFoundError (KeyError)
    |   |-- CollectionNotFoundError
    |   |-- SnapshotNotFoundError
    |   |-- PinNotFoundError
    |   `-- BackupNotFoundError
    |-- AlreadyExistsError                      a collection or snapshot of that name exists
    |-- StateError                              the database, as it is now, cannot do that
    |   |-- ClosedError                         closed; open it again
    |   |-- ReadOnlyError                       opened with read_only=True or through at()
    |   |-- ForkedError                         used in a child process after fork
    |   |-- WritesRefusedError                  an earlier write failed; reopen
    |   |-- OutsideWindowError                  no pin, log, backup or archive reaches that point
    |   |-- AmbiguousTargetError                a time that two timelines had: say timeline=
    |   |-- NoRepositoryError                   backup() without a repository
    |   |-- ArchiveConflictError                the archive holds other commits under our numbers: a hard stop
    |   `-- SettingsMismatchError               a remembered setting (a URL) differs
    |-- OpenError                               open() refused, nothing was changed
    |   |-- NotADatabaseError
    |   |-- DatabaseLockedError                 another process writes
    |   |-- CopiedDatabaseError                 the directory was copied: say copied=
    |   |-- NotARepositoryError
    |   |-- RepositoryInUseError                the repository holds another database
    |   |-- WrongKeyError                       the repository is encrypted, and no or a wrong key was given
    |   `-- NewerFormatError                    written by a newer tiervdb
    |-- CommitOutcomeUnknown                    logged, durability not confirmed; carries .seq
    |-- CorruptionError                         bytes are damaged or missing; names the file
    |-- StorageError                            the disk or a store failed
    |   |-- DiskFullError
    |   |-- ObjectNotFoundError
    |   |-- ObjectExistsError                   put_if_absent lost
    |   |-- PreconditionFailedError             put_if_match lost
    |   |-- StoreUnavailableError               away, timed out, 5xx: try again later
    |   |-- StoreRefusedError                   credentials or permissions
    |   `-- FencedError                         a newer writer holds the store
    `-- FeatureUnavailableError                 what was asked for needs something that is missing here

Each class knows the exit code that the command line ends with. SingleWriterWarning (UserWarning) is the one warning.
"""

from __future__ import annotations


class TiervdbError(Exception):
    """Base of all errors of tiervdb."""

    exit_code = 1


class InvalidInputError(TiervdbError, ValueError):
    """The data or an argument is not usable; nothing was written."""

    exit_code = 2


class FilterError(InvalidInputError):
    """A ``where=`` expression or its parameters cannot be used."""


class SchemaError(InvalidInputError):
    """A column or collection definition does not fit."""


class NotFoundError(TiervdbError, KeyError):
    """Something that was named does not exist."""

    exit_code = 3

    def __str__(self) -> str:  # KeyError would show the repr
        return str(self.args[0]) if self.args else ""


class CollectionNotFoundError(NotFoundError):
    """There is no collection of that name."""


class SnapshotNotFoundError(NotFoundError):
    """There is no snapshot of that name."""


class PinNotFoundError(NotFoundError):
    """There is no pin of that id."""


class BackupNotFoundError(NotFoundError):
    """There is no listed backup of that id or label."""


class AlreadyExistsError(TiervdbError):
    """A collection, snapshot or directory of that name exists already."""

    exit_code = 3


class StateError(TiervdbError):
    """The database, as it is now, cannot do what was asked."""

    exit_code = 4


class ClosedError(StateError):
    """The database was closed."""


class ReadOnlyError(StateError):
    """A write through a read-only database."""


class ForkedError(StateError):
    """A database object was used in a child process after fork."""


class WritesRefusedError(StateError):
    """An earlier write to the log failed, so writes are refused until the database is reopened."""


class OutsideWindowError(StateError):
    """No pin, log, backup or archive that is held reaches the asked point in time."""


class AmbiguousTargetError(StateError):
    """At the asked time there were two timelines; ``timeline=`` says which is meant."""


class NoRepositoryError(StateError):
    """The operation needs a repository and the database has none."""


class ArchiveConflictError(StateError):
    """The archived log holds other commits under this database's numbers: two copies of it archive to one place."""


class SettingsMismatchError(StateError):
    """A remembered setting differs from the one that was given."""


class OpenError(TiervdbError):
    """A database could not be opened; nothing was changed."""

    exit_code = 5


class NotADatabaseError(OpenError):
    """The path is not a tiervdb database."""


class DatabaseLockedError(OpenError):
    """Another process has the database open for writing."""


class CopiedDatabaseError(OpenError):
    """The directory is a copy of another database's directory."""


class NotARepositoryError(OpenError):
    """The URL is not that of a tiervdb repository."""


class RepositoryInUseError(OpenError):
    """The repository holds another database."""


class WrongKeyError(OpenError):
    """A repository is encrypted and no key, or none that opens it, was given."""


class NewerFormatError(OpenError):
    """The files were written by a newer version of tiervdb."""


class CommitOutcomeUnknown(TiervdbError):
    """A commit was logged, but it could not be confirmed that it is durable.

    ``seq`` is its commit sequence number. After reopening, ``db.log(since=...)`` tells whether it holds.
    """

    exit_code = 6

    def __init__(self, message: str, seq: int) -> None:
        super().__init__(message)
        self.seq = seq


class CorruptionError(TiervdbError):
    """Bytes are damaged or missing. The message names the file or object and what to do."""

    exit_code = 7


class StorageError(TiervdbError):
    """The disk or an object store failed."""

    exit_code = 8


class DiskFullError(StorageError):
    """No space is left on the device."""


class ObjectNotFoundError(StorageError):
    """An object or file does not exist."""


class ObjectExistsError(StorageError):
    """A create-if-absent found the key taken."""


class PreconditionFailedError(StorageError):
    """A replace-if-unchanged found another version."""


class StoreUnavailableError(StorageError):
    """An object store is away, timed out or answered with a server error."""


class StoreRefusedError(StorageError):
    """An object store refused the credentials or lacks the permission."""


class FencedError(StorageError):
    """A newer writer has taken the store over; this one must stop."""


class FeatureUnavailableError(TiervdbError):
    """What was asked for needs something that is missing here; the message says what."""

    exit_code = 9


class SingleWriterWarning(UserWarning):
    """A cold store has no conditional writes, so nothing there stops a second writer at the same moment."""
