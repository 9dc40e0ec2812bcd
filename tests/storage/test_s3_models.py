"""What botocore is told of services: less than it would read by itself, and nothing that it acts upon otherwise."""

from __future__ import annotations

import json
import tracemalloc
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import botocore.loaders
import botocore.model
import botocore.session
import pytest

from tiervdb.storage import s3_models
from tiervdb.storage.limits import StoreLimits
from tiervdb.storage.object_store import ByteRange
from tiervdb.storage.open import Store, open_store
from tiervdb.storage.s3_clients import S3Clients

SECRETS = {"aws_access_key_id": "key", "aws_secret_access_key": "secret"}
REGIONS = ("us-east-1", "eu-central-1", "cn-north-1", "us-gov-west-1", "us-iso-east-1", "mars-north-7")


def lean() -> botocore.loaders.Loader:
    s3_models.models.cache_clear()
    return s3_models.models()


def client(loader: botocore.loaders.Loader, service: str, **how: Any) -> Any:
    session = botocore.session.Session()
    session.register_component("data_loader", loader)
    return session.create_client(service, **SECRETS, **how)


@pytest.mark.parametrize("region", REGIONS)
def test_the_same_endpoints_as_with_all_that_botocore_reads(region: str) -> None:
    full = botocore.loaders.Loader()
    for service in ("s3", "sts", "sso", "sso-oidc"):
        found = [client(loader, service, region_name=region).meta.endpoint_url for loader in (lean(), full)]
        assert found[0] == found[1], service


@pytest.mark.parametrize("style", ["path", "virtual", "auto"])
def test_the_same_urls_of_objects(style: str) -> None:
    config = botocore.config.Config(s3={"addressing_style": style, "use_dualstack_endpoint": True})
    urls = []
    for loader in (lean(), botocore.loaders.Loader()):
        s3 = client(loader, "s3", region_name="eu-west-1", config=config)
        urls.append(s3.generate_presigned_url("get_object", Params={"Bucket": "words", "Key": "a/b"}).split("?")[0])
    assert urls[0] == urls[1]


def test_the_same_operations_and_only_their_manual_is_missing() -> None:
    models = [
        botocore.model.ServiceModel(loader.load_service_model("s3", "service-2"))
        for loader in (lean(), botocore.loaders.Loader())
    ]
    ours, theirs = models
    assert ours.operation_names == theirs.operation_names
    for name in theirs.operation_names:
        a, b = ours.operation_model(name), theirs.operation_model(name)
        assert (a.http, a.endpoint, a.auth_type) == (b.http, b.endpoint, b.auth_type)
        for shape, other in ((a.input_shape, b.input_shape), (a.output_shape, b.output_shape)):
            if other is not None:
                assert list(shape.members) == list(other.members)
                assert shape.serialization == other.serialization
    assert [p.name for p in ours.client_context_parameters] == [p.name for p in theirs.client_context_parameters]


def test_a_parameter_that_is_called_documentation_stays() -> None:
    found = {"members": {"documentation": {"shape": "Text", "documentation": "long"}}, "documentation": "long"}
    s3_models._empty_manual(found)
    assert found == {"members": {"documentation": {"shape": "Text", "documentation": ""}}, "documentation": ""}


def test_models_of_the_user_are_read_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine" / "2026-01-01").mkdir(parents=True)
    (tmp_path / "mine" / "2026-01-01" / "service-2.json").write_text(json.dumps({"metadata": {"serviceId": "mine"}}))
    monkeypatch.setenv("AWS_DATA_PATH", str(tmp_path))
    assert lean().load_service_model("mine", "service-2")["metadata"] == {"serviceId": "mine"}


def test_both_clients_read_each_description_once(monkeypatch: pytest.MonkeyPatch) -> None:
    loader = lean()
    read: Counter[str] = Counter()
    load_file: Callable[[str], Any] = loader.file_loader.load_file

    def counted(path: str) -> Any:
        found = load_file(path)
        read.update([path] if found is not None else [])
        return found

    monkeypatch.setattr(loader.file_loader, "load_file", counted)
    options = {"key": "key", "secret": "secret", "endpoint_url": "http://127.0.0.1:9"}
    for _ in range(2):
        clients = S3Clients(options, StoreLimits(), "s3://words")
        clients.prepare(Bucket="words", Key="a")
        assert clients.boto.meta.endpoint_url == "http://127.0.0.1:9"
        clients.close()
    assert set(read.values()) == {1}
    assert any("service-2" in path for path in read)


def test_they_take_less_memory() -> None:
    assert _traced(lean()) < 0.5 * _traced(botocore.loaders.Loader())


def _traced(loader: botocore.loaders.Loader) -> int:
    tracemalloc.start()
    try:
        loader.load_data("endpoints")
        loader.load_service_model("s3", "service-2")
        loader.load_service_model("s3", "endpoint-rule-set-1")
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


def test_reading_ranges_makes_no_client_for_conditions(s3_place: Store) -> None:
    writer, reader = open_store(s3_place), open_store(s3_place)
    writer.put("a", b"0123456789")
    reader.prepare()
    assert reader.get_ranges("a", [ByteRange(2, 3), ByteRange(7, 1)]) == [b"234", b"7"]
    assert reader._clients._boto is None  # type: ignore[attr-defined]
    writer.close()
    reader.close()
