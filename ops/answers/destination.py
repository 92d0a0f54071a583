"""Whether Amplitude takes what is sent to a project: the answer to one event."""

from datetime import datetime
from typing import Final, NamedTuple
from uuid import uuid4

import msgspec

from udfs.export.answers import State
from udfs.export.deliver import Post, deliver
from udfs.model import EXPORT_PREFIX

TEST_EVENT: Final = f"{EXPORT_PREFIX}Connection Test"
TEST_USER: Final = "notifly-connection-test"


class Tested(NamedTuple):
    """What came of a test."""

    accepted: bool
    state: State
    """what the destination's state is to be; a test resumes nothing that a command has paused"""
    words: str
    """what Amplitude said; empty when it took the event"""
    fix: str
    """what to do; empty when there is nothing to do"""


_NO_ANSWER: Final = "Amplitude may be down (status.amplitude.com), or this machine has no way to it: try again"
_FIXES: Final = {
    State.AUTH_ERROR: "copy the API key from the project's settings at Amplitude, and look at its region; then "
    "`destinations set` it anew",
    State.BLOCKED: "Amplitude's firewall, or a proxy on the way, blocks this machine: ask who runs the proxy, or "
    "Amplitude",
    State.THROTTLED: "the project sends more than its plan allows: wait, or ask Amplitude for more",
}


def tested(post: Post, now: datetime) -> Tested:
    """Send one event, marked as a test, and judge the answer."""
    event = {
        "event_type": TEST_EVENT,
        "insert_id": f"connection-test-{uuid4()}",
        "time": int(now.timestamp() * 1000),
        "user_id": TEST_USER,
        "library": "notifly",
        "event_properties": {},
    }
    found = deliver([msgspec.json.encode(event)], post, lambda: False)
    if found.accepted:
        return Tested(True, State.OK, "", "")
    fix = _FIXES.get(found.state, "" if found.refused else _NO_ANSWER)
    why = found.refused.get(0) or found.later[0]
    return Tested(False, found.state, why.words, fix or "report this: the test event itself was refused")
