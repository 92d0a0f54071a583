"""Requests over some connections that stay open, as fast as they are answered or at a rate."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from itertools import cycle
from statistics import quantiles
from typing import NamedTuple

import uvloop


class Load(NamedTuple):
    """What came of it."""

    requests: int
    refused: int
    """answered by something else than 200"""
    seconds: float
    p50: float
    """seconds that an answer took"""
    p99: float

    @property
    def per_second(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds


def load(
    port: int, requests: Sequence[bytes], connections: int, seconds: float, rate: float | None = None
) -> Load:
    """Send the requests in turn, each a whole one of HTTP/1.1, for so long; at most so many a second in all."""
    return uvloop.run(_load(port, cycle(requests), connections, seconds, rate))


async def _load(
    port: int, requests: Iterator[bytes], connections: int, seconds: float, rate: float | None
) -> Load:
    took: list[float] = []
    refused = [0]
    begin = time.monotonic()

    async def one(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        due = begin + (number / rate if rate else 0)
        while (now := time.monotonic()) < begin + seconds:
            if rate:
                await asyncio.sleep(max(0.0, due - now))
                due += connections / rate
            sent = time.monotonic()
            writer.write(next(requests))
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]))
            took.append(time.monotonic() - sent)
            refused[0] += not head.startswith(b"HTTP/1.1 200")
        writer.close()

    await asyncio.gather(*map(one, range(connections)))
    cuts = quantiles(took, n=100)
    return Load(len(took), refused[0], time.monotonic() - begin, cuts[49], cuts[98])
