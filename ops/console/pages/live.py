"""The live tail: the newest records of a project, with what becomes of each."""

from dataclasses import dataclass
from functools import partial
from typing import Final

from ops.answers.judged import Became, Judged, became
from ops.console.asks import Answer, Ask, Shown, Site
from ops.console.tail import Looked
from stores.errors import StoreError
from stores.lake import Lake

_SECONDS: Final = 3.0


@dataclass(frozen=True)
class Line:
    """A record, and what is visible of it; None where the tables cannot be asked."""

    record: Judged
    became: Became | None


def show(ask: Ask) -> Answer:
    """The newest records of the project, of all names or of those that contain a text."""
    project_id = ask.of.project_id
    looked, lines = ask.shared(("live", project_id), _SECONDS, partial(_lines, ask.site, project_id))
    wanted = ask.query.get("name", "").casefold()
    outcome = ask.query.get("outcome", "")
    shown = [
        one for one in lines if wanted in (one.record.name or "").casefold() and outcome in {"", _outcome(one)}
    ]
    samples = {one.record.name: one.record for one in reversed(lines) if one.record.name}
    given = {"name": ask.query.get("name", ""), "outcome": outcome, "paused": "paused" in ask.query}
    found = {"looked": looked, "lines": shown, "samples": sorted(samples.items()), "outcomes": [*Became]}
    return Shown("live.html", {**given, **found})


def _outcome(line: Line) -> str:
    return line.became.value if line.became else ""


def _lines(site: Site, project_id: int) -> tuple[Looked, list[Line]]:
    looked = site.tail.look(project_id)
    try:
        found: list[Became | None] = [*became(Lake(site.settings.lake_address), project_id, looked.records)]
    except StoreError:  # the lake is away, and the stream is not
        found = [None] * len(looked.records)
    return looked, [Line(*one) for one in zip(looked.records, found, strict=True)]
