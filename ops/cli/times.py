"""Times and months as people type them."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from re import fullmatch
from typing import Any, Final

import click

_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days"}


def as_month(text: str) -> str:
    """A UTC month as an option or an argument takes it."""
    if not fullmatch(r"[0-9]{4}-(0[1-9]|1[0-2])", text):
        msg = f"{text!r} is no month: write it like 2026-03"
        raise click.BadParameter(msg)
    return text


def as_seconds(text: str) -> int:
    """A time span such as 30s, 5m, 1h or 90d in seconds; 0 needs no unit."""
    found = fullmatch(r"(\d{1,5})([smhd])|0", text)
    if found is None:
        msg = f"{text!r} is no time span: write it like 30s, 5m, 1h, 90d or 0"
        raise click.BadParameter(msg)
    return int(found[1] or 0) * {"s": 1, "m": 60, "h": 3600, "d": 86_400, None: 0}[found[2]]


def as_moment(text: str) -> datetime:
    """A time, aware: UTC where it names no zone, or an age such as 24h."""
    if ago := fullmatch(r"(\d+)([mhd])", text):
        try:
            return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        except OverflowError:
            pass
    elif (at := _parsed(text)) is not None:
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at
    msg = f"{text!r} is neither a time such as 2026-03-01T12:00 nor an age such as 90m, 24h, 7d"
    raise click.BadParameter(msg)


def as_hour(text: str) -> datetime:
    """An hour as Amplitude writes it, `20260301T09`, or as people do, `2026-03-01T09`; aware, UTC."""
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H" if "-" in text else "%Y%m%dT%H").replace(tzinfo=UTC)
    except ValueError:
        msg = f"{text!r} is no hour: write it like 2026-03-01T09 (UTC)"
        raise click.BadParameter(msg) from None


def since_option(words: str, **more: Any) -> Callable[[Any], Any]:
    """The option `--since`: from which arrival on a command looks; `more` as click's option takes it."""
    help_text = f"{words}: 2026-03-01T12:00 (UTC), or 24h ago."
    return click.option("--since", metavar="TIME", type=as_moment, help=help_text, **more)


def as_past_moment(text: str) -> datetime:
    """A time as the registry takes it, naive UTC; one without a zone might be anybody's local time."""
    at = _parsed(text)
    if at is None:
        msg = f"{text!r} is no time: write it like 2026-03-01T12:00Z or 2026-03-01T21:00+09:00"
        raise click.BadParameter(msg)
    if at.tzinfo is None:
        msg = f"{text!r} has no zone: add Z for UTC, or an offset such as +09:00"
        raise click.BadParameter(msg)
    if at > datetime.now(UTC):
        msg = f"{text!r} lies in the future: give the command when the time has come"
        raise click.BadParameter(msg)
    return at.replace(tzinfo=None)


def _parsed(text: str) -> datetime | None:
    """A time in ISO 8601, in UTC where it names a zone; None when it is none."""
    try:
        at = datetime.fromisoformat(text)
        return at if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
