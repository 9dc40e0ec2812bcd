"""Answers about Object Lock that the servers of the tests do not give: Amazon's, and of who never heard of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from tiervdb.errors import StoreRefusedError
from tiervdb.storage import s3_retention
from tiervdb.storage.s3_errors import s3_error

AT = {"Bucket": "b", "Key": "k"}
VERSION = {**AT, "VersionId": "1"}
EARLY, LATE, LATEST = (datetime(2040, 1, day, tzinfo=UTC) for day in (1, 2, 3))
LATE_US = round(LATE.timestamp() * 1e6)


@pytest.fixture
def stub() -> Iterator[Stubber]:
    client = boto3.client("s3", region_name="us-east-1", aws_access_key_id="k", aws_secret_access_key="s")
    with Stubber(client) as stub:
        yield stub
        stub.assert_no_pending_responses()
    client.close()


def add_head(stub: Stubber, **shown: object) -> None:
    meta = {"HTTPStatusCode": 200, "HTTPHeaders": {"date": "Sun, 06 Nov 2039 08:49:37 GMT"}}
    stub.add_response("head_object", {"VersionId": "1", "ResponseMetadata": meta, **shown}, AT)


def add_retention(stub: Stubber, mode: str, until: datetime) -> None:
    stub.add_response("get_object_retention", {"Retention": {"Mode": mode, "RetainUntilDate": until}}, VERSION)


def add_put(stub: Stubber, mode: str, until: datetime, refused: str = "", status: int = 403) -> None:
    asked = {**VERSION, "Retention": {"Mode": mode, "RetainUntilDate": until}}
    if refused:
        stub.add_client_error("put_object_retention", refused, "", status, expected_params=asked)
    else:
        stub.add_response("put_object_retention", {}, asked)


def retain(stub: Stubber, mode: Any = "GOVERNANCE") -> None:
    s3_retention.retain(stub.client, AT, LATE_US, mode, "retaining k")


@pytest.mark.parametrize("status", [405, 501])
def test_a_server_without_object_lock(stub: Stubber, status: int) -> None:
    stub.add_client_error("get_object_lock_configuration", "NotImplemented", "", status)
    stub.add_response("head_bucket", {})
    assert not s3_retention.is_enabled(stub.client, "b")


def test_a_refused_question_is_no_answer(stub: Stubber) -> None:
    stub.add_client_error("get_object_lock_configuration", "AccessDenied", "", 403)
    with pytest.raises(ClientError) as caught:
        s3_retention.is_enabled(stub.client, "b")
    ours = s3_error(caught.value, "looking")
    assert isinstance(ours, StoreRefusedError)
    assert "s3:GetBucketObjectLockConfiguration" in str(ours)


@pytest.mark.parametrize(("code", "status"), [("NoSuchObjectLockConfiguration", 404), ("InvalidRequest", 400)])
def test_not_retained(stub: Stubber, code: str, status: int) -> None:
    add_head(stub)
    stub.add_client_error("get_object_retention", code, "", status, expected_params=VERSION)
    assert s3_retention.retained_until(stub.client, AT) is None


def test_a_retention_that_a_head_does_not_show(stub: Stubber) -> None:
    add_head(stub)
    add_retention(stub, "GOVERNANCE", LATE)
    assert s3_retention.retained_until(stub.client, AT) == LATE_US


def test_what_is_retained_long_enough_is_not_written(stub: Stubber) -> None:
    add_head(stub, ObjectLockMode="COMPLIANCE", ObjectLockRetainUntilDate=LATE)
    retain(stub)


def test_the_version_that_was_seen_is_retained(stub: Stubber) -> None:
    add_head(stub, ObjectLockMode="COMPLIANCE", ObjectLockRetainUntilDate=EARLY)
    add_put(stub, "COMPLIANCE", LATE)
    retain(stub)


def test_somebody_else_was_faster_and_retains_longer(stub: Stubber) -> None:
    add_head(stub)
    add_put(stub, "GOVERNANCE", LATE, "AccessDenied")
    add_retention(stub, "GOVERNANCE", LATEST)
    retain(stub)


def test_a_refusal_that_nothing_makes_good(stub: Stubber) -> None:
    add_head(stub, ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=EARLY)
    add_put(stub, "GOVERNANCE", LATE, "AccessDenied")
    add_retention(stub, "GOVERNANCE", EARLY)
    with pytest.raises(ClientError) as caught:
        retain(stub)
    assert "s3:PutObjectRetention" in str(s3_error(caught.value, "retaining"))


def test_compliance_never_shortens_governance(stub: Stubber) -> None:
    add_head(stub, ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=LATEST)
    add_put(stub, "COMPLIANCE", LATEST)
    retain(stub, "COMPLIANCE")
