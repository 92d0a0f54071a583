"""What is asked for the replays of a window, and that a table which is not there yet has none."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.stub import Stubber

from stores.dynamodb import TablesAddress
from stores.replays import Replays

START = datetime(2026, 3, 1, 23, tzinfo=UTC)
ALL: dict[str, Any] = {"TableName": "test-replays", "ConsistentRead": True, "ProjectionExpression": "letter"}


@pytest.fixture
def replays() -> Replays:
    return Replays(TablesAddress("ap-northeast-2", "http://127.0.0.1:9", "test-"))


@pytest.fixture
def dynamodb(replays: Replays) -> Iterator[Stubber]:
    with Stubber(replays.table.client) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


@pytest.mark.parametrize("since", [None, START])
def test_a_table_that_is_not_there_has_no_replays(
    replays: Replays, dynamodb: Stubber, since: datetime | None
) -> None:
    dynamodb.add_client_error("query" if since else "scan", "ResourceNotFoundException")
    assert list(replays.letters(since, since and since + timedelta(days=2))) == []


def test_a_window_is_a_query_for_each_of_its_days_and_a_long_one_a_scan(
    replays: Replays, dynamodb: Stubber
) -> None:
    for day in ("2026-03-01", "2026-03-02"):
        asked = {
            "KeyConditionExpression": "#day = :day",
            "ExpressionAttributeNames": {"#day": "day"},
            "ExpressionAttributeValues": {":day": {"S": day}},
        }
        dynamodb.add_response("query", {"Items": [{"letter": {"S": day}}]}, ALL | asked)
    assert list(replays.letters(START, START + timedelta(hours=2))) == ["2026-03-01", "2026-03-02"]
    dynamodb.add_response("scan", {"Items": [{"letter": {"S": "old"}}]}, ALL)
    assert list(replays.letters(START, START + timedelta(days=32))) == ["old"]
