"""The object store of stacks, alone and through the proxy that fails as S3 does."""

from collections import Counter
from collections.abc import Iterator

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from lab.stack import emulators
from lab.stack.checkpoints import Checkpoints
from lab.stack.proxy import Proxy, Request
from stores import aws

REGION, BODY = "ap-northeast-2", bytes(3_000_000)


@pytest.fixture
def seen() -> list[Request]:
    return []


@pytest.fixture
def proxy(objects_port: int, seen: list[Request]) -> Iterator[Proxy]:
    with Proxy(objects_port, seen.append) as proxy:
        yield proxy


def test_what_passes_the_proxy_is_what_is_stored(proxy: Proxy, objects_port: int, seen: list[Request]) -> None:
    through = aws.client("s3", REGION, proxy.endpoint, Config(s3={"addressing_style": "path"}))
    through.put_object(Bucket=emulators.BUCKET, Key="large", Body=BODY)  # boto3 waits for "100 Continue" as well
    assert through.head_object(Bucket=emulators.BUCKET, Key="large")["ContentLength"] == len(BODY)
    stored = emulators.s3(objects_port, REGION).open_input_stream(f"{emulators.BUCKET}/large")
    assert stored.readall() == BODY
    through.delete_object(Bucket=emulators.BUCKET, Key="large")
    assert Counter(one.operation for one in seen) == {"PUT": 1, "HEAD": 1, "DELETE": 1}


@pytest.mark.parametrize(
    ("failure", "code", "status"), [("throttled", "SlowDown", 503), ("errors", "InternalError", 500)]
)
def test_it_fails_as_s3_does(proxy: Proxy, failure: str, code: str, status: int) -> None:
    config = Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1})
    through = aws.client("s3", REGION, proxy.endpoint, config)
    proxy.fail("throttled" if failure == "throttled" else "errors")
    with pytest.raises(ClientError) as refused:
        through.list_objects_v2(Bucket=emulators.BUCKET)
    assert refused.value.response["Error"]["Code"] == code
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    with pytest.raises(ClientError) as refused:
        through.head_object(Bucket=emulators.BUCKET, Key="none")
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == status


def test_checkpoints_on_it_are_found(objects_port: int) -> None:
    s3, folder = emulators.s3(objects_port, REGION), f"{emulators.BUCKET}/checkpoints"
    checkpoints = Checkpoints(s3, f"s3://{folder}")
    assert checkpoints.latest("job") is None
    for name in ("chk-9/_metadata", "chk-10/_metadata", "chk-11/state"):
        s3.open_output_stream(f"{folder}/job/{name}").close()
    assert checkpoints.latest("job") == f"s3://{folder}/job/chk-10"
    assert checkpoints.begun("job")
