"""The one error a store raises at a person: what was not reachable or not there, and what to do."""

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
from botocore.exceptions import ConnectionError as NotConnected

from errors import OneLineError
from stores import aws

_CREDENTIALS = "no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give this machine a role"
_MISSING = "ResourceNotFoundException"
_NOBODY = "nothing answers there: start a local stack with `make run`, or name another with --config"


class StoreError(OneLineError):
    """A stream, table or catalog that cannot be used; the message is one line."""


class MissingError(StoreError):
    """The stream or table is not there."""


@contextmanager
def explained(what: str, endpoint: str | None) -> Iterator[None]:
    """Turn an AWS SDK error about `what` into a StoreError of one line."""
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        where = f" at {endpoint}" if endpoint else ""
        reason = " ".join(str(error).split())
        if isinstance(error, NoCredentialsError):
            reason = _CREDENTIALS
        elif isinstance(error, NotConnected) and aws.emulated(endpoint):
            reason = _NOBODY
        msg = f"{what}{where} cannot be used: {reason}"
        missing = isinstance(error, ClientError) and error.response["Error"]["Code"] == _MISSING
        raise (MissingError if missing else StoreError)(msg) from None
