"""What the running product tells Prometheus: every documented metric, and alerts if something is wrong, only then.

The dashboard's queries have answers too.

The first test reads Flink's reporters itself. The others ask a real Prometheus: `make monitoring-test` unpacks it.
"""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from math import isfinite
from random import Random
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
import yaml
from click.testing import CliRunner
from prometheus_client.parser import text_string_to_metric_families
from urllib3 import request

from jobs.sinks import EXPORT_COLUMNS, create_tables
from lab.sample.events import Record, cohort_message, encode, make_event, person, user_update
from lab.sample.others import COHORTS, PROJECTS, UNKNOWN_APP
from lab.sample.registry import create
from lab.stack.local import Stack
from lab.stack.machine import Ports
from lab.stack.patience import scaled, wait_until
from lab.stack.process import answers
from lab.stack.prometheus import DASHBOARD, MONITORING, reporter_port
from lab.stack.proxy import Proxy
from ops.cli.main import commands
from settings import Settings, load
from stores.lake import Lake
from stores.stream import Stream
from tests.e2e.crash import OPTIONS
from tests.metrics import documented, of_the_way_back

EVENTS, UPDATES = 400, 30
NOTHING = {"Alerts": "no alert fires while all is well"} | dict.fromkeys(
    ("Attempts by outcome", "Requests for each event", "Arrival to answer", "Projects not sent to"),
    "no export job runs here",
)
"""The panels that are empty then, and why."""
GROUPS = yaml.safe_load((MONITORING / "alerts.yml").read_text(encoding="utf-8"))["groups"]
RULES = {rule["alert"]: rule["expr"] for group in GROUPS for rule in group["rules"]}
ASKED = {name: rule.replace("amplitude.export", "amplitude.ingest") for name, rule in RULES.items()}
"""No export job runs here: the one that does stands in for it."""


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with Stack("e2e-metrics", Ports.free(), flink_options=OPTIONS, brief=True) as running:
        yield running


@pytest.fixture(scope="module")
def proxy(stack: Stack) -> Iterator[Proxy]:
    with Proxy(stack.ports.dynamodb) as before_dynamodb:
        yield before_dynamodb


@pytest.fixture(scope="module")
def settings(stack: Stack, proxy: Proxy) -> Settings:
    found = load(stack.write_settings(dynamodb={"region": stack.region, "endpoint": proxy.endpoint}))
    create(found, shards=2)
    return found


@pytest.fixture(scope="module")
def fed(stack: Stack, settings: Settings, job: str) -> Stack:
    """The running job behind records of each kind, all of them well."""
    rng, now, (project, *_) = Random(5), datetime.now(UTC), PROJECTS
    events = made(EVENTS, rng)
    updates = [user_update(rng, project.project_id, person(rng), now) for _ in range(UPDATES)]
    cohorts = [cohort_message(rng, one, now, 20) for one in COHORTS]
    puts = ((str(n), encode(one)) for n, one in enumerate([*events, *updates, *cohorts]))
    assert sum(Stream(settings.stream_address).put(puts)) == EVENTS + UPDATES + len(COHORTS)
    create_tables(Lake(settings.lake_address), EXPORT_COLUMNS)
    Stream(settings.export_stream_address).create(1)
    stack.start_redeliver()
    stack.start_intake()
    refused = request("POST", f"http://127.0.0.1:{settings.intake.port}/v1/batch", retries=False)
    assert refused.status == 401  # without an access key
    stack.start_watch()
    wait_until(lambda: answers(f"http://127.0.0.1:{stack.ports.watch}/health"), 60)
    return stack


def made(events: int, rng: Random, project_id: int = PROJECTS[0].project_id) -> list[Record]:
    """So many new events, uploaded now."""
    return [make_event(rng, n, project_id, person(rng), datetime.now(UTC)) for n in range(events)]


@pytest.fixture(scope="module")
def prometheus(fed: Stack) -> str:
    address = fed.start_prometheus("1s")
    if address is None:
        pytest.skip("Prometheus is not installed: make monitoring-test unpacks Debian's package")
    return address


def test_the_running_job_has_every_documented_metric_with_these_labels(fed: Stack) -> None:
    ours = {name for name in documented() if name.startswith("flink")} - of_the_way_back()
    wanted = {name: {frozenset(documented()[name].labels)} for name in ours}

    def missing() -> set[str]:
        return wanted.keys() - served(fed)

    wait_until(lambda: not missing(), 120, missing, pause=1)
    assert {name: labels for name, labels in served(fed).items() if name in wanted} == wanted


def served(stack: Stack) -> dict[str, set[frozenset[str]]]:
    """By metric that the processes of a stack serve: the sets of labels that it has."""
    found: dict[str, set[frozenset[str]]] = {}
    flink = [reporter_port(stack.folder / "log" / f"{name}.log") for name in ("jobmanager", "taskmanager-1")]
    for port in [*flink, stack.ports.watch]:
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=scaled(10)) as answer:
            for family in text_string_to_metric_families(answer.read().decode()):
                for sample in family.samples:
                    found.setdefault(sample.name, set()).add(frozenset(sample.labels))
    return found


def test_prometheus_evaluates_every_rule_on_data_and_no_alert_is_raised(prometheus: str) -> None:
    wait_until(lambda: not silent(prometheus, ASKED), 90, lambda: silent(prometheus, ASKED), pause=1)
    evaluated = [rule for group in asked(prometheus, "rules")["groups"] for rule in group["rules"]]
    assert {rule["name"]: rule["health"] for rule in evaluated} == dict.fromkeys(RULES, "ok")
    wait_until(lambda: not raised(prometheus), 60, lambda: raised(prometheus), pause=1)


def test_each_panel_of_the_dashboard_has_data(prometheus: str, stack: Stack, job: str) -> None:
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    queries = {
        f"{panel['title']}, {target['legendFormat']}": target["expr"].replace("$__rate_interval", "1m")
        for panel in panels
        for target in panel.get("targets", ())
        if panel["title"] not in NOTHING
    }

    def empty() -> list[str]:
        return [name for name, query in queries.items() if not numbers(prometheus, query)]

    wait_until(lambda: not empty(), 90, empty, pause=1)
    tasks = {one["name"].partition(" -> ")[0] for one in stack.rest(f"/jobs/{job}")["vertices"]}
    (busy,) = (query for name, query in queries.items() if name.startswith("Busy"))
    assert {one["metric"]["operator_name"] for one in vector(prometheus, busy)} == tasks


def numbers(prometheus: str, query: str) -> list[float]:
    """The values that a query finds; a task that cannot tell how busy it is has NaN."""
    found = (float(one["value"][1]) for one in vector(prometheus, query))
    return [one for one in found if isfinite(one)]


def silent(prometheus: str, expressions: Mapping[str, str]) -> list[str]:
    """The expressions that find no series to compare; an alert on what is absent is asked for what is there."""
    return [name for name, one in expressions.items() if not vector(prometheus, compared(one))]


def compared(expression: str) -> str:
    """The same comparison with an answer for each series: 0 where the alert's has none."""
    inner = re.sub(r"^absent\((.*)\)$", r"\1", expression.strip())
    return re.sub(r" ([<>]=?|==) (?!bool)", r" \1 bool ", inner)


def vector(prometheus: str, query: str) -> list[Any]:
    found: list[Any] = asked(prometheus, "query", query=query)["result"]
    return found


def raised(prometheus: str) -> dict[str, str]:
    return {one["labels"]["alertname"]: one["state"] for one in asked(prometheus, "alerts")["alerts"]}


def asked(prometheus: str, what: str, **parameters: str) -> Any:
    address = f"{prometheus}/api/v1/{what}?{urlencode(parameters)}"
    with urlopen(address, timeout=scaled(10)) as answer:  # noqa: S310  our own http://127.0.0.1 address
        return json.load(answer)["data"]


def test_no_project_has_stopped(stack: Stack) -> None:
    said = CliRunner().invoke(commands, ["diagnose", "--config", str(stack.settings_path)], catch_exceptions=False)
    assert said.stdout == "no project that used to send has stopped\n"


def test_requests_that_dynamodb_throttles_are_counted(prometheus: str, settings: Settings, proxy: Proxy) -> None:
    proxy.fail("throttled", 0.2)
    query = "sum(flink_taskmanager_job_task_operator_throttled_requests) > 0"
    stream, rng = Stream(settings.stream_address), Random(7)

    def counted() -> bool:
        stream.put_one("a", encode(made(1, rng)[0]))
        return bool(vector(prometheus, query))

    wait_until(counted, 90, lambda: vector(prometheus, query), pause=1)
    proxy.mend()


def test_an_unknown_project_a_watch_and_a_job_that_are_gone_raise_their_alerts(
    prometheus: str, stack: Stack, settings: Settings, job: str
) -> None:
    """Behind the tests above."""
    (event,) = made(1, Random(6), UNKNOWN_APP)
    Stream(settings.stream_address).put_one("a", encode(event))
    wait_until(lambda: "RecordsQuarantined" in raised(prometheus), 60, lambda: raised(prometheus), pause=1)
    stack.kill_watch()
    stack.flink.cancel(job)
    gone = {"WatchGone", "JobNotRunning"}
    wait_until(lambda: gone <= raised(prometheus).keys(), 60, lambda: raised(prometheus), pause=1)
