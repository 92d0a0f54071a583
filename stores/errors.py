"""The error that a store raises at a person: what was not reachable or not there, and what to do."""

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
from botocore.exceptions import ConnectionError as NotConnected

from errors import OneLineError
from stores import aws

_CREDENTIALS = "no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give this machine a role"
_START = "start a local stack with `make run`, or name the settings of another with --config"
_LOOK = "look at the network, and at the region and endpoint in the settings"


class StoreError(OneLineError):
    """A stream, table or catalog that cannot be used; the message is one line."""


class MissingError(StoreError):
    """The stream or table is not there."""


class ThrottledError(StoreError):
    """More was asked than the stream or table gives at a time: come again later."""


_BY_CODE = {
    "ResourceNotFoundException": MissingError,
    "ProvisionedThroughputExceededException": ThrottledError,
}


@contextmanager
def explained(what: str, endpoint: str | None) -> Iterator[None]:
    """Turn an AWS SDK error about `what`, which begins with the service, into a StoreError of one line."""
    try:
        yield
    except NotConnected as error:
        # the whole service is away: the table that happened to be asked first is not to blame
        here = aws.emulated(endpoint)
        reason = f"nothing answers at {endpoint}: {_START}" if here else f"{_in_one_line(error)}: {_LOOK}"
        msg = f"{what.partition(' ')[0]} cannot be reached: {reason}"
        raise StoreError(msg) from None
    except (BotoCoreError, ClientError) as error:
        where = f" at {endpoint}" if endpoint else ""
        reason = _CREDENTIALS if isinstance(error, NoCredentialsError) else _in_one_line(error)
        msg = f"{what}{where} cannot be used: {reason}"
        code = error.response["Error"]["Code"] if isinstance(error, ClientError) else ""
        raise _BY_CODE.get(code, StoreError)(msg) from None


def _in_one_line(error: Exception) -> str:
    return " ".join(str(error).split())
