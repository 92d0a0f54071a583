"""A project's month against its limit: foretold, by day, name and identity, with alerts and statements."""

import csv
import io
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime
from functools import partial
from typing import Any, Final

import msgspec

from ops.answers.connection import tables
from ops.answers.forecast import course
from ops.answers.month import adjustments, closes_at
from ops.answers.month_parts import Parts, parts, without
from ops.answers.usage import against, daily, foretold, unclaimed
from ops.console.asks import Answer, Ask, Refused, Sent, Shown, unless_missing
from ops.console.charts import HEIGHT, WIDTH, month_chart
from stores.alerts import Alerts
from stores.errors import StoreError
from stores.lake import Lake
from stores.statements import Statement, Statements
from stores.usage import Usage, UsageTable

_TABLE_SECONDS: Final = 5.0
_LAKE_SECONDS: Final = 30.0
_FORECAST_SECONDS: Final = 300.0
_NAMES: Final = 200
"""Names on the page; the files have all."""
_MONTH: Final = re.compile(r"20\d\d-(0[1-9]|1[0-2])")


def show(ask: Ask) -> Answer:
    """The month of the query, else the present one."""
    found = _found(ask)
    names = found["names"]
    return Shown("usage.html", found | {"names": names[:_NAMES], "more": max(0, len(names) - _NAMES)})


def as_json(ask: Ask) -> Answer:
    """The same as JSON."""
    found = _found(ask)
    lists = {name: _rows(found[name]) for name in ("course", "days", "names", "rungs", "adjustments")}
    plain = {name: found[name] for name in ("row", "forecast", "alerts", "away")}
    body = msgspec.json.encode({"project_id": ask.of.project_id} | plain | lists)
    return Sent(body, "application/json", _file(ask, found["month"], "json"))


def as_csv(ask: Ask) -> Answer:
    """Days or names, as the query says, as a table."""
    by = ask.query.get("by", "day")
    if by not in {"day", "name"}:
        raise Refused(404)
    found = _found(ask)
    if found["away"]:
        raise StoreError(found["away"])
    return Sent(
        _csv(_rows(found[f"{by}s"])), "text/csv; charset=utf-8", _file(ask, f"{found['month']}-{by}s", "csv")
    )


def _file(ask: Ask, what: str, form: str) -> str:
    return f"usage-{ask.of.project_id}-{what}.{form}"


def _rows(found: Iterable[Any]) -> list[dict[str, Any]]:
    return [one._asdict() for one in found]


def _csv(rows: Sequence[dict[str, Any]]) -> bytes:
    """A table for spreadsheets: a name that would be a formula there is made a text."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(rows[0] if rows else ())
    for row in rows:
        writer.writerow(_cell(value) for value in row.values())
    return out.getvalue().encode("utf-8-sig")


def _cell(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


def _found(ask: Ask) -> dict[str, Any]:
    """All that is known of a month. Where the lake is away, `away` says so, and its part is empty."""
    project, address = ask.of, tables(ask.settings)
    totals = [
        one for one in _listed(ask, "usage", UsageTable(address).list) if one.project_id == project.project_id
    ]
    month = _month(ask)
    total = next((one for one in totals if one.month == month), Usage(project.project_id, month, 0, 0))
    statements = {
        one.month: one
        for one in _listed(ask, "statements", Statements(address).list)
        if one.project_id == project.project_id
    }
    terms = project.terms_of(month)
    made, days, away = _of_lake(ask, month)
    going_on = course(days, total.events, ask.now) if month == f"{ask.now:%Y-%m}" else []
    by_day = {one.of: one.events for one in made.days}
    return {
        "month": month,
        "months": sorted({f"{ask.now:%Y-%m}", month, *(one.month for one in totals)}, reverse=True),
        "row": _row(ask, total, statements.get(month)),
        "past": [_row(ask, one, statements.get(one.month)) for one in reversed(totals)],
        "terms": terms,
        "forecast": foretold(project, total.events, days, ask.now) if going_on else None,
        "course": going_on,
        "chart": month_chart(by_day, going_on, terms, ask.now, month),
        "size": (WIDTH, HEIGHT),
        "days": made.days,
        "names": without(made.names, total.events, terms),
        "rungs": made.rungs,
        "alerts": _alerts(ask, month, totals),
        "adjustments": _adjusted(ask, statements.get(month)) if not away else [],
        "away": away,
    }


def _month(ask: Ask) -> str:
    month = ask.query.get("month", f"{ask.now:%Y-%m}")
    if not _MONTH.fullmatch(month):
        raise Refused(404)
    return month


def _listed(ask: Ask, key: str, listed: Callable[[], list[Any]]) -> list[Any]:
    """All rows of a table; none where nobody has made it yet."""
    return ask.shared(key, _TABLE_SECONDS, partial(unless_missing, listed, []))


def _row(ask: Ask, total: Usage, statement: Statement | None) -> dict[str, Any]:
    closes = closes_at(total.month, ask.settings.close_after)
    row = against(total, ask.of, statement)
    return row | {"closes_at": closes, "closed_at": _at(row["closed_at"])}


def _of_lake(ask: Ask, month: str) -> tuple[Parts, dict[date, int], str]:
    """What the month is made of, the project's days before today, and why neither is known."""
    project_id = ask.of.project_id
    try:
        made = ask.shared(
            ("parts", project_id, month), _LAKE_SECONDS, lambda: parts(_lake(ask), project_id, month)
        )
        days = ask.shared(("daily", ask.now.date()), _FORECAST_SECONDS, lambda: daily(_lake(ask), ask.now))
    except StoreError as error:
        return Parts((), (), ()), {}, str(error)
    return made, days.get(project_id, {}), ""


def _lake(ask: Ask) -> Lake:
    return Lake(ask.settings.lake_address)


def _adjusted(ask: Ask, statement: Statement | None) -> Iterable[Any]:
    if statement is None:
        return []
    return ask.shared(("adjustments", *statement[:2]), _LAKE_SECONDS, partial(adjustments, _lake(ask), statement))


def _alerts(ask: Ask, month: str, totals: Sequence[Usage]) -> list[dict[str, Any]]:
    """The thresholds of the month that were reached, and when somebody was told."""
    claimed = [
        one
        for one in _listed(ask, "alerts", Alerts(tables(ask.settings)).list)
        if one.project_id == ask.of.project_id
    ]
    found = sorted([*claimed, *unclaimed([ask.of], totals, claimed)])
    return [
        {name: _at(value) if name.endswith("_at") else value for name, value in one._asdict().items()}
        for one in found
        if one.month == month
    ]


def _at(iso: str | None) -> datetime | None:
    return datetime.fromisoformat(iso) if iso else None
