"""Timestamps: whatever instant Amplitude writes is the instant that is read, and no text is a trap."""

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from udfs import clock

instants = st.datetimes()
offsets = st.integers(-(24 * 60 - 1), 24 * 60 - 1).map(lambda minutes: timezone(timedelta(minutes=minutes)))
edges = st.builds(
    lambda year, month, microseconds: datetime(year, month, 1, tzinfo=UTC) + timedelta(microseconds=microseconds),
    st.integers(2000, 2100),
    st.integers(1, 12),
    st.sampled_from((-1, 0, 1)),
)
LAST = datetime.fromisoformat("9999-12-31 23:59:59.999999")

# a timestamp with something else in one place, so that some still are one and some just miss
odd_texts = st.builds(
    lambda at, place, length, piece: (text := at.isoformat(sep=" "))[:place] + piece + text[place + length :],
    instants,
    st.integers(0, 26),
    st.integers(0, 3),
    st.sampled_from(("", "0", "9", "99", "-", "+", "Z", "T", " ", ".", ":60", "\0", "é", "٣")),
)


@given(instants)
def test_the_wire_form_makes_the_round_trip(instant: datetime) -> None:
    assert clock.timestamp(instant.isoformat(sep=" ", timespec="microseconds")) == instant


@given(instants, st.sampled_from(" T"), st.integers(0, 6), st.sampled_from(("", "Z", "+00:00", "-0000")))
def test_every_accepted_form_means_the_same_instant(
    instant: datetime, separator: str, digits: int, zone: str
) -> None:
    step = 10 ** (6 - digits)
    instant = instant.replace(microsecond=instant.microsecond // step * step)
    fraction = f".{instant.microsecond // step:0{digits}}" if digits else ""
    text = instant.isoformat(sep=separator, timespec="seconds") + fraction + zone
    assert clock.timestamp(text) == instant


@given(instants, offsets)
def test_an_offset_moves_the_instant_to_utc_or_out_of_the_calendar(instant: datetime, zone: timezone) -> None:
    local = instant.replace(tzinfo=zone)
    try:
        expected = local.astimezone(UTC).replace(tzinfo=None)
    except OverflowError:
        expected = None
    assert clock.timestamp(local.isoformat(sep=" ")) == expected


@given(edges, offsets)
def test_the_month_is_the_one_in_utc_at_every_edge(instant: datetime, zone: timezone) -> None:
    uploaded = clock.timestamp(instant.astimezone(zone).isoformat())
    assert clock.month(uploaded, LAST) == f"{instant.year:04}-{instant.month:02}"


@given(instants)
def test_the_month_of_any_instant_is_seven_characters(instant: datetime) -> None:
    assert clock.month(None, instant) == f"{instant.year:04}-{instant.month:02}"
    assert clock.month(instant, LAST) == clock.month(None, instant)


@given(st.one_of(odd_texts, st.text(), st.none(), st.booleans(), st.integers(), st.floats()))
def test_any_value_is_a_naive_instant_or_none(value: object) -> None:
    instant = clock.timestamp(value)
    assert instant is None or (isinstance(value, str) and instant.tzinfo is None)
