"""The one error a store raises at a person: what was not reachable or not there, and what to do."""

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

_CREDENTIALS = "no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give this machine a role"


class StoreError(Exception):
    """A stream, table or catalog that cannot be used; the message is one line."""


@contextmanager
def explained(what: str, endpoint: str | None) -> Iterator[None]:
    """Turn an AWS SDK error about `what` into a StoreError of one line."""
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        where = f" at {endpoint}" if endpoint else ""
        reason = _CREDENTIALS if isinstance(error, NoCredentialsError) else " ".join(str(error).split())
        msg = f"{what}{where} cannot be used: {reason}"
        raise StoreError(msg) from None
