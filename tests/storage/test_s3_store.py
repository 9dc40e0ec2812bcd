"""What only an S3 store can suffer: lost replies, refusal, absence, fork."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from s3transfer.utils import ChunksizeAdjuster

from tests.support.lossy_proxy import LossyProxy, lossy_proxy
from tests.support.s3_servers import S3Endpoint, free_ports
from tiervdb.errors import (
    ForkedError,
    InvalidInputError,
    ObjectExistsError,
    ObjectNotFoundError,
    PreconditionFailedError,
    StoreRefusedError,
    StoreUnavailableError,
    TiervdbError,
)
from tiervdb.storage.limits import StoreLimits
from tiervdb.storage.object_store import ByteRange, ObjectStore
from tiervdb.storage.open import Store, open_store

QUICK = StoreLimits(connect_timeout=0.5, read_timeout=2, attempts=2)


@contextmanager
def opened(store: Store) -> Iterator[ObjectStore]:
    found = open_store(store)
    try:
        yield found
    finally:
        found.close()


@pytest.fixture
def behind_proxy(s3_endpoint: S3Endpoint) -> Iterator[tuple[ObjectStore, LossyProxy]]:
    _needs_own_server(s3_endpoint)
    port = urlsplit(str(s3_endpoint.storage_options["endpoint_url"])).port
    assert port is not None
    with ExitStack() as stack:
        proxy = stack.enter_context(lossy_proxy(port))
        options = s3_endpoint.storage_options | {"endpoint_url": f"http://127.0.0.1:{proxy.port}"}
        yield stack.enter_context(opened(Store(s3_endpoint.place().url, options, QUICK))), proxy


def _needs_own_server(endpoint: S3Endpoint) -> None:
    if "endpoint_url" not in endpoint.storage_options:
        pytest.skip("needs a server that the tests started")


def every_call(store: ObjectStore, folder: Path) -> list[Callable[[], object]]:
    file = folder / "file"
    file.write_bytes(b"data")
    return [
        lambda: store.get("k"),
        lambda: store.get_ranges("k", [ByteRange(0, 1)]),
        lambda: store.get_file("k", folder / "target"),
        lambda: store.put("k", b""),
        lambda: store.put_file("k", file),
        lambda: store.put_if_absent("k", b""),
        lambda: store.put_if_match("k", b"", "0"),
        lambda: store.stat("k"),
        lambda: list(store.list("")),
        lambda: store.delete("k"),
        lambda: store.copy("k", "l"),
    ]


@pytest.mark.parametrize("lost", [1, 2, 3])
def test_a_lost_reply_of_a_create_is_found_out(behind_proxy: tuple[ObjectStore, LossyProxy], lost: int) -> None:
    store, proxy = behind_proxy
    proxy.lose_replies = lost
    try:
        store.put_if_absent("k", b"by writer 1")
    except StoreUnavailableError:
        assert lost > 2  # reading back failed too
    assert proxy.lost == lost
    assert store.get("k") == b"by writer 1"
    with pytest.raises(ObjectExistsError):
        store.put_if_absent("k", b"by writer 1")


def test_a_lost_reply_about_somebody_elses_object(behind_proxy: tuple[ObjectStore, LossyProxy]) -> None:
    store, proxy = behind_proxy
    store.put("k", b"by writer 1")
    proxy.lose_replies = 1
    with pytest.raises(ObjectExistsError):
        store.put_if_absent("k", b"by writer 2")
    assert store.get("k") == b"by writer 1"


@pytest.mark.parametrize("lost", [1, 2])
def test_a_lost_reply_of_a_replace_is_found_out(behind_proxy: tuple[ObjectStore, LossyProxy], lost: int) -> None:
    store, proxy = behind_proxy
    store.put("k", b"one")
    first = store.stat("k").etag
    proxy.lose_replies = lost
    second = store.put_if_match("k", b"two", first)
    assert (store.get("k"), store.stat("k").etag) == (b"two", second)
    proxy.lose_replies = 1
    with pytest.raises(PreconditionFailedError):
        store.put_if_match("k", b"three", first)


def test_lost_replies_of_plain_calls_are_tried_again(
    behind_proxy: tuple[ObjectStore, LossyProxy], tmp_path: Path
) -> None:
    store, proxy = behind_proxy
    store.put("k", b"data")
    for call in every_call(store, tmp_path)[:5]:
        proxy.lose_replies = 1
        call()
    assert proxy.lost == 5


def test_an_error_within_seconds_when_it_is_away(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    options = {"key": "k", "secret": "s", "endpoint_url": f"http://127.0.0.1:{port}"}
    started = time.monotonic()
    with opened(Store("s3://bucket/prefix", options, StoreLimits(connect_timeout=0.5, attempts=1))) as store:
        for call in every_call(store, tmp_path):
            with pytest.raises(StoreUnavailableError, match="s3://bucket/prefix"):
                call()
    assert time.monotonic() - started < 30


@pytest.mark.parametrize("wrong", ["key", "secret"])
def test_wrong_credentials_are_refused_and_never_shown(s3_endpoint: S3Endpoint, tmp_path: Path, wrong: str) -> None:
    _needs_own_server(s3_endpoint)
    options = s3_endpoint.storage_options | {wrong: "do-not-show-this"}
    place = Store(s3_endpoint.place().url, options, QUICK)
    assert "do-not-show-this" not in repr(place)
    with opened(place) as store:
        assert "do-not-show-this" not in repr(store)
        for call in every_call(store, tmp_path):
            with pytest.raises(StoreRefusedError) as caught:
                call()
            assert "do-not-show-this" not in "".join(traceback.format_exception(caught.value))
            assert str(s3_endpoint.storage_options["secret"]) not in "".join(traceback.format_exception(caught.value))


def test_a_missing_bucket_is_not_a_missing_object(s3_endpoint: S3Endpoint, tmp_path: Path) -> None:
    with opened(Store("s3://tiervdb-no-such-bucket/prefix", s3_endpoint.storage_options, QUICK)) as store:
        for call in every_call(store, tmp_path):
            with pytest.raises(StoreRefusedError, match="bucket"):
                call()


def test_no_credentials_at_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    for options in ({}, {"profile": "nobody"}):
        with opened(Store("s3://bucket/prefix", {"endpoint_url": "http://127.0.0.1:1", **options}, QUICK)) as store:
            for call in (lambda: store.get("k"), lambda: store.get_ranges("k", [ByteRange(0, 1)])):
                with pytest.raises(StoreRefusedError, match="credentials"):
                    call()


def test_unknown_options_are_named_not_shown() -> None:
    with pytest.raises(InvalidInputError, match="acces_key") as caught:
        open_store(Store("s3://bucket", {"acces_key": "do-not-show-this"}))
    assert "do-not-show-this" not in str(caught.value)


def test_what_others_wrote_is_seen_at_once(s3_endpoint: S3Endpoint) -> None:
    place = s3_endpoint.place()
    with opened(place) as ours, opened(place) as theirs:
        with pytest.raises(ObjectNotFoundError):
            ours.get_ranges("a/b", [ByteRange(0, 1)])
        assert list(ours.list("a/")) == []
        theirs.put("a/b", b"1")
        assert [s.key for s in ours.list("a/")] == ["a/b"]
        assert ours.get_ranges("a/b", [ByteRange(0, 1)]) == [b"1"]
        theirs.put("a/b", b"22")
        assert ours.stat("a/b").size == 2


def _use_after_fork(store: ObjectStore, place: Store, answers: multiprocessing.connection.Connection) -> None:
    found: list[object] = []
    for call in (lambda: store.get("k"), lambda: store.get_ranges("k", [ByteRange(0, 1)])):
        try:
            found.append(call())
        except TiervdbError as error:
            found.append(type(error).__name__)
    with opened(place) as fresh:
        found.append([fresh.get("k"), *fresh.get_ranges("k", [ByteRange(0, 1)])])
    answers.send(found)


def test_after_fork(s3_endpoint: S3Endpoint) -> None:
    place = s3_endpoint.place()
    with opened(place) as store:
        store.put("k", b"data")
        assert store.get_ranges("k", [ByteRange(0, 1)]) == [b"d"]
        context = multiprocessing.get_context("fork")
        ours, theirs = context.Pipe()
        child = context.Process(target=_use_after_fork, args=(store, place, theirs))
        child.start()
        assert ours.poll(30), "the child hangs"
        assert ours.recv() == [ForkedError.__name__, ForkedError.__name__, [b"data", b"d"]]
        child.join()
        assert store.get("k") == b"data"
        for end in (ours, theirs):
            end.close()


def test_large_objects_are_sent_and_copied_in_parts(s3_place: Store, tmp_path: Path) -> None:
    """One PUT and one copy take 5 GiB at most; parts have no such limit, and 10,000 of them are enough for 5 TiB."""
    asked: list[str] = []
    with opened(s3_place) as store:
        events = store._clients.boto.meta.events  # type: ignore[attr-defined]
        events.register("before-call.s3", lambda model, **_: asked.append(model.name))
        (tmp_path / "file").write_bytes(bytes(17 << 20))
        store.put_file("k", tmp_path / "file")
        store.copy("k", "l")
        store.copy_from(store, "k", "m")
        assert [store.stat(key).size for key in "klm"] == [17 << 20] * 3
    assert [asked.count(name) for name in ("UploadPart", "UploadPartCopy", "CopyObject", "PutObject")] == [3, 6, 0, 0]
    assert (5 << 40) / ChunksizeAdjuster().adjust_chunksize(8 << 20, 5 << 40) <= 10_000
