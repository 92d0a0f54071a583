"""What a table asks of DynamoDB: the forms of request made of one condition, and what becomes of answers."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.stub import Stubber

from stores.dynamodb import TablesAddress
from stores.errors import MissingError, StoreError
from stores.table import Item, Outcome, Table
from tests.cases import each

ADDRESS = TablesAddress("ap-northeast-2", "http://127.0.0.1:9", "test-")
KEY: Item = {"project_id": {"N": "1"}, "month": {"S": "2026-03"}}
ITEM: Item = {**KEY, "name": {"S": "a"}, "events": {"N": "7"}}
OLD: Item = {**KEY, "events": {"N": "9"}}
NEVER_LOWER = "events <= :events"


@pytest.fixture(scope="module")
def table() -> Table:
    return Table(ADDRESS, "usage", {"project_id": "N", "month": "S"})


@pytest.fixture
def dynamodb(table: Table) -> Iterator[Stubber]:
    """DynamoDB's answers, which a test lines up with the requests that it expects."""
    with Stubber(table.client) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


def refuse(dynamodb: Stubber, operation: str, **said: Any) -> None:
    dynamodb.add_client_error(operation, "ConditionalCheckFailedException", modeled_fields=said)


def test_a_statement_inserts(table: Table) -> None:
    assert table.insertion(ITEM) == {
        "Statement": "INSERT INTO \"test-usage\" VALUE {'project_id': ?, 'month': ?, 'name': ?, 'events': ?}",
        "Parameters": [{"N": "1"}, {"S": "2026-03"}, {"S": "a"}, {"N": "7"}],
    }


@each(
    ("condition", "given", "where", "values"),
    [
        (NEVER_LOWER, {}, '"events"<=?', [{"N": "7"}]),
        ("events = :known", {"known": 6}, '"events"=?', [{"N": "6"}]),
        ("events <= :events AND name < :name", {}, '"events"<=? AND "name"<?', [{"N": "7"}, {"S": "a"}]),
        # in the order of the condition, whatever that of the item
        ("name < :name AND events <= :events", {}, '"name"<? AND "events"<=?', [{"S": "a"}, {"N": "7"}]),
        (
            "events = :n AND attribute_not_exists(parts)",
            {"n": 6},
            '"events"=? AND "parts" IS MISSING',
            [{"N": "6"}],
        ),
    ],
)
def test_a_statement_changes_an_item_on_a_condition(
    table: Table, condition: str, given: dict[str, int], where: str, values: list[Any]
) -> None:
    statement = 'UPDATE "test-usage" SET "name"=? SET "events"=? WHERE "project_id"=? AND "month"=? AND '
    assert table.change(ITEM, condition, **given) == {
        "Statement": statement + where,
        "Parameters": [{"S": "a"}, {"N": "7"}, {"N": "1"}, {"S": "2026-03"}, *values],
    }


def test_an_update_has_the_same_condition_in_a_request_of_its_own(table: Table, dynamodb: Stubber) -> None:
    request = {
        "TableName": "test-usage",
        "Key": KEY,
        "UpdateExpression": "SET #name = :name, #events = :events",
        "ConditionExpression": f"attribute_not_exists(events) OR {NEVER_LOWER} OR events > :most",
        "ExpressionAttributeNames": {"#name": "name", "#events": "events"},
        "ExpressionAttributeValues": {":name": {"S": "a"}, ":events": {"N": "7"}, ":most": {"N": "99"}},
    }
    dynamodb.add_response("update_item", {}, request)
    table.update(ITEM, request["ConditionExpression"], most=99)
    refuse(dynamodb, "update_item")
    table.update(ITEM, NEVER_LOWER)


def test_a_put_names_the_values_of_its_condition_only(table: Table, dynamodb: Stubber) -> None:
    same = {"ReturnValues": "ALL_OLD", "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
    request = {"TableName": "test-usage", "Item": ITEM, **same}
    values = {"ExpressionAttributeValues": {":events": {"N": "7"}}}
    dynamodb.add_response("put_item", {}, {**request, "ConditionExpression": "attribute_not_exists(events)"})
    dynamodb.add_response(
        "put_item", {"Attributes": OLD}, {**request, "ConditionExpression": NEVER_LOWER, **values}
    )
    assert table.put(ITEM, "attribute_not_exists(events)", unused=1) == Outcome(True, {})
    assert table.put(ITEM, NEVER_LOWER) == Outcome(True, OLD)


def test_a_refused_put_says_what_was_there(table: Table, dynamodb: Stubber) -> None:
    refuse(dynamodb, "put_item", Item=OLD)
    refuse(dynamodb, "put_item")
    assert table.put(ITEM, NEVER_LOWER) == Outcome(False, OLD)
    assert table.put(ITEM, NEVER_LOWER) == Outcome(False, {})


def test_an_item_is_found_by_its_key_or_not(table: Table, dynamodb: Stubber) -> None:
    request = {"TableName": "test-usage", "Key": KEY, "ConsistentRead": True}
    for answer in ({"Item": OLD}, {}):
        dynamodb.add_response("get_item", answer, request)
    assert [table.get(project_id=1, month="2026-03") for _ in range(2)] == [OLD, None]


def test_items_come_page_by_page(table: Table, dynamodb: Stubber) -> None:
    request: dict[str, Any] = {"TableName": "test-usage", "ConsistentRead": True}
    asked = {"KeyConditionExpression": "project_id = :id", "ExpressionAttributeValues": {":id": {"N": "1"}}}
    for operation, more, counted in (
        ("scan", {}, {}),
        ("query", asked, {}),
        ("query", asked, {"Select": "COUNT"}),
    ):
        first = {"Items": [OLD], "Count": 1, "LastEvaluatedKey": KEY}
        dynamodb.add_response(operation, first, {**request, **more, **counted})
        second = {**request, **more, **counted, "ExclusiveStartKey": KEY}
        dynamodb.add_response(operation, {"Items": [ITEM], "Count": 1}, second)
    assert list(table.scan()) == [OLD, ITEM]
    assert list(table.query(**asked)) == [OLD, ITEM]
    assert table.count(**asked) == 2


def test_statements_go_25_in_a_request_and_the_refused_come_back_in_order(table: Table, dynamodb: Stubber) -> None:
    refused = {"Error": {"Code": "ConditionalCheckFailed"}}
    for group in (range(25), range(25, 30)):
        statements = [{"Statement": str(value)} for value in group]
        responses = [refused if value % 10 == 7 else {} for value in group]
        dynamodb.add_response("batch_execute_statement", {"Responses": responses}, {"Statements": statements})
    with ThreadPoolExecutor(1) as pool:
        assert table.refused(pool, range(30), lambda value: {"Statement": str(value)}) == [7, 17, 27]
        assert table.refused(pool, [], lambda _: {}) == []


def test_a_table_is_created_once_and_awaited_while_it_is_made(table: Table, dynamodb: Stubber) -> None:
    named, made = {"TableName": "test-usage"}, {"Table": {"TableStatus": "ACTIVE"}}
    dynamodb.add_response("describe_table", made, named)
    table.create()
    dynamodb.add_client_error("describe_table", "ResourceNotFoundException", expected_params=named)
    request = {
        **named,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [
            {"AttributeName": "project_id", "AttributeType": "N"},
            {"AttributeName": "month", "AttributeType": "S"},
        ],
        "KeySchema": [
            {"AttributeName": "project_id", "KeyType": "HASH"},
            {"AttributeName": "month", "KeyType": "RANGE"},
        ],
    }
    dynamodb.add_response("create_table", {}, request)
    dynamodb.add_response("describe_table", made, named)
    table.create()
    # another starter was faster
    dynamodb.add_client_error("describe_table", "ResourceNotFoundException", expected_params=named)
    dynamodb.add_client_error("create_table", "ResourceInUseException", expected_params=request)
    dynamodb.add_response("describe_table", made, named)
    table.create()


def test_an_error_names_the_tables_that_it_may_be_about(table: Table, dynamodb: Stubber) -> None:
    dynamodb.add_client_error("get_item", "ThrottlingException", "slow\ndown")
    with pytest.raises(StoreError) as refused:
        table.get(project_id=1, month="2026-03")
    assert str(refused.value) == (
        "DynamoDB table test-usage at http://127.0.0.1:9 cannot be used: "
        "An error occurred (ThrottlingException) when calling the GetItem operation: slow down"
    )
    dynamodb.add_client_error("scan", "ResourceNotFoundException")
    other = Table(ADDRESS, "plans", {"id": "S"}, table.client)
    both = r"^DynamoDB table test-plans or test-usage at http"
    with pytest.raises(MissingError, match=both), other.explained(table):
        table.client.scan(TableName=table.name)
