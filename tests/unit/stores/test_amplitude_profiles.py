"""Amplitude's profiles: what an answer means, and what cache, limit and deadline make of many look-ups."""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import msgspec
import pytest

from errors import OneLineError
from stores.amplitude.http import AmplitudeError
from stores.amplitude.profiles import Cache, Limits, Profiles, Source
from stores.amplitude.user_profile import (
    AmplitudeProfile,
    KeyRefusedError,
    Propensity,
    Recommendation,
    ThrottledError,
    UnavailableError,
    User,
    Wanted,
    parameters,
    read,
)
from stores.errors import StoreError
from tests.cases import each

T = TypeVar("T")
SHOP, SISTER, OTHER = 434735, 434736, 100011471
MINA, JUN = User("mina@example.com"), User("jun@example.com")
SECRET = "fedcba9876543210canary9876543210"


# --- A request and its answer ---------------------------------------------------------------------------------


def test_a_request_has_amplitudes_names() -> None:
    wanted = Wanted(recommendations=("r1", "r2"), predictions=("p1",), propensity="pct")
    assert dict(parameters(User("mina", "d-1"), wanted)) == {
        "user_id": "mina",
        "device_id": "d-1",
        "get_amp_props": "true",
        "get_cohort_ids": "true",
        "get_computations": "true",
        "get_recs": "true",
        "rec_id": "r1,r2",
        "get_propensity": "true",
        "prediction_id": "p1",
        "propensity_type": "pct",
    }
    few = Wanted(properties=False, cohorts=False, computations=("c1", "c2"))
    assert dict(parameters(User(device_id="d-1"), few)) == {"device_id": "d-1", "comp_id": "c1,c2"}


def test_an_answer_is_typed_and_may_hold_more_than_is_known() -> None:
    body = b"""{"userData": {"user_id": "12345", "device_id": null, "amp_props": {"number_property": 12},
        "cohort_ids": ["cohort1", "cohort3"], "new": 1, "propensity": 83, "propensities": [
        {"prop": 83, "pred_id": "0x10x", "prop_type": "pct"}], "recommendations": [{"rec_id": "98765",
        "child_rec_id": "98765", "items": ["cookie", "donut"], "is_control": false,
        "recommendation_source": "model", "last_updated": 1608670720}]}}"""
    assert read(200, body, SHOP) == AmplitudeProfile(
        user_id="12345",
        amp_props={"number_property": 12},
        cohort_ids=("cohort1", "cohort3"),
        recommendations=(Recommendation("98765", ("cookie", "donut"), False, "98765", "model", 1608670720),),
        propensities=(Propensity("0x10x", 83, "pct"),),
    )


@each("status", [200, 400, 404])
def test_a_user_whom_amplitude_has_not_seen_is_none_whatever_the_status(status: int) -> None:
    assert read(status, b'{"error":"User id and device id not seen before"}', SHOP) is None


TOO_MANY = b'{"error":"Number of requests per minute exceeds system limit. Contact Support if you need this"}'


@each(
    ("status", "body", "error", "says"),
    [
        (401, b"Invalid Api-Key", KeyRefusedError, "refuses the secret key of project 434735 (HTTP 401): copy it"),
        (401, b"Missing Api-Key in Authorization header", KeyRefusedError, "refuses the secret key"),
        (429, b"", ThrottledError, "has used up its requests"),
        (400, TOO_MANY, ThrottledError, "has used up its requests"),
        (500, b"", UnavailableError, "has failed (HTTP 500): try again"),
        (503, b"<html>", UnavailableError, "has failed (HTTP 503): try again"),
        (404, b"", AmplitudeError, "(HTTP 404): is the address right?"),
        (301, b"<html>", AmplitudeError, "(HTTP 301): is the address right?"),
        (200, b"{}", AmplitudeError, "is not Amplitude's User Profile API (HTTP 200)"),
        (
            200,
            b'{"userData": {"cohort_ids": 1}}',
            AmplitudeError,
            "is not Amplitude's User Profile API (HTTP 200)",
        ),
        (200, b"\xff" * 9, AmplitudeError, "is not Amplitude's"),
        (200, b"[" * 100_000, AmplitudeError, "is not Amplitude's"),
    ],
)
def test_each_refusal_has_its_error(status: int, body: bytes, error: type[Exception], says: str) -> None:
    with pytest.raises(AmplitudeError) as refused:
        read(status, body, SHOP)
    assert type(refused.value) is error
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


# --- Look-ups -------------------------------------------------------------------------------------------------


class Clock:
    """Seconds that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Amplitude:
    """What is asked, and what is to be answered."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, User]] = []
        self.error: Exception | None = None
        self.go = threading.Event()
        self.go.set()

    def __call__(self, project_id: int, secret_key: str, user: User, _: Wanted) -> AmplitudeProfile | None:
        assert secret_key == SECRET
        self.asked.append((project_id, user))
        self.go.wait(10)
        if self.error:
            raise self.error
        return AmplitudeProfile(user.user_id, amp_props={"asked": len(self.asked)})


def source_of(project_id: int) -> Source:
    return Source(SECRET, "acme" if project_id in {SHOP, SISTER} else "other")


def looked_up(
    look: Callable[[Profiles, Amplitude, Clock], Coroutine[Any, Any, T]],
    limits: Limits = Limits(),  # noqa: B008  frozen
    source: Callable[[int], Source] = source_of,
) -> T:
    amplitude, clock = Amplitude(), Clock()
    profiles = Profiles(source, amplitude, limits, clock)
    try:
        return asyncio.run(look(profiles, amplitude, clock))
    finally:
        profiles.close()


def test_an_answer_counts_until_it_is_too_old() -> None:
    async def look(profiles: Profiles, amplitude: Amplitude, clock: Clock) -> None:
        for now, asked, age in ((0, 1, 0), (299, 1, 299), (300, 2, 0), (301, 2, 1)):
            clock.now = now
            found = await profiles.get(SHOP, MINA, deadline=5)
            assert (found.profile, found.age) == (AmplitudeProfile(MINA.user_id, amp_props={"asked": asked}), age)
        await profiles.get(SISTER, MINA, deadline=5)  # another project's user of the same name
        await profiles.get(SHOP, MINA, deadline=5, wanted=Wanted(cohorts=False))
        assert amplitude.asked == [(SHOP, MINA)] * 2 + [(SISTER, MINA), (SHOP, MINA)]
        assert profiles.counts == {"asked": 4, "hit": 2}

    looked_up(look)


@each("error", [UnavailableError("away"), ThrottledError("too many"), StoreError("no table")])
def test_where_amplitude_has_no_answer_an_old_one_counts_for_longer(error: OneLineError) -> None:
    async def look(profiles: Profiles, amplitude: Amplitude, clock: Clock) -> None:
        first = await profiles.get(SHOP, MINA, deadline=5)
        amplitude.error, clock.now = error, 300 + 99
        assert await profiles.get(SHOP, MINA, deadline=5) == first._replace(age=399)
        clock.now = 300 + 100
        with pytest.raises(type(error)):
            await profiles.get(SHOP, MINA, deadline=5)
        with pytest.raises(type(error)):
            await profiles.get(SHOP, JUN, deadline=5)
        assert profiles.counts == {"asked": 1, "stale": 1, "failed": 2}

    looked_up(look, Limits(stale_seconds=100))


def test_while_amplitude_fails_nobody_waits_who_has_an_old_answer() -> None:
    async def look(profiles: Profiles, amplitude: Amplitude, clock: Clock) -> None:
        await profiles.get(SHOP, MINA, deadline=5)
        amplitude.go.clear()
        clock.now = 300
        await profiles.get(SHOP, MINA, deadline=0.05)
        begin = time.monotonic()
        for _ in range(20):
            assert (await profiles.get(SHOP, MINA, deadline=0.05)).age == 300
        assert time.monotonic() - begin < 0.05
        assert len(amplitude.asked) == 2
        amplitude.go.set()
        while (await profiles.get(SHOP, MINA, deadline=5)).age:
            await asyncio.sleep(0.01)
        assert profiles.counts["stale"] >= 21

    looked_up(look)


def test_a_key_that_was_taken_back_ends_all_answers_and_is_not_tried_at_every_look_up() -> None:
    async def look(profiles: Profiles, amplitude: Amplitude, clock: Clock) -> None:
        await profiles.get(SHOP, MINA, deadline=5)
        amplitude.error, clock.now = KeyRefusedError("refused"), 1_000
        for user in (MINA, JUN, MINA):
            with pytest.raises(KeyRefusedError):
                await profiles.get(SHOP, user, deadline=5)
        assert len(amplitude.asked) == 2
        amplitude.error, clock.now = None, 1_015  # the table may have another key
        assert (await profiles.get(SHOP, JUN, deadline=5)).age == 0

    looked_up(look)


def test_look_ups_of_one_user_share_a_request_which_outlives_their_deadlines() -> None:
    async def look(profiles: Profiles, amplitude: Amplitude, _: Clock) -> None:
        amplitude.go.clear()
        begin = time.monotonic()
        together = [profiles.get(SHOP, MINA, deadline=0.05) for _ in range(50)]
        failed = await asyncio.gather(*together, return_exceptions=True)
        assert {str(one) for one in failed} == {
            "Amplitude has not answered within 0.05 s: try again, or allow more"
        }
        assert time.monotonic() - begin < 2
        amplitude.go.set()
        found = await profiles.get(SHOP, MINA, deadline=5)
        assert (await profiles.get(SHOP, MINA, deadline=5)).profile == found.profile
        assert len(amplitude.asked) == 1
        assert profiles.counts == {"failed": 50, "joined": 1, "hit": 1}

    looked_up(look)


def test_projects_of_an_organisation_share_its_limit_and_others_do_not() -> None:
    async def look(profiles: Profiles, amplitude: Amplitude, clock: Clock) -> None:
        await profiles.get(SHOP, MINA, deadline=0.1)
        with pytest.raises(ThrottledError, match="organisation acme has used up"):
            await profiles.get(SISTER, MINA, deadline=0.1)
        await profiles.get(OTHER, MINA, deadline=0.1)
        clock.now = 60 / 9
        await profiles.get(SISTER, MINA, deadline=0.1)
        assert [project for project, _ in amplitude.asked] == [SHOP, OTHER, SISTER]

    looked_up(look, Limits(per_minute=10))


def test_after_amplitudes_own_word_the_organisation_waits() -> None:
    async def look(profiles: Profiles, amplitude: Amplitude, clock: Clock) -> None:
        amplitude.error = ThrottledError("Amplitude's")
        for user, words in ((MINA, "Amplitude's"), (JUN, "organisation acme")):
            with pytest.raises(ThrottledError, match=words):
                await profiles.get(SHOP, user, deadline=0.1)
        amplitude.error, clock.now = None, 10
        await profiles.get(SHOP, JUN, deadline=0.1)
        assert len(amplitude.asked) == 2

    looked_up(look)


def test_an_organisation_that_hangs_leaves_threads_to_the_others() -> None:
    async def look(profiles: Profiles, amplitude: Amplitude, _: Clock) -> None:
        amplitude.go.clear()
        many = [profiles.get(SHOP, User(f"user-{n}"), deadline=0.05) for n in range(60)]
        failed = await asyncio.gather(*many, return_exceptions=True)
        assert all(isinstance(one, UnavailableError) for one in failed)
        while len(amplitude.asked) < 8:  # a thread of a busy machine begins behind the deadline
            await asyncio.sleep(0.01)
        assert len(amplitude.asked) == 8
        other = asyncio.create_task(profiles.get(OTHER, MINA, deadline=5))
        while len(amplitude.asked) == 8:
            await asyncio.sleep(0.01)
        amplitude.go.set()
        assert (await other).profile

    looked_up(look)


def test_a_project_without_a_source_is_told_and_not_read_again_at_every_look_up() -> None:
    read: list[int] = []

    def nothing(project_id: int) -> Source:
        read.append(project_id)
        msg = "no secret key"
        raise StoreError(msg)

    async def look(profiles: Profiles, amplitude: Amplitude, _: Clock) -> None:
        for _n in range(3):
            with pytest.raises(StoreError, match="no secret key"):
                await profiles.get(SHOP, MINA, deadline=5)
        assert (read, amplitude.asked) == ([SHOP], [])

    looked_up(look, source=nothing)


def test_the_answer_that_is_least_asked_for_goes_first() -> None:
    cache, keys = Cache(2), [(User(str(n)), Wanted()) for n in range(3)]
    for key in keys[:2]:
        cache.put(key, None)  # type: ignore[arg-type]
    cache.get(keys[0])
    cache.put(keys[2], None)  # type: ignore[arg-type]
    assert [key in cache._kept for key in keys] == [True, False, True]


def test_no_key_is_in_what_is_printed() -> None:
    assert SECRET not in repr(Source(SECRET, "acme"))
    assert msgspec.to_builtins(AmplitudeProfile("mina"))["user_id"] == "mina"
