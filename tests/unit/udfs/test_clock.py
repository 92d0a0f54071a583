"""Amplitude's timestamps as instants, and the month an event is metered in."""

from datetime import datetime, timedelta

from tests.builders import ARRIVAL, LEAP_DAY_END, MONTH_END, MONTH_START, YEAR_END
from tests.cases import each
from udfs import clock

at = datetime.fromisoformat

ACCEPTED = {
    "wire form": ("2025-07-17 10:36:28.583000", "2025-07-17 10:36:28.583000"),
    "true microseconds": ("2020-11-24 10:00:00.480098", "2020-11-24 10:00:00.480098"),
    "no fraction": ("2025-07-17 10:36:28", "2025-07-17 10:36:28"),
    "one digit": ("2025-07-17 10:36:28.5", "2025-07-17 10:36:28.500000"),
    "three digits": ("2022-02-28 20:07:01.795", "2022-02-28 20:07:01.795000"),
    "nine digits": ("2025-07-17 10:36:28.583000123", "2025-07-17 10:36:28.583000"),
    "T": ("2022-10-24T20:07:32.123", "2022-10-24 20:07:32.123000"),
    "T and Z": ("2022-10-24T20:07:32.123Z", "2022-10-24 20:07:32.123000"),
    "space and Z": ("2022-10-24 20:07:32Z", "2022-10-24 20:07:32"),
    "offset of zero": ("2022-10-24T20:07:32+00:00", "2022-10-24 20:07:32"),
    "offset east": ("2026-02-01 08:59:59.999999+09:00", "2026-01-31 23:59:59.999999"),
    "offset west": ("2025-12-31T20:00:00-04:00", "2026-01-01 00:00:00"),
    "offset without colon": ("2025-12-31T20:00:00-0400", "2026-01-01 00:00:00"),
    "offset of half an hour": ("2025-07-17 10:36:28+05:30", "2025-07-17 05:06:28"),
    "29 February": ("2024-02-29 23:59:59.999999", "2024-02-29 23:59:59.999999"),
    "first instant": ("0001-01-01 00:00:00", "0001-01-01 00:00:00"),
    "last instant": ("9999-12-31 23:59:59.999999", "9999-12-31 23:59:59.999999"),
}

REFUSED = {
    "null": None,
    "epoch milliseconds": 1752748588583,
    "epoch seconds": 1752748588.583,
    "true": True,
    "list": ["2025-07-17 10:36:28"],
    "empty": "",
    "digits": "1752748588583",
    "date alone": "2025-07-17",
    "no seconds": "2025-07-17 10:36",
    "point without digits": "2025-07-17 10:36:28.",
    "comma": "2025-07-17 10:36:28,583",
    "zone by name": "2025-07-17 10:36:28 UTC",
    "leading space": " 2025-07-17 10:36:28",
    "trailing newline": "2025-07-17 10:36:28\n",
    "29 February of a common year": "2025-02-29 00:00:00",
    "month 13": "2025-13-01 00:00:00",
    "hour 24": "2025-07-17 24:00:00",
    "leap second": "2016-12-31 23:59:60",
    "year 0": "0000-01-01 00:00:00",
    "before the first instant": "0001-01-01 00:00:00+09:00",
    "after the last instant": "9999-12-31T23:59:59-01:00",
    "arabic digits": "٢٠٢٥-07-17 10:36:28",
    "NUL behind": "2025-07-17 10:36:28\0",
    "NUL and more behind": "2025-07-17 10:36:28\0.5",
    "year of five digits": "12025-07-17 10:36:28",
    "negative year": "-2025-07-17 10:36:28",
    "half a letter": "2025-07-17 10:36:28\ufffd",
}

UPLOADED = {
    "first microsecond of a month": (MONTH_START, "2026-03"),
    "last microsecond of a month": (MONTH_END, "2026-03"),
    "29 February": (LEAP_DAY_END, "2024-02"),
    "year end": (YEAR_END, "2025-12"),
    "year of one digit": (at("0001-01-01 00:00:00+00:00"), "0001-01"),
}


@each(("text", "instant"), ACCEPTED.values(), ids=ACCEPTED)
def test_accepted_forms_mean_a_naive_utc_instant(text: str, instant: str) -> None:
    assert clock.timestamp(text) == at(instant)


@each("value", REFUSED.values(), ids=REFUSED)
def test_anything_else_is_no_timestamp(value: object) -> None:
    assert clock.timestamp(value) is None


@each(("uploaded", "month"), UPLOADED.values(), ids=UPLOADED)
def test_the_month_is_the_one_of_the_upload(uploaded: datetime, month: str) -> None:
    assert clock.month(uploaded.replace(tzinfo=None), ARRIVAL.replace(tzinfo=None)) == month


@each(
    ("text", "month"),
    [("2026-02-01 08:59:59.999999+09:00", "2026-01"), ("2026-01-31 19:00:00-05:00", "2026-02")],
    ids=["eastern morning", "western evening"],
)
def test_an_offset_may_cross_a_month_edge(text: str, month: str) -> None:
    assert clock.month(clock.timestamp(text), ARRIVAL.replace(tzinfo=None)) == month


@each(
    ("arrival", "month"),
    [(MONTH_END, "2026-03"), (LEAP_DAY_END, "2024-02"), (YEAR_END, "2025-12")],
    ids=["month end", "29 February", "year end"],
)
def test_without_an_upload_time_the_month_is_the_one_of_the_arrival(arrival: datetime, month: str) -> None:
    assert clock.month(None, arrival.replace(tzinfo=None)) == month


MOMENT = timedelta(microseconds=1)


@each(
    ("uploaded", "implausible"),
    [
        (at("0001-01-01"), True),
        (clock.EARLIEST - MOMENT, True),
        (clock.EARLIEST, False),
        (ARRIVAL.replace(tzinfo=None), False),
        (ARRIVAL.replace(tzinfo=None) + clock.AHEAD, False),
        (ARRIVAL.replace(tzinfo=None) + clock.AHEAD + MOMENT, True),
        (at("9999-12-31 23:59:59.999999"), True),
    ],
    ids=[
        "first instant",
        "a moment before Amplitude",
        "as old as Amplitude",
        "now",
        "a day ahead",
        "a moment more",
        "last instant",
    ],
)
def test_amplitudes_clock_shows_no_time_before_amplitude_and_none_a_day_after_arrival(
    uploaded: datetime, implausible: bool
) -> None:
    assert clock.implausible(uploaded, ARRIVAL.replace(tzinfo=None)) is implausible
