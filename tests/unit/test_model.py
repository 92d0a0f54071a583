"""The vocabulary: every reason has a record that gets it, and a row has a place for each value."""

from datetime import datetime

import pytest

from stores.projects import Project
from tests.builders import ARRIVAL, MISSING, PROJECT, UNKNOWN_PROJECT, encode, event
from udfs.attribute import Registry
from udfs.decode import decode
from udfs.model import DECODED, EVENT_COLUMNS, EXPORT_COLUMNS, OUTCOME_COLUMNS, Kind, Reason

REGISTRY: Registry = {PROJECT: Project(PROJECT, "acme")}


class BrokenRegistry(dict[int, Project]):
    """A registry with a bug."""

    def get(self, _project_id: object, _default: object = None) -> Project:
        raise KeyError("no such shelf")  # noqa: EM101


EXAMPLES: dict[Reason, tuple[bytes, str]] = {
    Reason.EMPTY: (b" \r\n", "3 bytes"),
    Reason.INVALID_UTF8: (b'{"app":"\xff"}', "invalid start byte at byte 8"),
    Reason.INVALID_JSON: (b'{"app":1', "Expecting ',' delimiter: line 1 column 9 (char 8)"),
    Reason.TOO_DEEP: (b"[" * 100_000, "nested deeper than the parser goes"),
    Reason.NOT_AN_OBJECT: (b"[{}]", "starts with '[{}]'"),
    Reason.DUPLICATE_KEY: (b'{"app":1,"event_type":"a","app":2}', "app stands 2 times"),
    Reason.APP_MISSING: (encode(event(app=MISSING)), "no app, or null"),
    Reason.APP_INVALID: (encode(event(app=True)), "app is true, not a project id"),
    Reason.EVENT_TYPE_MISSING: (encode(event(event_type=None)), "no event_type, or null"),
    Reason.EVENT_TYPE_INVALID: (encode(event(event_type=["a"])), 'event_type is ["a"], not a name'),
    Reason.UNSUPPORTED_KIND: (encode(event(event_type="$identify")), "$identify is a user update"),
    Reason.UNKNOWN_PROJECT: (encode(event(app=UNKNOWN_PROJECT)), "no project has registered app 203138"),
    Reason.INTERNAL_ERROR: (encode(event()), "KeyError('no such shelf')"),
}


@pytest.mark.parametrize("reason", Reason, ids=str)
def test_every_reason_has_a_record_that_gets_it(reason: Reason) -> None:
    payload, detail = EXAMPLES[reason]
    registry = BrokenRegistry() if reason is Reason.INTERNAL_ERROR else REGISTRY
    row = decode(payload, ARRIVAL.replace(tzinfo=None), registry)
    kind = Kind.QUARANTINED if reason is Reason.UNKNOWN_PROJECT else Kind.REJECTED
    assert row[:4] == (kind, reason, detail, None)
    assert len(row) == len(DECODED)


def test_a_row_is_its_outcome_then_the_event() -> None:
    assert list(DECODED) == [*OUTCOME_COLUMNS, *EVENT_COLUMNS]


def test_column_names_differ_even_without_case() -> None:
    assert len({name.lower() for name in DECODED}) == len(OUTCOME_COLUMNS) + len(EVENT_COLUMNS)


def test_columns_have_types_that_the_tables_know() -> None:
    assert set(DECODED.values()) == {str, int, float, bytes, datetime, dict}
    assert set(EXPORT_COLUMNS.values()) == {str, int, float, datetime, dict}
