"""deploy/monitoring against the configuration, the documented metrics and the symptoms that alerts lead to."""

import re
import zipfile

from jobs.ingest import submit
from ops.release import flink_home
from tests.cases import each
from tests.documents import document
from tests.metrics import ROOT, documented

CONFIG: dict[str, str] = document("flink-conf/config.yaml")
SCRAPING = document("deploy/monitoring/prometheus.yml")
GROUPS = document("deploy/monitoring/alerts.yml")["groups"]
RULES = {rule["alert"]: rule for group in GROUPS for rule in group["rules"]}
TESTS = document("deploy/monitoring/alerts_test.yml")["tests"]
PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
RUNBOOK = "{{ $externalLabels.docs }}/operations.md#"


def test_the_distribution_has_the_reporter() -> None:
    assert CONFIG["metrics.reporters"] == "prom"
    factory = CONFIG["metrics.reporter.prom.factory.class"]
    assert "plugins" in flink_home.COPIED
    (jar,) = (flink_home._pyflink() / "plugins" / "metrics-prometheus").glob("*.jar")
    with zipfile.ZipFile(jar) as classes:
        assert f"{factory.replace('.', '/')}.class" in classes.namelist()


def test_what_changes_with_each_start_is_no_label() -> None:
    excluded = set(CONFIG["metrics.reporter.prom.scope.variables.excludes"].split(";"))
    assert excluded == {"host", "tm_id", "job_id", "task_attempt_id", "task_attempt_num", "task_name"}
    assert not excluded & set().union(*(metric.labels for metric in documented().values()))


def test_processes_on_one_machine_find_a_port_each() -> None:
    first, last = map(int, CONFIG["metrics.reporter.prom.port"].split("-"))
    assert last - first >= 40


def test_prometheus_reads_each_process_of_docker_compose() -> None:
    port = CONFIG["metrics.reporter.prom.port"].split("-")[0]
    services = document("docker-compose.yml")["services"]
    started = [name for name, one in services.items() if f"build/flink/bin/{name}.sh" in one.get("command", ())]
    watch = services["watch"]["command"][-1].rpartition(":")[2]
    assert {job["job_name"]: job["static_configs"][0]["targets"] for job in SCRAPING["scrape_configs"]} == {
        "flink": [f"{name}:{port}" for name in started],
        "usage-watch": [f"watch:{watch}"],
        "redeliver": ["redeliver:9247"],  # beside an export job, which docker compose has none of
        "intake": [f"intake:{services['intake']['ports'][0].rpartition(':')[2]}"],
    }
    assert SCRAPING["rule_files"] == ["alerts.yml"]


@each("name", RULES)
def test_an_alert_asks_for_metrics_that_are_documented(name: str) -> None:
    asked = set(re.findall(r"\b(?:flink|usage_watch|redeliver|intake)_\w+", RULES[name]["expr"]))
    assert asked or "up{" in RULES[name]["expr"]
    assert asked <= documented().keys()


def test_the_job_that_must_run_is_ours() -> None:
    assert f'{{job_name=~"{submit.NAME.replace("-", ".")}"}} > 0' in RULES["JobNotRunning"]["expr"]


@each("name", RULES)
def test_an_alert_leads_to_a_symptom(name: str) -> None:
    symptoms = re.findall(r"^### (.+)$", PAGE.partition("\n## Symptoms\n")[2], re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", symptom.lower()).replace(" ", "-") for symptom in symptoms}
    assert RULES[name]["annotations"].keys() == {"summary", "runbook_url"}
    assert RULES[name]["annotations"]["runbook_url"].removeprefix(RUNBOOK) in anchors
    assert "docs" in SCRAPING["global"]["external_labels"]


@each("name", RULES)
def test_an_alert_says_in_two_sentences_what_is_wrong_and_what_to_do(name: str) -> None:
    assert re.fullmatch(r"\S.+?\S\. \S.+\.", RULES[name]["annotations"]["summary"])


def test_the_page_lists_every_alert_and_no_other() -> None:
    listed = re.findall(r"^\| `(\w+)` \| (\w+) \| .+ \| \[[^]]+\]\(#([^)]+)\) \|$", PAGE, re.MULTILINE)
    assert [tuple(row) for row in listed] == [
        (name, rule["labels"]["severity"], rule["annotations"]["runbook_url"].removeprefix(RUNBOOK))
        for name, rule in RULES.items()
    ]
    assert {severity for _, severity, _ in listed} == {"page", "ticket"}


@each("name", RULES)
def test_an_alert_is_shown_firing_and_not(name: str) -> None:
    shown = [check for test in TESTS for check in test["alert_rule_test"] if check["alertname"] == name]
    assert {bool(check["exp_alerts"]) for check in shown} == {True, False}
