"""Requests that DynamoDB puts off are tried again soon, for long enough, and are counted."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from stores.dynamodb import TablesAddress, pause
from stores.table import Table

THROTTLED = (400, {"__type": "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException"})
LIMITED = (400, {"__type": "com.amazon.coral.availability#ThrottlingException"})
REFUSED = (400, {"__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException"})


class DynamoDB(HTTPServer):
    """Gives the answers that it was told to give, in turn."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: list[tuple[int, Any]] = []


class Handler(BaseHTTPRequestHandler):
    server: DynamoDB

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        status, answer = self.server.answers.pop(0)
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/x-amz-json-1.0")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def dynamodb() -> Iterator[DynamoDB]:
    with DynamoDB() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def client(dynamodb: DynamoDB) -> Any:
    return TablesAddress("ap-northeast-2", f"http://127.0.0.1:{dynamodb.server_port}", "").client()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Those of this thread, longest as chance may have it, and not waited for."""
    found: list[float] = []
    monkeypatch.setattr("stores.dynamodb.uniform", lambda _, most: most)
    monkeypatch.setattr("botocore.endpoint.time.sleep", found.append)
    return found


def table(client: Any) -> Table:
    return Table(TablesAddress("ap-northeast-2", None, "t-"), "profiles", {"profile": "S", "part": "N"}, client)


def put(client: Any) -> None:
    client.put_item(TableName="usage", Item={"project_id": {"N": "1"}})


@pytest.mark.parametrize("throttled", [THROTTLED, LIMITED])
def test_what_is_throttled_for_long_is_tried_each_second_and_taken(
    dynamodb: DynamoDB, client: Any, pauses: list[float], throttled: tuple[int, Any]
) -> None:
    dynamodb.answers = [throttled] * 63 + [(200, {})]
    put(client)
    assert dynamodb.answers == []
    assert pauses == [0.05, 0.1, 0.2, 0.4, 0.8] + [1.0] * 58


def test_a_throttled_call_is_tried_64_times_and_no_more(
    dynamodb: DynamoDB, client: Any, pauses: list[float]
) -> None:
    dynamodb.answers = [THROTTLED] * 65
    with pytest.raises(client.exceptions.ProvisionedThroughputExceededException):
        put(client)
    assert (len(dynamodb.answers), len(pauses)) == (1, 63)


def test_a_key_that_is_throttled_now_and_then_for_hours_never_fails(
    dynamodb: DynamoDB, client: Any, pauses: list[float]
) -> None:
    """The SDK allows a client 100 repetitions more than calls that succeed at once, then none."""
    dynamodb.answers = [*[THROTTLED] * 4, (200, {})] * 40
    for _ in range(40):
        put(client)
    assert (dynamodb.answers, max(pauses), len(pauses)) == ([], 0.4, 160)


def test_other_faults_are_the_sdks(dynamodb: DynamoDB, client: Any, pauses: list[float]) -> None:
    dynamodb.answers = [(500, {})] * 9
    with pytest.raises(client.exceptions.ClientError):
        put(client)
    assert (len(dynamodb.answers), len(pauses)) == (1, 7)


def test_pauses_are_at_random_and_bounded() -> None:
    assert len({pause(3) for _ in range(50)}) > 1
    assert max(pause(10_000) for _ in range(1_000)) <= 1.0


@pytest.mark.usefixtures("pauses")
def test_each_attempt_that_was_put_off_counts_until_it_is_taken(dynamodb: DynamoDB, client: Any) -> None:
    throttles = table(client).throttles()
    dynamodb.answers = [THROTTLED, LIMITED, (200, {})]
    put(client)
    assert (throttles.take(), throttles.take()) == (2, 0)


def test_of_a_request_with_many_statements_those_that_were_put_off_count(dynamodb: DynamoDB, client: Any) -> None:
    throttles = table(client).throttles()
    codes = ("ThrottlingError", "ConditionalCheckFailed", "ProvisionedThroughputExceeded", "DuplicateItem")
    dynamodb.answers = [
        (200, {"Responses": [{"Error": {"Code": code}} for code in codes] + [{"TableName": "usage"}]})
    ]
    client.batch_execute_statement(Statements=[{"Statement": "…"}] * 5)
    assert throttles.take() == 2


def test_items_and_other_refusals_do_not_count(dynamodb: DynamoDB, client: Any) -> None:
    throttles = table(client).throttles()
    dynamodb.answers = [(200, {"Responses": {"profiles": [{"Error": {"M": {}}}]}}), REFUSED]
    client.batch_get_item(RequestItems={"profiles": {"Keys": [{"profile": {"S": "1:a"}}]}})
    with pytest.raises(client.exceptions.ConditionalCheckFailedException):
        put(client)
    assert throttles.take() == 0


def item(profile: str) -> dict[str, Any]:
    return {"profile": {"S": profile}, "part": {"N": "0"}, "version": {"N": "1"}}


@pytest.mark.usefixtures("pauses")
def test_the_key_that_is_put_off_most_is_named_once_a_minute(
    dynamodb: DynamoDB, client: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    profiles, now = table(client), 100.0
    monkeypatch.setattr("stores.dynamodb.time.monotonic", lambda: now)
    throttles = profiles.throttles()
    assert throttles.take() == 0
    put_off = {"Responses": [{}, {"Error": {"Code": "ThrottlingError"}}, {"Error": {"Code": "DuplicateItem"}}]}
    dynamodb.answers = [(200, put_off), THROTTLED, THROTTLED, (200, {}), THROTTLED, (200, put_off)]
    statements: Any = [
        profiles.insertion(item("1:a")),
        profiles.change(item("1:hot"), "version = :known AND attribute_not_exists(parts)", known=1),
        profiles.insertion(item("1:c")),
    ]
    client.batch_execute_statement(Statements=statements)
    client.put_item(TableName=profiles.name, Item=item("1:hot"))
    client.batch_execute_statement(Statements=statements)
    assert throttles.take() == 5
    # whose the request of three statements is that was put off as a whole, nobody knows
    assert caplog.messages == ["DynamoDB table t-profiles throttles: of 4 writes that it put off 4 are of '1:hot'"]
    for now, told in ((159.0, 1), (160.0, 2)):
        dynamodb.answers = [THROTTLED, (200, {})]
        client.put_item(TableName=profiles.name, Item=item(f"1:{now}"))
        assert throttles.take() == 1
        assert len(caplog.messages) == told
    assert caplog.messages[1].endswith("of 2 writes that it put off 1 are of '1:159.0'")
