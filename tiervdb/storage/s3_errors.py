"""The one place where errors of boto3, s3fs and what lies below them become errors of tiervdb.

Messages name the operation, the key, the store and the error's kind or code. Texts of the server or of a library are
left out: they may hold secrets.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from botocore import exceptions as boto
from botocore.parsers import ResponseParserError

from tiervdb.errors import (
    CorruptionError,
    InvalidInputError,
    ObjectNotFoundError,
    PreconditionFailedError,
    StorageError,
    StoreRefusedError,
    StoreUnavailableError,
    TiervdbError,
)

_AWAY_CODES = frozenset(
    {"SlowDown", "RequestTimeout", "RequestTimeoutException", "Throttling", "ThrottlingException", "InternalError"}
    | {"ConditionalRequestConflict", "OperationAborted", "IncompleteBody", "ServiceUnavailable", "RequestLimitExceeded"}
)
_REFUSED_CODES = frozenset(
    {"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "AllAccessDisabled"}
    | {"AccountProblem", "InvalidSecurity", "AuthorizationHeaderMalformed", "PermanentRedirect", "TokenRefreshRequired"}
)
_RETENTION = "s3:GetObjectRetention and, to retain, s3:PutObjectRetention"
_PERMISSIONS = {  # of operations that few credentials are given
    "GetObjectLockConfiguration": "s3:GetBucketObjectLockConfiguration",
    "GetObjectRetention": _RETENTION,
    "PutObjectRetention": _RETENTION,
}
_AWAY_STATUS = frozenset({408, 409, 429})
_REFUSED_STATUS = frozenset({301, 307, 401, 403})
_NO_CREDENTIALS = (
    boto.NoCredentialsError,
    boto.PartialCredentialsError,
    boto.CredentialRetrievalError,
    boto.ProfileNotFound,
    boto.TokenRetrievalError,
    boto.UnauthorizedSSOTokenError,
    boto.NoAuthTokenError,
)
_BROKEN_OFF = frozenset(
    {"IncompleteReadError", "IncompleteRead", "ClientPayloadError", "ContentLengthError", "RetriesExceededError"}
    | {"ResponseStreamingError"}
)
_AWAY = (boto.HTTPClientError, boto.IncompleteReadError, ResponseParserError, ConnectionError, TimeoutError)


def s3_error(error: BaseException, doing: str) -> TiervdbError:
    """The error to raise in place of ``error``."""
    causes = tuple(_causes(error))
    for cause in causes:
        if isinstance(cause, boto.ClientError):
            return _from_response(cause, doing)
    if any(isinstance(cause, _NO_CREDENTIALS) for cause in causes):
        return StoreRefusedError(f"{doing}: no usable credentials; give key and secret or a profile in storage_options")
    if any(isinstance(cause, boto.ParamValidationError) for cause in causes):
        return InvalidInputError(f"{doing}: the bucket or key name is not valid; correct the URL")
    kind = type(causes[-1]).__name__
    if any(isinstance(cause, _AWAY) or _is_transport(cause) for cause in causes):
        return StoreUnavailableError(f"{doing}: the store is away ({kind}); try again later")
    return StorageError(f"{doing}: the store failed ({kind}); check the URL and storage_options")


def was_retried(error: BaseException) -> bool:
    """Whether an answer came after an earlier attempt of the same request, which the server may have carried out."""
    for cause in _causes(error):
        if isinstance(cause, boto.ClientError):
            return bool(cause.response.get("ResponseMetadata", {}).get("RetryAttempts", 0))
    return True


def is_passing(error: BaseException | None) -> bool:
    """Whether the store is there and asked for patience (5xx, SlowDown), or its answer broke off: worth another try.

    A store that cannot be reached, or keeps silent, is not: its time-outs have been waited for already.
    """
    causes = tuple(_causes(error)) if error is not None else ()
    responses = [cause for cause in causes if isinstance(cause, boto.ClientError)]
    if responses:
        response: Any = responses[0].response
        code = str(response.get("Error", {}).get("Code", ""))
        status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        return code in _AWAY_CODES or status in _AWAY_STATUS or status >= 500
    return any(type(cause).__name__ in _BROKEN_OFF for cause in causes)


def _from_response(error: Any, doing: str) -> TiervdbError:
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code == "NoSuchBucket":
        return StoreRefusedError(f"{doing}: the bucket does not exist; create it or correct the URL")
    if code == "PreconditionFailed" or status == 412:
        return PreconditionFailedError(f"{doing}: the object is not as expected; read it again")
    if code == "InvalidRange" or status == 416:
        return CorruptionError(f"{doing}: the object is shorter than expected; restore it from a backup")
    if code == "RequestTimeTooSkewed":
        return StoreRefusedError(f"{doing}: this machine's clock is wrong; set it and try again")
    if code in _AWAY_CODES or status in _AWAY_STATUS or status >= 500:
        return StoreUnavailableError(f"{doing}: the store answered {code or status}; try again later")
    if code in _REFUSED_CODES or status in _REFUSED_STATUS:
        needed = _PERMISSIONS.get(error.operation_name)
        hint = f"allow {needed}" if needed else "check credentials, permissions and region"
        return StoreRefusedError(f"{doing}: the store refused ({code}); {hint}")
    if status == 404:
        return ObjectNotFoundError(f"{doing}: there is no such object")
    return StorageError(f"{doing}: the store answered {code or status}; check the URL and storage_options")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what led to it: s3fs and s3transfer hide the server's answer behind errors of their own."""
    at: BaseException | None = error
    seen: set[int] = set()
    while at is not None and id(at) not in seen:
        seen.add(id(at))
        yield at
        at = at.__cause__ or at.__context__ or getattr(at, "last_exception", None)


def _is_transport(error: BaseException) -> bool:
    """Errors of aiohttp and urllib3, which are only s3fs's and botocore's to know."""
    return type(error).__module__.partition(".")[0] in {"aiohttp", "urllib3"}
