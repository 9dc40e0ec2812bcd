"""Makes the buckets that a configuration names, with versioning and Object Lock: make_buckets.py CONFIG.

Waits until each server answers. Object Lock is asked for at creation, because MinIO does not switch it on later.
"""

from __future__ import annotations

import os
import sys
import time
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

READY_SECONDS = 60
POLL_SECONDS = 0.1


def main(arguments: list[str]) -> None:
    """For every [stores.NAME] of the configuration, the bucket of each of its URLs."""
    [config] = arguments
    for name, store in tomllib.loads(Path(config).read_text())["stores"].items():
        client = client_of(store)
        for bucket in sorted({urlsplit(url).netloc for url in store["urls"]}):
            make(client, bucket)
            print(f"{name}: bucket {bucket} at {store['endpoint_url']}, versioned, with Object Lock")
        client.close()


def client_of(store: Mapping[str, Any]) -> Any:
    """boto3's, for one [stores.NAME]."""
    return boto3.client(
        "s3",
        endpoint_url=store["endpoint_url"],
        aws_access_key_id=os.environ[store["key_env"]],
        aws_secret_access_key=os.environ[store["secret_env"]],
        region_name=store.get("region") or "us-east-1",
        config=Config(connect_timeout=2, read_timeout=10, retries={"total_max_attempts": 1}),
    )


def make(client: Any, bucket: str) -> None:
    """Makes a bucket unless it is there; SystemExit for one that has no Object Lock."""
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            if bucket not in {found["Name"] for found in client.list_buckets()["Buckets"]}:
                client.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
            break
        except (ClientError, BotoCoreError) as error:
            if time.monotonic() > deadline:
                raise SystemExit(f"no bucket {bucket} after {READY_SECONDS} s: {error}") from error
            time.sleep(POLL_SECONDS)
    if not is_locked(client, bucket):
        raise SystemExit(f"bucket {bucket} is there without Object Lock: choose another name, or delete it if empty")


def is_locked(client: Any, bucket: str) -> bool:
    """Whether it has versioning and Object Lock."""
    try:
        lock = client.get_object_lock_configuration(Bucket=bucket)["ObjectLockConfiguration"]["ObjectLockEnabled"]
    except ClientError:
        return False
    return bool(lock == "Enabled" == client.get_bucket_versioning(Bucket=bucket).get("Status"))


if __name__ == "__main__":
    main(sys.argv[1:])
