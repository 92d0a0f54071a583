"""How often somebody may do something, kept in the process."""

import math
import time


class Bucket:
    """The tokens of one key in one process: a request takes one, and a minute brings back as many as it holds."""

    def __init__(self, per_minute: int) -> None:
        self._most = self._tokens = float(per_minute)
        self._at = time.monotonic()

    def take(self) -> bool:
        """Whether there was a token."""
        now = time.monotonic()
        self._tokens = min(self._most, self._tokens + (now - self._at) * self._most / 60)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    @property
    def wait(self) -> int:
        """Seconds until there is one, at least 1."""
        return max(1, math.ceil((1 - self._tokens) * 60 / self._most))

    def headers(self) -> dict[str, str]:
        """What a sender is told: its limit a minute, what is left, and when all of it is there again."""
        full = time.time() + (self._most - self._tokens) * 60 / self._most
        return {
            "x-ratelimit-limit": f"{self._most:.0f}",
            "x-ratelimit-remaining": str(int(self._tokens)),
            "x-ratelimit-reset": f"{full:.0f}",
        }
