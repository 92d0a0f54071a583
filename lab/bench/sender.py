"""Events a second that the sender gets rid of, and what each costs: `python -m lab.bench sender`, half a minute.

The stand-in of Amplitude runs beside it on the same cores and parses each event, so the rate is that of both. CPU
time is that of this process alone: all of it, and with an answer at once in place of HTTP.
"""

import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from lab.bench.figures import Figure, Say, of
from lab.stack.process import Process, answers, free_port
from stores.amplitude import Response, Uploads
from udfs.export.answers import State
from udfs.export.message import Channel, MessageEvent, Verb
from udfs.export.sender import Due, Limits, Outcome, Sender
from udfs.export.taxonomy import rendered

EVENTS = 100_000
_ROOT = Path(__file__).resolve().parents[2]
_CASES: Mapping[str, tuple[int, int]] = {
    "one project, 4 000 rows a call": (1, 4_000),
    "one project, 1 000 rows a call": (1, 1_000),
    "20 projects, 1 000 rows a call": (20, 1_000),
    "20 projects, 4 000 rows a call": (20, 4_000),
}
"""By name: projects, and rows in a call."""


class _Target:
    """A project that is always well; without uploads each request has its answer at once."""

    state, words = State.OK, ""

    def __init__(self, key: str, uploads: Uploads | None) -> None:
        self.key, self.uploads = key, uploads

    def post(self, events: Sequence[bytes], seconds: float) -> Response:
        return self.uploads.post("us", self.key, events, seconds) if self.uploads else Response(200, b"{}")

    def become(self, state: State, words: str) -> None:
        raise AssertionError(state, words)


def measure(say: Say) -> list[Figure]:
    """Each case against the stand-in, then without HTTP."""
    found = []
    with TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        (folder / "keys").write_text("\n".join(str(one) for one in range(20)), encoding="utf-8")
        command: list[str | Path] = [sys.executable, "-m", "lab.stack.amplitude", str(port), folder]
        process = Process("amplitude", command, folder / "log", os.environ, _ROOT)
        try:
            process.wait_until(partial(answers, f"http://127.0.0.1:{port}/"), seconds=30)
            for case, (projects, rows) in _CASES.items():
                say(f"sender: {case}")
                uploads = Uploads(f"http://127.0.0.1:{port}")
                found += of("sender", _run(case, projects, rows, uploads))
        finally:
            process.kill()
    return found


def _run(case: str, projects: int, rows: int, uploads: Uploads) -> dict[str, float | str]:
    seconds, cpu, right = _sent(case, projects, rows, uploads)
    _, alone, _ = _sent(case, projects, rows, None)
    return {
        f"{case}: events/s": round(EVENTS / seconds),
        f"{case}: µs of CPU an event": 1e6 * cpu / EVENTS,
        f"{case}: of these without HTTP": 1e6 * alone / EVENTS,
        f"{case}: all accepted": "ok" if right else "WRONG",
    }


def _sent(case: str, projects: int, rows: int, uploads: Uploads | None) -> tuple[float, float, bool]:
    """Seconds, seconds of CPU, and whether all were accepted."""
    targets = {one: _Target(str(one), uploads) for one in range(projects)}
    sender = Sender(lambda: targets, Limits(1_000, 10_000_000))
    due = [Due(at % projects, _event(f"{case}-{at}"), 0) for at in range(EVENTS)]
    begin, cpu, right = time.perf_counter(), time.process_time(), True
    for start in range(0, EVENTS, rows):
        found = sender.send(due[start : start + rows])
        right &= all(one.outcome is Outcome.ACCEPTED for one in found)
    return time.perf_counter() - begin, time.process_time() - cpu, right


def _event(name: str) -> bytes:
    """A message event of the usual size, as it is sent."""
    event = MessageEvent(
        version=1,
        event_id=name,
        message_id=f"m-{name}",
        notifly_project="shop",
        kind=Verb.SENT,
        channel=Channel.KAKAO_ALIMTALK,
        time=1_773_000_000_000,
        user_id=f"user-{name}@example.com",
        campaign_id="campaign-1",
        campaign_name="봄 세일 안내",
        template_code="T-1",
        sender_key="s" * 40,
        provider="kakao",
    )
    return json.dumps(rendered(event, {}), ensure_ascii=False).encode()
