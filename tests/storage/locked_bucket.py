"""A bucket with Object Lock on each S3 server of the tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import boto3
import botocore.config
import pytest

from tests.support.s3_servers import S3Endpoint

_BUCKET = "tiervdb-tests-locked"
_THERE_ALREADY = frozenset({"BucketAlreadyOwnedByYou", "BucketAlreadyExists", "OperationAborted"})


def locked_endpoint(endpoint: S3Endpoint) -> S3Endpoint:
    """The same server with its one bucket that has Object Lock, made if missing. Skips where that is not ours to do."""
    if "endpoint_url" not in endpoint.storage_options:
        pytest.skip("needs a server that the tests started")
    with s3_client(endpoint) as client:
        try:
            client.create_bucket(Bucket=_BUCKET, ObjectLockEnabledForBucket=True)
        except client.exceptions.ClientError as error:
            if error.response["Error"]["Code"] not in _THERE_ALREADY:
                raise
    return S3Endpoint(endpoint.name, f"s3://{_BUCKET}", endpoint.storage_options)


@contextmanager
def s3_client(endpoint: S3Endpoint) -> Iterator[Any]:
    """boto3 itself, for what tiervdb never does: to name versions and to bypass GOVERNANCE."""
    options = endpoint.storage_options
    client = boto3.client(
        "s3",
        aws_access_key_id=str(options["key"]),
        aws_secret_access_key=str(options["secret"]),
        endpoint_url=str(options["endpoint_url"]),
        region_name="us-east-1",
        config=botocore.config.Config(
            request_checksum_calculation="when_required", response_checksum_validation="when_required"
        ),
    )
    with closing(client):
        yield client
