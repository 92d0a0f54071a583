"""What is read of a body, however it comes."""

import asyncio

import pytest
from starlette.requests import Request

from ops.intake.errors import IntakeError
from ops.intake.limits import body_of
from tests.cases import each


def read(*chunks: bytes, most: int = 10) -> bytes:
    """The body of a request that comes in these chunks."""
    left = list(chunks)

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    return asyncio.run(body_of(Request({"type": "http", "headers": []}, receive), most))


@each("chunks", [(b"",), (b"abc",), (b"abc", b""), (b"", b"abc", b"defg"), (b"0123456789",)])
def test_a_body_is_its_chunks(chunks: tuple[bytes, ...]) -> None:
    assert read(*chunks) == b"".join(chunks)


def test_a_body_in_one_piece_is_not_copied() -> None:
    whole = b"abcdefg"
    assert read(whole, b"") is whole


@each("chunks", [(b"01234567890",), (b"0123456789", b"0", b"0"), (b"01234", b"56789", b"0")])
def test_a_body_that_is_too_long_is_refused(chunks: tuple[bytes, ...]) -> None:
    with pytest.raises(IntakeError) as refused:
        read(*chunks)
    assert (refused.value.status, refused.value.code) == (413, "body_too_large")
