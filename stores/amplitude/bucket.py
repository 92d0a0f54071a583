"""How many requests an organisation may still make: a token bucket."""

from collections.abc import Callable
from typing import Final, NamedTuple

_BURST: Final = 10
"""The share of a minute's requests that may go at once: a tenth; the others follow evenly."""


class Quotas(NamedTuple):
    """Where the organisations' tokens come from. Both may wait, as for a table, and are called in threads."""

    take: Callable[[str, float], float | None]
    """Of an organisation, with its patience in seconds: seconds until the token that is taken is there; None, and
    none is taken, if that is longer."""
    pause: Callable[[str, float], None]
    """Gives away no token of an organisation for so many seconds."""


class Rate:
    """The rule: at most so many tokens in any 60 seconds, wherever these begin.

    A bucket is one number, the time at which it is full again (GCRA, ITU-T I.371). A full bucket holds a tenth of
    the tokens, so nine tenths flow in within a minute.
    """

    def __init__(self, per_minute: int) -> None:
        """`per_minute` is ten or more."""
        burst = per_minute // _BURST
        self._interval = 60 / (per_minute - burst)
        self._ahead = (burst - 1) * self._interval

    def wait(self, full_at: float, now: float) -> float:
        """Seconds until a token is there."""
        return max(0.0, full_at - self._ahead - now)

    def taken(self, full_at: float, now: float) -> float:
        """When the bucket is full once a token was taken."""
        return max(full_at, now) + self._interval

    def paused(self, full_at: float, until: float) -> float:
        """When the bucket is full if no token is given away before then."""
        return max(full_at, until + self._ahead)


class Buckets:
    """The buckets of a process that asks alone. An organisation's is for one thread at a time."""

    def __init__(self, per_minute: int, clock: Callable[[], float]) -> None:
        self._rate, self._clock, self._full_at = Rate(per_minute), clock, dict[str, float]()

    def take(self, organisation: str, patience: float) -> float | None:
        """As `Quotas` says."""
        now, full_at = self._clock(), self._full_at.get(organisation, float("-inf"))
        wait = self._rate.wait(full_at, now)
        if wait > patience:
            return None
        self._full_at[organisation] = self._rate.taken(full_at, now)
        return wait

    def pause(self, organisation: str, seconds: float) -> None:
        """As `Quotas` says."""
        full_at = self._full_at.get(organisation, float("-inf"))
        self._full_at[organisation] = self._rate.paused(full_at, self._clock() + seconds)
