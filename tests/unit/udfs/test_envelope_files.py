"""Envelopes as they were met, in tests/fixtures/envelopes: which events come out of each."""

from base64 import b64decode
from pathlib import Path

from stores.project import linked
from tests.builders import ARRIVAL, PROJECT
from tests.cases import each
from tests.leaves import leaves

FILES = Path(__file__).parents[2] / "fixtures" / "envelopes"
UUID = "11111111-2222-4333-8444-{:012}"
EVENTS = {
    "c4_lines_comma.json": 4,
    "c5_two_lines_of_two.json": 4,
    "c6_gz_newline_gz.base64": 3,
    "c6_zlib.base64": 1,
}


@each(("name", "events"), EVENTS.items(), ids=EVENTS)
def test_every_event_of_the_file_is_taken(name: str, events: int) -> None:
    spelled = (FILES / name).read_bytes()
    payload = b64decode(spelled) if name.endswith("base64") else spelled
    found = leaves(payload, ARRIVAL.replace(tzinfo=None), {PROJECT: linked(PROJECT, "acme")})
    assert [(leaf.kind, leaf.columns["uuid"]) for leaf in found] == [
        ("event", UUID.format(number)) for number in range(events)
    ]
