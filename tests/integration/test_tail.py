"""The live tail on the emulator of Kinesis, and what of it the tables show: for all who look by one reader."""

import threading

from lab.stack.patience import Deadline, wait_until
from ops.answers.judged import Became, Judged, became
from ops.console.tail import Tail
from stores.project import linked
from stores.projects import Projects
from tests.builders import PROJECT, UNKNOWN_PROJECT, encode, event
from tests.integration.bridge import Bridge

SHOP = linked(PROJECT, "shop")
PLAY, PAUSE, OTHER = (encode(event(uuid=None, **{"$insert_id": one})) for one in ("1", "2", "3"))


def seen(tail: Tail, project_id: int | None, n: int) -> list[Judged]:
    """What the tail has of a project, once that are so many."""
    deadline = Deadline(30)
    while len(found := tail.look(project_id).records) < n:
        assert not deadline.over, tail.look(project_id)
        deadline.pause(0.2)
    return found


def test_records_are_told_of_as_they_come_and_then_as_they_are_stored(bridge: Bridge) -> None:
    Projects(bridge.settings.tables_address).add(SHOP)
    bridge.put(PLAY, b"{}", encode(event(app=UNKNOWN_PROJECT)))
    bridge.judge(SHOP)
    others = {*threading.enumerate()}
    tail = Tail(bridge.settings)
    assert [one.kind for one in seen(tail, PROJECT, 1)] == ["event"]
    assert {one.reason for one in seen(tail, None, 2)} == {"foreign", "unknown_project"}
    for payload in (PLAY, PAUSE):
        bridge.stream.put_one("0", payload)
    bridge.judge(SHOP)
    bridge.stream.put_one("0", OTHER)
    found = seen(tail, PROJECT, 4)
    assert became(bridge.lake, PROJECT, found[::-1]) == [
        *(Became.STORED, Became.COPY, Became.STORED, Became.ON_ITS_WAY)
    ]
    assert became(bridge.lake, PROJECT, seen(tail, None, 2)) == [Became.NOT_TAKEN] * 2
    lookers = [threading.Thread(target=tail.look, args=(PROJECT,)) for _ in range(50)]
    for one in lookers:
        one.start()
    for one in lookers:
        one.join()
    assert sum(one.name == "live-tail" for one in {*threading.enumerate()} - others) == 1
    tail.close()
    wait_until(lambda: not any(one.name == "live-tail" for one in {*threading.enumerate()} - others), 30)
