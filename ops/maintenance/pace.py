"""How fast records are put on a stream."""

import time
from collections.abc import Iterable, Iterator


def paced(counts: Iterable[int], rate: int) -> Iterator[int]:
    """The same counts, each given so late that at most `rate` a second have been counted by then."""
    begin, done = time.monotonic(), 0
    for count in counts:
        done += count
        yield count
        time.sleep(max(0.0, begin + done / rate - time.monotonic()))
