"""Whether an installation is well: what is looked at beside each other, each finding with its remedy.

A back end that is away is told once; the rest is looked at all the same, within bounded time.
"""

from collections.abc import Callable, Set
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Final, NamedTuple

from ops.answers.connection import job_step, lag_step, stream_step
from ops.answers.doctor import beside, cluster, here, tables
from ops.answers.steps import AWAY, State, Step, once, side_by_side
from settings import Settings
from stores.flink import Flink

_SECONDS: Final = 25.0
_IN_DYNAMODB: Final = ("tables", "job", "alerts", "months", "maintain", "backfills", "destinations", "redeliver")
_SECTIONS: Final = dict.fromkeys(_IN_DYNAMODB, "dynamodb") | {
    "stream": "kinesis",
    "lake": "lake",
}
"""By finding: the section of the settings that says where to look."""


class Place(NamedTuple):
    """What the settings do not say: where Flink and `usage watch` answer, and the jars that Flink needs."""

    flink: str
    watch: str
    jars: Set[str]
    """their names; none where this machine has no distribution of Flink to compare with"""


@dataclass(frozen=True)
class Health:
    """All findings."""

    findings: tuple[Step, ...]

    @property
    def worst(self) -> State:
        """`failed`, else `warning`, else `ok`."""
        states = {one.state for one in self.findings}
        return "failed" if "failed" in states else "warning" if "warning" in states else "ok"

    def described(self) -> dict[str, Any]:
        """All of it, as JSON has it."""
        return {**asdict(self), "worst": self.worst}


def examined(settings: Settings, place: Place) -> Health:
    """Look at everything, whatever is away, within 25 s."""
    flink = Flink(place.flink)
    questions: dict[str, Callable[[], Step]] = {
        "settings": partial(_settings, settings),
        "python": here.python,
        "stream": partial(stream_step, settings),
        "tables": partial(tables.dynamodb, settings),
        "lake": partial(tables.lake, settings),
        "job": partial(job_step, settings, place.flink),
        "flink": partial(cluster.flink, settings, flink),
        "jars": partial(cluster.jars, flink, place.jars),
        "lag": partial(lag_step, settings, place.flink),
        "checkpoints": partial(cluster.checkpoints, settings, flink),
        "clocks": partial(here.clocks, settings, flink),
        "disk": partial(here.disk, settings),
        "alerts": partial(beside.alerts, settings),
        "months": partial(beside.months, settings),
        "usage watch": partial(beside.watch_step, place.watch),
        "maintain": partial(beside.maintain, settings),
        "backfills": partial(beside.backfills, settings),
        "destinations": partial(beside.destinations, settings),
        "redeliver": partial(beside.redeliver, settings),
    }
    return Health(tuple(once(side_by_side(questions, _SECONDS, _unanswered))))


def _unanswered(name: str, why: str) -> Step:
    section = _SECTIONS.get(name)
    fix = f"see the network, the credentials, and [{section}] in the settings" if section else "see that it runs"
    return Step(name, "failed", f"{AWAY}{why}", fix)


def _settings(settings: Settings) -> Step:
    if settings.kinesis.on_gap == "continue":
        words = 'kinesis.on_gap is "continue": a start does not stop where records may have expired unread'
        return Step("settings", "warning", words, 'set it to "stop" when the gap is behind you')
    if settings.metering.webhook_url is None:
        return Step("settings", "ok", "they are well; without a webhook, usage watch logs alerts")
    return Step("settings", "ok", "they are well")
