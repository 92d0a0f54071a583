"""How many requests an organisation may still make: a token bucket."""

from typing import Final

_BURST: Final = 10
"""The share of a minute's requests that may go at once: a tenth; the others follow evenly."""


class Bucket:
    """Gives away at most so many tokens in any 60 seconds, wherever these begin.

    It is kept as one number, the time at which the bucket is full again (GCRA, ITU-T I.371). A full bucket holds
    a tenth of the tokens, so nine tenths flow in within a minute.
    """

    def __init__(self, per_minute: int) -> None:
        """`per_minute` is ten or more."""
        burst = per_minute // _BURST
        self._interval = 60 / (per_minute - burst)
        self._ahead = (burst - 1) * self._interval
        self._full_at = float("-inf")

    def take(self, now: float, patience: float = 0.0) -> float | None:
        """Seconds until the token that is taken is there; None, and none is taken, if `patience` is less."""
        wait = max(0.0, self._full_at - self._ahead - now)
        if wait > patience:
            return None
        self._full_at = max(self._full_at, now) + self._interval
        return wait

    def pause(self, until: float) -> None:
        """Give away no token before then."""
        self._full_at = max(self._full_at, until + self._ahead)
