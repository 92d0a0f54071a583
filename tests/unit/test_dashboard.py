"""The dashboard for Grafana: its form, and that it asks the provisioned datasource for documented metrics.

That each query has an answer is shown by tests/e2e/test_metrics.py.
"""

import json
import re
from itertools import combinations
from typing import Any

from lab.stack.prometheus import DASHBOARD, MONITORING
from tests.cases import each
from tests.documents import document
from tests.metrics import ROOT, documented

BOARD = json.loads(DASHBOARD.read_text(encoding="utf-8"))
PANELS = [panel for panel in BOARD["panels"] if panel["type"] != "row"]
UNITS = {"none", "short", "cps", "reqps", "ms", "s", "bytes", "percentunit"}
HOME = "/opt/amplitude"


def provisioned(what: str) -> Any:
    (path,) = (MONITORING / "grafana" / "provisioning" / what).iterdir()
    return document(f"{path.relative_to(ROOT)}")


def test_the_datasource_is_the_one_that_is_provisioned() -> None:
    (source,) = provisioned("datasources")["datasources"]
    wanted = {"type": source["type"], "uid": source["uid"]}
    used = [one["datasource"] for panel in PANELS for one in (panel, *panel["targets"])]
    assert all(one == wanted for one in used)
    services = document("docker-compose.yml")["services"]
    host, port = source["url"].removeprefix("http://").split(":")
    assert services[host]["ports"][0].endswith(f":{port}")
    scraping = document("deploy/monitoring/prometheus.yml")
    assert source["jsonData"]["timeInterval"] == scraping["global"]["scrape_interval"]


def test_grafana_of_docker_compose_finds_the_dashboard() -> None:
    (provider,) = provisioned("dashboards")["providers"]
    assert provider["options"]["path"] == f"{HOME}/{DASHBOARD.parent.relative_to(ROOT)}"
    grafana = document("docker-compose.yml")["services"]["grafana"]
    provisioning = grafana["environment"]["GF_PATHS_PROVISIONING"]
    assert provisioning == f"{HOME}/{MONITORING.relative_to(ROOT)}/grafana/provisioning"


def test_panels_are_told_apart_and_do_not_overlap() -> None:
    ids = [panel["id"] for panel in BOARD["panels"]]
    assert len(set(ids)) == len(ids)
    titles = [panel["title"] for panel in PANELS]
    assert len(set(titles)) == len(titles)
    places = [panel["gridPos"] for panel in BOARD["panels"]]
    assert all(one["x"] + one["w"] <= 24 for one in places)
    for one, other in combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or above


@each("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_has_a_unit_and_asks_for_documented_metrics(panel: dict[str, Any]) -> None:
    assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
    letters = [target["refId"] for target in panel["targets"]]
    assert len(set(letters)) == len(letters)
    for target in panel["targets"]:
        asked = set(re.findall(r"\b(?:flink|usage_watch|redeliver)_\w+", re.sub(r'"[^"]*"', "", target["expr"])))
        assert asked or "ALERTS" in target["expr"] or "__name__=~" in target["expr"]
        assert asked <= documented().keys()
