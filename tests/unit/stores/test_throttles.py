"""Requests that DynamoDB puts off are counted, although the SDK repeats them by itself."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from stores.dynamodb import TablesAddress, Throttles

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
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def client(dynamodb: DynamoDB) -> Any:
    return TablesAddress("ap-northeast-2", f"http://127.0.0.1:{dynamodb.server_port}", "").client()


def test_each_attempt_that_was_put_off_counts_until_it_is_taken(
    dynamodb: DynamoDB, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: None)
    throttles = Throttles(client)
    dynamodb.answers = [THROTTLED, LIMITED, (200, {})]
    client.put_item(TableName="usage", Item={"project_id": {"N": "1"}})
    assert (throttles.take(), throttles.take()) == (2, 0)


def test_of_a_request_with_many_statements_those_that_were_put_off_count(dynamodb: DynamoDB, client: Any) -> None:
    throttles = Throttles(client)
    codes = ("ThrottlingError", "ConditionalCheckFailed", "ProvisionedThroughputExceeded", "DuplicateItem")
    dynamodb.answers = [
        (200, {"Responses": [{"Error": {"Code": code}} for code in codes] + [{"TableName": "usage"}]})
    ]
    client.batch_execute_statement(Statements=[{"Statement": "…"}] * 5)
    assert throttles.take() == 2


def test_items_and_other_refusals_do_not_count(dynamodb: DynamoDB, client: Any) -> None:
    throttles = Throttles(client)
    dynamodb.answers = [(200, {"Responses": {"profiles": [{"Error": {"M": {}}}]}}), REFUSED]
    client.batch_get_item(RequestItems={"profiles": {"Keys": [{"profile": {"S": "1:a"}}]}})
    with pytest.raises(client.exceptions.ConditionalCheckFailedException):
        client.put_item(TableName="usage", Item={"project_id": {"N": "1"}})
    assert throttles.take() == 0
