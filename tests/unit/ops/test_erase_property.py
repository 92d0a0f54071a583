"""What stands at a path is dropped from rows, messages, letters and profiles; all else stays as it is spelled."""

from typing import Any

import pyarrow as pa

from ops.maintenance.erasable import Hit
from ops.maintenance.erase_property import Property, reduced
from stores.lake import COHORT_CHANGES, COHORT_MESSAGES, DEAD_LETTERS, EVENT_STORE
from stores.profiles import StoredProfile
from tests.builders import ARRIVAL, OTHER_PROJECT, PROJECT, cohort, encode
from tests.unit.ops.test_erasable import BEFORE
from udfs.profile import Clock, Profile, Update

EMAIL = Property(PROJECT, ARRIVAL, "user_properties.email")
SUBJECT = "property user_properties.email"


def hits(table: str, *rows: dict[str, Any]) -> list[Hit]:
    (part,) = (part for part in EMAIL.parts() if part.table == table)
    given = [{"project_id": PROJECT, "arrival": BEFORE, **dict.fromkeys(part.columns), **row} for row in rows]
    return part.hits(pa.Table.from_pylist(given))


def test_a_column_loses_the_property_within_operators_too_and_says_so() -> None:
    found = hits(
        EVENT_STORE,
        {"user_properties": '{"email":"a@b","n":1.50}'},
        {"user_properties": '{"$set":{"email":"a@b"},"n":1}', "repairs": "bom_removed"},
        {"user_properties": '{"mail":"a@b"}'},
        {"user_properties": '{"email":"a@b"}', "project_id": OTHER_PROJECT},
        {"user_properties": '{"email":"a@b"}', "arrival": ARRIVAL},
    )
    repair = "field_rule:user_properties.email"
    assert found == [
        Hit(0, SUBJECT, {"user_properties": '{"n":1.50}', "repairs": repair}),
        Hit(1, SUBJECT, {"user_properties": '{"$set":{},"n":1}', "repairs": f"bom_removed {repair}"}),
    ]
    assert hits(COHORT_CHANGES, {"user_properties": '{"email":1}'}) == [Hit(0, SUBJECT, {"user_properties": "{}"})]


def test_messages_and_letters_keep_their_other_bytes() -> None:
    users = [{"user_id": "a", "user_properties": {"email": "a@b", "n": 1.50}}, {"user_id": "b"}]
    (hit,) = hits(COHORT_MESSAGES, {"payload": encode(cohort(users=users))}, {"payload": encode(cohort(users=[]))})
    kept = [{"user_id": "a", "user_properties": {"n": 1.50}}, {"user_id": "b"}]
    assert hit == Hit(0, SUBJECT, {"payload": encode(cohort(users=kept))})
    letters = [b'{"user_properties":{"email":1,"n":1e2}}', b'{"email":1}', b'{"user_properties":{"email', None]
    left = b'{"user_properties":{"n":1e2}}'
    assert hits(DEAD_LETTERS, *({"payload": one} for one in letters)) == [
        Hit(0, SUBJECT, {"payload": left, "payload_length": len(left)})
    ]


def test_a_path_outside_of_users_touches_no_cohort() -> None:
    tables = [part.table for part in EMAIL._replace(path="event_properties.card").parts()]
    assert set(tables).isdisjoint({COHORT_CHANGES, COHORT_MESSAGES})
    assert EMAIL._replace(path="event_properties.card").of_profile is None


def update(clock: int, properties: str) -> Update:
    return Update(Clock(clock, 0, 0, clock, 0), str(clock).encode(), "s", properties)


def test_a_profile_loses_it_for_good() -> None:
    known = Profile()
    late = update(2, '{"$append":{"email":"c@d"}}')
    for one in (update(1, '{"email":["a@b"],"plan":"pro"}'), late):
        known.apply(one)
    properties, merge = known.dump()
    assert properties == '{"email":["a@b","c@d"],"plan":"pro"}'
    assert EMAIL.of_profile is not None
    less = reduced(StoredProfile(PROJECT, "a", 3, properties, merge), EMAIL.of_profile)
    assert less is not None
    assert less.properties == '{"plan":"pro"}'
    assert "a@b" not in less.merge + less.properties
    assert "c@d" not in less.merge + less.properties
    assert reduced(less, EMAIL.of_profile) is None

    again = Profile.load(less.properties, less.merge)
    again.apply(update(1, '{"email":["a@b"],"plan":"pro"}'))
    assert again.dump()[0] == '{"plan":"pro"}'
    again.apply(update(3, '{"email":"new"}'))
    assert again.dump()[0] == '{"email":"new","plan":"pro"}'
