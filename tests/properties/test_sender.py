"""Whatever Amplitude answers or does not: each row has one answer, and in the end each event is there once."""

import json
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from lab.stack.amplitude.folder import Asked, Folder
from lab.stack.amplitude.uploads import Uploads
from udfs.export.answers import State
from udfs.export.sender import Answer, Due, Limits, Outcome, Sender

FATES = ("fine", "no time", "no user", "blocked", "eager", "dropped")
BEFORE = {"lost": None, "500": 500, "429": 429}
"""By fault that keeps a request from being taken: the status."""
BEHIND = {"taken, answer lost": None, "500, taken": 500}
"""By fault after which it is taken all the same."""
FAULTS = (*("",) * 3, *BEFORE, *BEHIND, "bug", "wrong key")
PROJECTS = (1, 2, 3)


class Project:
    """A target with the stand-in's rules behind a way that loses requests and answers."""

    words = ""

    def __init__(self, amplitude: Uploads, key: str, faults: Iterator[str]) -> None:
        self.amplitude, self.key, self.faults, self.state = amplitude, key, faults, State.OK
        self.lock = threading.Lock()

    def post(self, events: Sequence[bytes], _: float) -> tuple[int | None, bytes]:
        fault = next(self.faults, "")
        if fault == "bug":
            raise ValueError(fault)
        if fault in BEFORE:
            return BEFORE[fault], b"{}"
        key = "of nobody" if fault == "wrong key" else self.key
        body = {"api_key": key, "options": {"min_id_length": 1}, "events": [*map(json.loads, events)]}
        with self.lock:
            reply = self.amplitude.upload(Asked("/batch", {}, "", json.dumps(body).encode()))
        return (BEHIND[fault], b"") if fault in BEHIND else (reply.status, reply.content)

    def become(self, state: State, words: str) -> None:
        self.state = state


def event(name: str, fate: str) -> bytes:
    made: dict[str, Any] = {"event_type": "e", "insert_id": name, "user_id": name, "time": 1}
    changes: dict[str, dict[str, Any]] = {
        "no time": {"time": "now"},
        "no user": {"user_id": None},
        "blocked": {"event_properties": {"campaign_name": "<script>"}},
        "eager": {"user_id": "eager"},
        "dropped": {"user_id": "dropped"},
    }
    return json.dumps(made | changes.get(fate, {})).encode()


@given(
    st.lists(st.tuples(st.sampled_from(PROJECTS), st.sampled_from(FATES)), max_size=40),
    st.lists(st.sampled_from(FAULTS), max_size=12),
)
def test_each_row_has_one_answer_and_each_event_ends_once(drawn: list[tuple[int, str]], faults: list[str]) -> None:
    with TemporaryDirectory() as name:
        folder, left = Path(name), iter(faults)
        (folder / "keys").write_text("\n".join(f"key{one}" for one in PROJECTS))
        (folder / "throttled").write_text("eager")
        (folder / "dropped").write_text("dropped")
        amplitude = Uploads(Folder(folder))
        targets = {one: Project(amplitude, f"key{one}", left) for one in PROJECTS}
        due = {at: Due(project_id, event(f"e{at}", fate), 0) for at, (project_id, fate) in enumerate(drawn)}
        ends: dict[int, Answer] = {}
        for attempt in range(30):
            for target in targets.values():
                target.state = State.OK  # mended
            sender = Sender(lambda: targets, Limits(7, 10_000))  # half a minute later
            answers = sender.send(list(due.values()))
            assert len(answers) == len(due)
            known = dict(zip(due, answers, strict=True))
            taken = Counter(one["insert_id"] for one in lines(folder))
            assert set(taken.values()) <= {1}
            assert {f"e{at}" for at, one in known.items() if one.outcome == Outcome.ACCEPTED} <= taken.keys()
            assert not {f"e{at}" for at, one in known.items() if one.outcome == Outcome.REFUSED} & taken.keys()
            ends |= {at: one for at, one in known.items() if one.outcome != Outcome.WAITING}
            due = {at: row._replace(attempt=attempt + 1) for at, row in due.items() if at not in ends}
            (folder / "throttled").unlink(missing_ok=True)
            if not due:
                break
        bad = {at for at, (_, fate) in enumerate(drawn) if fate not in {"fine", "eager"}}
        assert {at for at, one in ends.items() if one.outcome == Outcome.REFUSED} == bad
        assert {at for at, one in ends.items() if one.outcome == Outcome.ACCEPTED} == set(range(len(drawn))) - bad


def lines(folder: Path) -> list[dict[str, Any]]:
    path = folder / "taken.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
