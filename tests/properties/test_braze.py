"""Whatever comes to Braze's endpoints: no exception, and each object becomes a record or is named in `errors`."""

import json
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from ops.intake import braze
from ops.intake.braze import Sender, api_key, track
from stores.project import linked
from tests.builders import ARRIVAL, PROJECT
from udfs.decode import decode
from udfs.model import Kind

SENDER = Sender(PROJECT, {"shop-app"}, "request-1")
REGISTRY = {PROJECT: linked(PROJECT, "acme")}
KINDS = {"attributes": Kind.USER_UPDATE, "events": Kind.EVENT, "purchases": Kind.EVENT}

words = st.sampled_from(
    (
        "ann-17",
        "",
        "null",
        "밤 편지",
        "\ud83d",
        "\0",
        "$set",
        "[Appboy] a",
        "2026-03-15T09:30:00Z",
        "9999-12-31T23:59:59-12:00",
    )
) | st.text(max_size=5)
scalars = words | st.integers() | st.floats() | st.none() | st.booleans()
names = st.sampled_from(("inc", "add", "remove", "$add", "$update", "$time", "a", "")) | st.text(max_size=3)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3), max_leaves=8
)
users = st.fixed_dictionaries(
    {},
    optional={
        "external_id": words | values,
        "user_alias": st.fixed_dictionaries({"alias_name": words}, optional={"alias_label": words}) | values,
        "braze_id": words,
        "email": words | values,
        "phone": words,
        "app_id": st.sampled_from(("shop-app", "other", None)),
        "_update_existing_only": scalars,
        "_merge_objects": st.booleans() | scalars,
        "push_token_import": st.sampled_from((False, True, None)),
        "insert_id": words,
    },
)
times = st.datetimes().map(str) | words
properties = st.dictionaries(names, values, max_size=3)
objects = {
    "attributes": st.builds(dict.__or__, properties, users),
    "events": st.builds(
        dict.__or__,
        users,
        st.fixed_dictionaries({}, optional={"name": words, "time": times, "properties": properties | values}),
    ),
    "purchases": st.builds(
        dict.__or__,
        users,
        st.fixed_dictionaries(
            {"currency": st.sampled_from(("USD", "krw", "x", 1)), "time": times},
            optional={"product_id": words, "price": scalars, "quantity": st.integers(-1, 101) | scalars},
        ),
    ),
}
requests = st.fixed_dictionaries(
    {}, optional={array: st.lists(one | values, max_size=4) | words | users for array, one in objects.items()}
)
limits = st.sampled_from((braze.TRACK, braze.BULK, braze.SYNC))


def written(request: dict[str, Any]) -> bytes:
    return json.dumps(request).encode()


@given(requests, limits)
def test_each_object_is_put_or_named(request: dict[str, Any], limit: braze.Limits) -> None:
    outcome = track(written(request), SENDER, limit)
    errors = outcome.answer.get("errors", [])
    if outcome.answer["message"].startswith(("Bad Request", "Max Input")):
        assert (outcome.status, outcome.records, errors) == (400, (), [])
        return
    given_objects = {
        name: found if isinstance(found, list) else [found] for name, found in request.items() if found is not None
    }
    named = {(error["input_array"], error["index"]) for error in errors}
    assert len(named) == len(errors)
    assert all(index < len(given_objects[array]) for array, index in named)
    assert len(outcome.records) + len(named) == sum(map(len, given_objects.values()))
    assert (outcome.status == 201) == bool(outcome.records)
    assert "" not in {error["type"] for error in errors}


@given(requests)
def test_the_job_takes_what_is_put(request: dict[str, Any]) -> None:
    outcome = track(written(request), SENDER)
    taken = [(name, n) for name in KINDS for n in range(outcome.answer.get(f"{name}_processed", 0))]
    for record, (array, _) in zip(outcome.records, taken, strict=True):
        decoded = decode(record, ARRIVAL.replace(tzinfo=None), REGISTRY)
        assert decoded[0] == KINDS[array], decoded


@given(st.binary(max_size=60) | requests.map(written).map(lambda body: body[: len(body) // 2]), limits)
def test_any_bytes_are_answered(body: bytes, limit: braze.Limits) -> None:
    outcome = track(body, SENDER, limit)
    assert outcome.status in {201, 400}
    assert msgspec.json.decode(msgspec.json.encode(outcome.answer))
    assert api_key(body) is None or isinstance(api_key(body), str)
