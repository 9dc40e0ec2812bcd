"""The requests of S3 Object Lock. Errors are boto3's unless said otherwise: ``S3Store`` translates them.

No request bypasses GOVERNANCE, so the server itself refuses what would shorten or weaken a retention: with AccessDenied
(Amazon, SeaweedFS) or InvalidRequest (MinIO). SeaweedFS compares and sets in two steps: of two extensions at the same
moment the shorter may win there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from botocore.exceptions import ClientError

from tiervdb.errors import FeatureUnavailableError, InvalidInputError, StoreRefusedError
from tiervdb.storage.retention import RetentionMode

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNKNOWN_STATUS = frozenset({405, 501})  # of servers that never heard of Object Lock
_NO_LOCK = "ObjectLockConfigurationNotFoundError"
_NOT_RETAINED = frozenset({"NoSuchObjectLockConfiguration", _NO_LOCK, "InvalidRequest"})


@dataclass(frozen=True, slots=True)
class _Retention:
    mode: str
    until: datetime

    def covers(self, other: _Retention) -> bool:
        return self.until >= other.until and self.mode in {"COMPLIANCE", other.mode}


def is_enabled(client: Any, bucket: str) -> bool:
    """Whether the bucket has Object Lock."""
    try:
        found = client.get_object_lock_configuration(Bucket=bucket)["ObjectLockConfiguration"]
    except ClientError as error:
        if _code(error) != _NO_LOCK and error.response["ResponseMetadata"]["HTTPStatusCode"] not in _UNKNOWN_STATUS:
            raise
        client.head_bucket(Bucket=bucket)  # MinIO says the same of a bucket that does not exist
        return False
    return bool(found.get("ObjectLockEnabled") == "Enabled")


def retain(client: Any, at: Mapping[str, str], until_us: int, mode: RetentionMode, what: str) -> None:
    """See ``RetainingStore``; raises the errors of tiervdb named there, beginning with ``what``, and boto3's."""
    wanted = _Retention(mode, _whole_second(until_us, what))
    found = client.head_object(**at)
    version = _version(at, found)
    shown = _shown(found)  # not there if s3:GetObjectRetention is missing
    if shown and shown.covers(wanted):
        return
    if wanted.until <= parsedate_to_datetime(found["ResponseMetadata"]["HTTPHeaders"]["date"]):
        raise InvalidInputError(f"{what} until {wanted.until:%Y-%m-%d %H:%M:%S} UTC: that is over; give a later time")
    if shown:
        wanted = _Retention("COMPLIANCE" if shown.mode == "COMPLIANCE" else mode, max(wanted.until, shown.until))
    try:
        client.put_object_retention(**version, Retention={"Mode": wanted.mode, "RetainUntilDate": wanted.until})
    except ClientError as error:
        if not _is_covered(client, version, wanted, error, what):
            raise


def retained_until(client: Any, at: Mapping[str, str]) -> int | None:
    """See ``RetainingStore``."""
    found = client.head_object(**at)
    retention = _shown(found) or _asked(client, _version(at, found))
    return (retention.until - _EPOCH) // timedelta(microseconds=1) if retention else None


def _is_covered(client: Any, version: Mapping[str, str], wanted: _Retention, error: ClientError, what: str) -> bool:
    """Whether a refused retention holds anyhow: somebody else may have extended it further meanwhile."""
    if _code(error) == "InvalidRequest" and not is_enabled(client, version["Bucket"]):
        raise FeatureUnavailableError(f"{what}: the bucket has no Object Lock; use one that was created with it")
    held = _asked(client, version)
    if held and held.mode == "GOVERNANCE" and wanted.mode == "COMPLIANCE":
        raise StoreRefusedError(
            f"{what}: it is retained in mode GOVERNANCE, and tiervdb never lifts that; keep to GOVERNANCE, "
            "or change this object with s3:BypassGovernanceRetention and the store's own tools"
        )
    return held is not None and held.covers(wanted)


def _asked(client: Any, version: Mapping[str, str]) -> _Retention | None:
    """What the store says when asked for the retention alone: refused without the permission, never left out."""
    try:
        found = client.get_object_retention(**version)["Retention"]
    except ClientError as error:
        if _code(error) in _NOT_RETAINED:
            return None
        raise
    return _Retention(found["Mode"], found["RetainUntilDate"])


def _shown(found: Mapping[str, Any]) -> _Retention | None:
    """What the answer to a HEAD tells."""
    until = found.get("ObjectLockRetainUntilDate")
    return _Retention(found["ObjectLockMode"], until) if until else None


def _version(at: Mapping[str, str], found: Mapping[str, Any]) -> dict[str, str]:
    """The version that was looked at: SeaweedFS would retain a delete marker as well."""
    return {**at, "VersionId": found["VersionId"]} if "VersionId" in found else dict(at)


def _whole_second(until_us: int, what: str) -> datetime:
    """The time rounded up: servers cut what is finer than a second or a millisecond off."""
    try:
        return _EPOCH + timedelta(seconds=-(-until_us // 1_000_000))
    except OverflowError as error:
        raise InvalidInputError(f"{what} until {until_us}: no such time; give UTC microseconds") from error


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
