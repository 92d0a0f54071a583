"""The vocabulary: every reason has a record that gets it, and a row has a place for each value."""

import gzip
from datetime import datetime
from functools import reduce

from stores.project import Link, Project, linked
from stores.rules import EventFilter, Rules
from tests.builders import (
    ARRIVAL,
    MISSING,
    OTHER_PROJECT,
    PROJECT,
    UNKNOWN_PROJECT,
    cohort,
    encode,
    event,
    user_update,
)
from tests.cases import each
from tests.intake import KEYS, enclosed
from tests.leaves import leaves
from udfs.attribute import Registry
from udfs.model import DECODED, DOCUMENTED_COLUMNS, EVENT_COLUMNS, OUTCOME_COLUMNS, Reason, Row
from udfs.text import MAX_BYTES

MARCH, SECOND = datetime.fromisoformat("2026-03-01"), datetime.fromisoformat("2026-03-02")
REGISTRY: Registry = {
    PROJECT: linked(PROJECT, "acme", MARCH)._replace(rules=Rules(event_filters=(EventFilter("Heartbeat"),))),
    OTHER_PROJECT: Project(OTHER_PROJECT, (Link("globex", MARCH, SECOND),)),
}
TEST = "Amplitude's test of the connection"


class BrokenRegistry(dict[int, Project]):
    """A registry with a bug."""

    def get(self, _project_id: object, _default: object = None) -> Project:
        raise KeyError("no such shelf")  # noqa: EM101


EXAMPLES: dict[Reason, tuple[bytes, str]] = {
    Reason.EMPTY: (b" \r\n", "3 bytes"),
    Reason.TOO_LARGE: (b'"' + b"a" * MAX_BYTES, "10,485,761 bytes"),
    Reason.INVALID_UTF8: (b'{"app":"\xff"}', "invalid start byte at byte 8"),
    Reason.INVALID_JSON: (b'{"app":1', "Expecting ',' delimiter: line 1 column 9 (char 8)"),
    Reason.TOO_DEEP: (b'{"a":' * 100_000, "nested deeper than 64 levels"),
    Reason.NOT_AN_OBJECT: (b"7", "starts with '7'"),
    Reason.DUPLICATE_KEY: (b'{"app":1,"event_type":"a","app":2}', "app stands 2 times"),
    Reason.FOREIGN: (b'{"a":1}', "neither an event, a user update nor a cohort message"),
    Reason.MERGED_IDS: (
        b'{"amplitude_id":1,"merged_amplitude_id":2}',
        "a row of Amplitude's exports of merged users",
    ),
    Reason.WAREHOUSE_ROW: (
        b'{"APP":1,"EVENT_TYPE":"a"}',
        "a row of a warehouse: its columns are named in capitals",
    ),
    Reason.API_REQUEST: (b'{"api_key":"k","events":[]}', "the body of a request to one of Amplitude's APIs"),
    Reason.DELETION: (
        b'{"user_ids":[1],"requester":"r"}',
        "a deletion of users, as Amplitude's User Privacy API has it",
    ),
    Reason.APP_MISSING: (encode(event(app=MISSING)), "no app, or null"),
    Reason.APP_INVALID: (encode(event(app=True)), "app is true, not a project id"),
    Reason.EVENT_TYPE_MISSING: (b'{"app":1}', "no event_type, or null"),
    Reason.EVENT_TYPE_INVALID: (encode(event(event_type=["a"])), 'event_type is ["a"], not a name'),
    Reason.COHORT_INVALID: (encode(cohort(in_cohort="yes")), 'in_cohort is "yes", neither true nor false'),
    Reason.GZIP_INVALID: (b"\x1f\x8b", "the gzip breaks off at byte 2"),
    Reason.ZLIB_INVALID: (
        b"x\x9c\xff\xff\xff",
        "the zlib stream is damaged at byte 2: Error -3 while decompressing data: invalid block type",
    ),
    Reason.ZIP_INVALID: (b"PK\x03\x04", "the zip breaks off, or is damaged, at byte 0 of 4"),
    Reason.KPL_INVALID: (b"\xf3\x89\x9a\xc2", "the checksum of the aggregate is wrong"),
    Reason.COMPRESSION_UNKNOWN: (b"\x28\xb5\x2f\xfd\n{\n{\xff", "zstd"),
    Reason.ENVELOPE_TOO_LARGE: (gzip.compress(bytes(2**20 + 1)), "the gzip holds more than 1,048,576 bytes"),
    Reason.ENVELOPE_TOO_DEEP: (
        reduce(lambda data, _: gzip.compress(data), range(5), b"1"),
        "more than 4 envelopes in each other",
    ),
    Reason.INTAKE_MAC_INVALID: (
        enclosed(PROJECT, encode(event()))[:-1],
        "its MAC by key 630dcd29 is another: it was changed on the way, or made up",
    ),
    Reason.APP_MISMATCH: (
        enclosed(PROJECT, encode(event(app=OTHER_PROJECT))),
        "app is 100011471, the access key is one of project 434735",
    ),
    Reason.SCOPE_MISSING: (
        enclosed(PROJECT, encode(cohort()), scopes=("events",)),
        "a record for cohorts, the access key is for events alone",
    ),
    Reason.INTERNAL_ERROR: (encode(event()), "KeyError('no such shelf')"),
    Reason.UNKNOWN_PROJECT: (encode(event(app=UNKNOWN_PROJECT)), "no project has registered app 203138"),
    Reason.UNATTRIBUTED: (encode(user_update(app=MISSING)), "a user update without app"),
    Reason.UNKNOWN_COHORT: (encode(cohort()), 'no project has registered cohort "gs72ns"'),
    Reason.BEFORE_LINK: (
        encode(event(server_upload_time="2026-02-28 23:59:59.999999")),
        "uploaded 2026-02-28 23:59:59.999999 UTC, app 434735 was linked 2026-03-01 00:00:00 UTC",
    ),
    Reason.UNLINKED: (
        encode(event(app=OTHER_PROJECT)),
        "uploaded 2026-03-15 09:30:29.753000 UTC, app 100011471 was unlinked 2026-03-02 00:00:00 UTC",
    ),
    Reason.TEST_RECORD: (encode(event(event_type="test_event_type", app="some app id")), TEST),
    Reason.OWN_EVENT: (
        encode(event(event_type="[Notifly] push_sent")),
        "an event that Notifly has sent to Amplitude",
    ),
    Reason.APPBOY_EVENT: (encode(event(event_type="[Appboy] x")), "an event that Braze has sent to Amplitude"),
    Reason.FILTERED: (encode(event(event_type="Heartbeat")), "event 'Heartbeat'"),
}


def judged(payload: bytes, registry: Registry) -> Row:
    """The last row of a record, or of what it holds."""
    return leaves(payload, ARRIVAL.replace(tzinfo=None), registry, KEYS)[-1].row


@each("reason", Reason, ids=str)
def test_every_reason_has_a_record_that_gets_it(reason: Reason) -> None:
    payload, detail = EXAMPLES[reason]
    registry = BrokenRegistry() if reason is Reason.INTERNAL_ERROR else REGISTRY
    row = judged(payload, registry)
    assert row[:4] == (reason.kind, reason, detail, None)
    assert len(row) == len(DECODED)


def test_a_row_is_its_outcome_then_the_event() -> None:
    assert list(DECODED) == [*OUTCOME_COLUMNS, *EVENT_COLUMNS]


def test_column_names_differ_even_without_case() -> None:
    assert len({name.lower() for name in DECODED}) == len(OUTCOME_COLUMNS) + len(EVENT_COLUMNS)


def test_columns_have_types_that_the_tables_know() -> None:
    assert set(DECODED.values()) == {str, int, float, bytes, bool, datetime, dict}
    assert set(DOCUMENTED_COLUMNS.values()) == {str, int, float, datetime, dict}
