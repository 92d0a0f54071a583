"""Whatever comes to the cohort sync: an error in a sentence, or messages with each user, which the job takes."""

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ops.intake.cohorts import CohortList, access_key, change, create
from ops.intake.errors import IntakeError
from stores.project import linked
from tests.builders import PROJECT
from udfs import cohorts
from udfs.decode import decode
from udfs.intake import Header
from udfs.model import Kind

NOW = datetime.fromisoformat("2026-03-15 09:30:00.000123")
HEADER = Header(PROJECT, NOW, "request-1", "cohorts")
MADE = CohortList("gs72ns", 1773567000000123)
REGISTRY = {PROJECT: linked(PROJECT, "acme")}

scalars = (
    st.text(max_size=8)
    | st.just("\ud83d")
    | st.integers()
    | st.floats(allow_nan=False)
    | st.none()
    | st.booleans()
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
)
users = st.lists(
    values | st.fixed_dictionaries({"user_id": scalars}, optional={"user_properties": values}), max_size=6
)
calls = st.fixed_dictionaries(
    {},
    optional={
        "users": users | values,
        "userIds": users,
        "cohort_id": st.from_regex(r"[\w-]{1,9}", fullmatch=True) | values,
        "cohort_name": scalars,
        "project_id": st.sampled_from((PROJECT, str(PROJECT), "7", None)) | values,
        "access_key": scalars,
        "secret_key": scalars,
    },
)
bodies = calls.map(lambda call: json.dumps(call).encode()) | st.binary(max_size=40)


def entries(message: bytes) -> list[cohorts.Entry]:
    """The users of a message, which the job takes."""
    row = decode(message, NOW, REGISTRY, part=True, key_project=PROJECT)
    assert (row[0], row[1]) == (Kind.COHORT, None), row
    return [entry for _, entry in cohorts.entries(message, NOW)]


def outcome(call: Callable[[], list[bytes]]) -> list[bytes] | IntakeError:
    try:
        return call()
    except IntakeError as error:
        return error


@given(bodies, st.booleans(), st.sampled_from((str(MADE), "gs72ns", "")))
def test_any_call_is_answered(body: bytes, in_cohort: bool, list_id: str) -> None:
    for call in (lambda: [create(body, HEADER)[1]], lambda: change(list_id, body, HEADER, in_cohort)):
        found = outcome(call)
        if isinstance(found, IntakeError):
            assert (found.status in {400, 403, 404, 413}, str(found)[-1]) == (True, ".")
        else:
            assert all(entries(message) or not in_cohort for message in found)
    assert isinstance(access_key("", body), str)


@given(users)
def test_each_user_is_in_a_message(given_users: list[Any]) -> None:
    messages = change(str(MADE), json.dumps({"users": given_users}).encode(), HEADER, True)
    assert sum(len(entries(message)) for message in messages) == len(given_users)
