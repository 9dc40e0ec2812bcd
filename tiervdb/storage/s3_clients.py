"""The two clients of an S3 store, made when first needed: boto3 for single requests, s3fs for many ranges at once."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import boto3
import botocore.config
import botocore.session
import fsspec.asyn
import s3fs

from tiervdb.errors import ForkedError, InvalidInputError
from tiervdb.storage.limits import StoreLimits
from tiervdb.storage.s3_models import models

_OPTIONS = frozenset(
    {"key", "secret", "token", "profile", "anon", "endpoint_url", "use_ssl", "client_kwargs", "config_kwargs"}
)
_CLOSE_TIMEOUT = 2.0  # seconds


class S3Clients:
    """Thread-safe. Both clients pool their connections and have the same credentials, timeouts and retries."""

    def __init__(self, options: Mapping[str, object], limits: StoreLimits, url: str) -> None:
        if unknown := sorted(set(options) - _OPTIONS):
            raise InvalidInputError(f"storage_options of {url}: {unknown} unknown; usable are {sorted(_OPTIONS)}")
        self._options: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
        self._limits = limits
        self._url = url
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._boto: Any = None
        self._filesystem: Any = None

    @property
    def boto(self) -> Any:
        """The boto3 client."""
        if self._boto is None or self._process != os.getpid():
            with self._lock:
                self._check_process()
                self._boto = self._boto or self._open_boto()
        return self._boto

    @property
    def filesystem(self) -> Any:
        """The s3fs file system."""
        if self._filesystem is None or self._process != os.getpid():
            with self._lock:
                self._check_process()
                self._filesystem = self._filesystem or self._open_filesystem()
        return self._filesystem

    def same_as(self, other: S3Clients) -> bool:
        """Whether both speak to the same service with the same credentials."""
        return self._options == other._options

    def prepare(self, **where: str) -> None:
        """Makes the client for range reads, and has it read its rules for endpoints: together 0.1 to 0.3 s."""
        filesystem = self.filesystem

        async def sign() -> None:
            client = await filesystem.set_session()
            await client.generate_presigned_url("get_object", Params=where)

        fsspec.asyn.sync(filesystem.loop, sign)

    def close(self) -> None:
        with self._lock:
            client, filesystem = self._boto, self._filesystem
            self._boto = self._filesystem = None
        if self._process != os.getpid():
            return  # the sockets are the parent's
        if client is not None:
            client.close()
        session = None if filesystem is None else filesystem._s3
        if session is not None:
            with suppress(fsspec.asyn.FSTimeoutError):
                fsspec.asyn.sync(filesystem.loop, session.close, timeout=_CLOSE_TIMEOUT)

    def _check_process(self) -> None:
        if self._process != os.getpid():
            raise ForkedError(f"{self._url} was opened before fork: open the database again in the child process")

    def _config(self) -> dict[str, Any]:
        limits = self._limits
        return {
            "connect_timeout": limits.connect_timeout,
            "read_timeout": limits.read_timeout,
            "retries": {"mode": "standard", "total_max_attempts": limits.attempts},
            "max_pool_connections": limits.connections,
            # Other stores than Amazon's do not all know the newer checksum headers.
            "request_checksum_calculation": "when_required",
            "response_checksum_validation": "when_required",
            **self._options.get("config_kwargs", {}),
        }

    def _open_boto(self) -> Any:
        options = self._options
        session = boto3.Session(
            botocore_session=_with_shared_models(botocore.session.Session(profile=options.get("profile")))
        )
        client: dict[str, Any] = {
            "aws_access_key_id": options.get("key"),
            "aws_secret_access_key": options.get("secret"),
            "aws_session_token": options.get("token"),
            "endpoint_url": options.get("endpoint_url"),
            "use_ssl": options.get("use_ssl", True),
            **self._region(session.region_name),
            **options.get("client_kwargs", {}),
        }
        config = self._config()
        if options.get("anon"):
            config["signature_version"] = botocore.UNSIGNED
        return session.client("s3", config=botocore.config.Config(**config), **client)

    def _open_filesystem(self) -> Any:
        options = {name: value for name, value in self._options.items() if name not in {"config_kwargs", "profile"}}
        session = _with_shared_models(s3fs.core.aiobotocore.session.AioSession(profile=self._options.get("profile")))
        region = self._region(session.get_config_variable("region"))
        options["client_kwargs"] = {**region, **options.get("client_kwargs", {})}
        # A shared instance or a kept listing would answer for what other processes have changed since.
        filesystem = s3fs.S3FileSystem(
            skip_instance_cache=True, use_listings_cache=False, session=session, config_kwargs=self._config(), **options
        )
        filesystem.retries = 1  # botocore has tried again already
        return filesystem

    def _region(self, configured: str | None) -> dict[str, str]:
        """Other stores than Amazon's need some region for the signature, and do not mind which."""
        return {} if configured else {"region_name": "us-east-1"}


def _with_shared_models(session: Any) -> Any:
    session.register_component("data_loader", models())
    return session
