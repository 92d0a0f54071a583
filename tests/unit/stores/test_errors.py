"""What an error of the AWS SDK becomes: one line that names what is away, and what to do."""

import pytest
from botocore.exceptions import BotoCoreError, ClientError, ConnectTimeoutError, EndpointConnectionError, SSLError

from stores.errors import StoreError, explained
from tests.cases import each

NOBODY = "http://127.0.0.1:9"
AWS = "https://dynamodb.ap-northeast-2.amazonaws.com/"
START = "start a local stack with `make run`, or name the settings of another with --config"
LOOK = "look at the network, and at the region and endpoint in the settings"


def said(error: BotoCoreError | ClientError, endpoint: str | None) -> str:
    with pytest.raises(StoreError) as raised, explained("DynamoDB table replays", endpoint):
        raise error
    return str(raised.value)


@each(
    ("error", "endpoint", "line"),
    [
        (
            EndpointConnectionError(endpoint_url=NOBODY),
            NOBODY,
            f"DynamoDB cannot be reached: nothing answers at {NOBODY}: {START}",
        ),
        (
            ConnectTimeoutError(endpoint_url=AWS),
            None,
            f'DynamoDB cannot be reached: Connect timeout on endpoint URL: "{AWS}": {LOOK}',
        ),
        (
            SSLError(endpoint_url=AWS, error="\n wrong host"),
            None,
            f"DynamoDB cannot be reached: SSL validation failed for {AWS} wrong host: {LOOK}",
        ),
        (
            ClientError({"Error": {"Code": "Odd", "Message": "no"}}, "Scan"),
            NOBODY,
            f"DynamoDB table replays at {NOBODY} cannot be used: An error occurred (Odd) when calling the Scan "
            "operation: no",
        ),
    ],
    ids=["local", "far", "certificate", "one table"],
)
def test_a_service_that_is_away_is_named_and_not_the_table(
    error: BotoCoreError | ClientError, endpoint: str | None, line: str
) -> None:
    assert said(error, endpoint) == line
