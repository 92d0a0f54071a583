"""A body as a msgspec type, with the mercy that the job's own rules have for JSON."""

from typing import TypeVar

import msgspec

from udfs import text
from udfs.model import Rejection

_Kind = TypeVar("_Kind")


class BodyError(ValueError):
    """A body is not what it should be; the words say what, or where it is damaged."""


def decoded(body: bytes, kind: type[_Kind]) -> _Kind:
    """What the body says. Half an emoji and NaN are mended. Raises BodyError."""
    try:
        body.decode()  # msgspec passes over the text of what it keeps as bytes
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise BodyError(str(error)) from None
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        found = text.fields(body)
    if isinstance(found, Rejection):
        raise BodyError(found.detail)
    return decoded(msgspec.json.encode(dict(found.pairs)), kind)
