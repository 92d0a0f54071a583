"""A host that hangs, in the time of real clocks: what it costs, and when it is asked again."""

import threading
import time
from collections.abc import Sequence

import pytest

from lab.stack.patience import wait_until
from tests.unit.udfs.export.test_sender import OTHER, SHOP, Clock, Project, outcomes, rows
from udfs.export import sender
from udfs.export.sender import Sender


class Hanging(Project):
    """A target that answers when it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.let_go = threading.Event()

    def post(self, events: Sequence[bytes], seconds: float) -> tuple[int | None, bytes]:
        answer = super().post(events, seconds)
        return answer if self.let_go.wait(seconds) else (None, b"")


def test_a_host_that_hangs_costs_one_deadline_until_one_event_has_had_an_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock()
    monkeypatch.setattr(sender.time, "monotonic", clock)
    monkeypatch.setattr(sender.random, "uniform", lambda *_: 1.0)
    shop, other = Hanging(), Project()
    sending = Sender(lambda: {SHOP: shop, OTHER: other}, deadline=0.5)
    assert outcomes(sending.send(rows(2) + rows(1, OTHER))) == ["waiting failed"] * 2 + ["accepted"]
    assert sending.closed == 1
    for seconds in (0, 31):  # the second time one event goes beside the others
        clock.more += seconds
        begin = time.perf_counter()
        assert outcomes(sending.send(rows(2) + rows(1, OTHER))) == ["waiting failed"] * 2 + ["accepted"]
        assert time.perf_counter() - begin < 0.45  # less than the deadline
    wait_until(lambda: len(shop.posted) == 2, 10)
    assert list(map(len, shop.posted)) == [2, 1]
    shop.let_go.set()
    wait_until(lambda: sending.closed == 0, 10)
    assert outcomes(sending.send(rows(2))) == ["accepted"] * 2
