"""Customers' keys sealed by a key in KMS, moto's as a process of its own."""

from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from lab.stack.process import free_port
from stores.destinations import Destination, Destinations
from stores.dynamodb import TablesAddress
from stores.errors import StoreError
from stores.outgoing import Sending, open_targets
from stores.seal import NotOpenedError, Seal, SealKeys, new_key

REGION = "ap-northeast-2"
SHOP, OTHER = 434735, 203138
KEY = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def kms_key(objects_port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", f"http://127.0.0.1:{objects_port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "local")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "local")
    client = boto3.client("kms", region_name=REGION)
    yield client.create_key()["KeyMetadata"]["KeyId"]
    client.close()


def test_a_key_is_sealed_for_one_project(kms_key: str) -> None:
    seal = Seal(SealKeys(None, kms_key, REGION))
    sealed = seal.seal(SHOP, KEY)
    assert KEY.encode() not in sealed
    assert seal.open(SHOP, sealed) == KEY
    with pytest.raises(NotOpenedError, match=r"of project 203138 does not open.*`destinations set` it anew"):
        seal.open(OTHER, sealed)


def test_what_a_file_has_sealed_opens_until_it_is_sealed_anew(kms_key: str, tmp_path: Path) -> None:
    file = tmp_path / "seal-keys"
    file.write_text(new_key())
    old = Seal(SealKeys(str(file), None, REGION)).seal(SHOP, KEY)
    both = Seal(SealKeys(str(file), kms_key, REGION))
    assert both.open(SHOP, old) == KEY
    alone = Seal(SealKeys(None, kms_key, REGION))
    assert alone.open(SHOP, both.seal(SHOP, KEY)) == KEY
    with pytest.raises(NotOpenedError):
        alone.open(SHOP, old)
    with pytest.raises(NotOpenedError):
        Seal(SealKeys(str(file), None, REGION)).open(SHOP, both.seal(SHOP, KEY))


def test_a_key_that_kms_does_not_have_is_one_line(kms_key: str) -> None:
    with pytest.raises(StoreError, match=r"^KMS key alias/none cannot be used: .*NotFoundException") as refused:
        Seal(SealKeys(None, "alias/none", REGION)).seal(SHOP, KEY)
    assert KEY not in str(refused.value)


def test_a_worker_waits_for_kms_and_takes_no_key_for_wrong_meanwhile(
    kms_key: str, tmp_path: Path, dynamodb_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = TablesAddress(REGION, dynamodb_endpoint, f"{tmp_path.name}-")
    keys = SealKeys(None, kms_key, REGION)
    destinations = Destinations(tables)
    destinations.create()
    destinations.set(Destination(SHOP, "eu", Seal(keys).seal(SHOP, KEY), KEY[-4:]))
    sending = Sending(tables, keys, None, "batch", 60)
    assert open_targets(sending)().keys() == {SHOP}
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(StoreError, match=r"^KMS cannot be reached: "):
        open_targets(sending)
