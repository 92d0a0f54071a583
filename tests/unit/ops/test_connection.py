"""What `test-connection` says of a role, and while it waits. IAM does not run here: answers are given."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ops.answers import connection
from ops.answers.connection import Connection, awaited, looked, role_step
from ops.answers.steps import Step
from ops.cli.times import as_seconds
from settings import parse
from stores import roles
from stores.errors import StoreError
from tests.builders import ARRIVAL
from tests.cases import each

ROOT = Path(__file__).resolve().parents[3]
ROLE, STREAM = "arn:aws:iam::1:role/amplitude", "arn:aws:kinesis:ap-northeast-2:1:stream/s"
TRUST = json.loads((ROOT / "deploy/iam/amplitude.trust.json").read_text(encoding="utf-8"))
POLICY = json.loads((ROOT / "deploy/iam/amplitude.policy.json").read_text(encoding="utf-8"))


class Iam:
    """What IAM answers about a role with this trust policy, that may do these actions."""

    def __init__(self, trust: Any, *allowed: str) -> None:
        self.trust, self.allowed = trust, allowed

    def get_role(self, *, RoleName: str) -> Any:  # noqa: N803  IAM's word
        assert RoleName == "amplitude"
        return {"Role": {"AssumeRolePolicyDocument": self.trust}}

    def simulate_principal_policy(self, **asked: Any) -> Any:
        assert asked["PolicySourceArn"] == ROLE
        (on,) = asked["ResourceArns"]
        assert {on} == {STREAM if name.startswith("kinesis") else ROLE for name in asked["ActionNames"]}
        decided = {True: "allowed", False: "implicitDeny"}
        results = [
            {"EvalActionName": name, "EvalDecision": decided[name in self.allowed]}
            for name in asked["ActionNames"]
        ]
        return {"EvaluationResults": results}


NEEDED = (*roles.ON_STREAM, *roles.ON_ITSELF)


def test_what_is_simulated_is_what_the_template_allows() -> None:
    assert [one["Action"] for one in POLICY["Statement"]] == [list(roles.ON_STREAM), list(roles.ON_ITSELF)]


def test_a_role_made_of_the_templates_is_well() -> None:
    assert role_step(Iam(TRUST, *NEEDED), ROLE, STREAM).state == "ok"


def test_a_role_that_may_not_put_is_named_with_what_it_lacks() -> None:
    assert role_step(Iam(TRUST, "kinesis:PutRecord", *roles.ON_ITSELF), ROLE, STREAM) == Step(
        *("role", "failed", f"{ROLE} may not do kinesis:PutRecords"),
        "give it the policy deploy/iam/amplitude.policy.json",
    )


WRONG: dict[str, Callable[[Any], None]] = {
    "another account": lambda one: one.update(Principal={"AWS": "arn:aws:iam::123456789012:root"}),
    "a service": lambda one: one.update(Principal={"Service": "ecs-tasks.amazonaws.com"}),
    "denied": lambda one: one.update(Effect="Deny"),
    "another action": lambda one: one.update(Action="sts:TagSession"),
    "an external id": lambda one: one.update(Condition={"StringEquals": {"sts:ExternalId": "x"}}),
}


@each("change", WRONG.values(), ids=WRONG)
def test_a_role_that_does_not_let_amplitude_in_is_named(change: Callable[[Any], None]) -> None:
    trust = json.loads(json.dumps(TRUST))
    change(trust["Statement"][0])
    assert role_step(Iam(trust, *NEEDED), ROLE, STREAM) == Step(
        *("role", "failed", f"{ROLE} does not let Amplitude's account 358203115967 in"),
        "give it the trust policy deploy/iam/amplitude.trust.json",
    )


def test_an_account_may_be_one_of_several() -> None:
    trust = json.loads(json.dumps(TRUST))
    trust["Statement"][0] |= {"Principal": {"AWS": ["1", "358203115967"]}, "Action": ["sts:AssumeRole"]}
    assert role_step(Iam(trust, *NEEDED), ROLE, STREAM).state == "ok"


def test_tables_that_are_away_for_a_moment_end_no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    locked, well = StoreError("database is locked"), Step("arrival", "ok", "x")
    answers = iter([locked, None, locked, well])

    def arrival(*_: object) -> Step | None:
        answer = next(answers)
        if isinstance(answer, StoreError):
            raise answer
        return answer

    monkeypatch.setattr(connection, "arrival", arrival)
    monkeypatch.setattr(connection, "_PAUSE", 0.0)
    settings = parse({"lake": {"catalog_uri": "sqlite:////n/c.db", "warehouse": "file:///n"}}, "t")
    assert awaited(settings, Connection(1, ()), ARRIVAL, 60) == well


def test_tables_that_stay_away_end_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_PAUSE", 0.02)
    lake = {"catalog_uri": f"sqlite:///{tmp_path}/none/catalog.db", "warehouse": f"file://{tmp_path}/none"}
    found = awaited(parse({"lake": lake}, "t"), Connection(1, ()), ARRIVAL, 0.03)
    assert found.state == "failed"
    assert found.words.startswith("cannot be looked at: Iceberg catalog sqlite:")


@each(
    ("arrived", "failed", "ago", "state"),
    [
        (None, False, 299, None),
        (None, False, 300, "failed"),
        (None, True, 0, "not checked"),
        (Step("arrival", "ok", "x"), True, 999, "ok"),
        (StoreError("locked"), False, 0, "failed"),
    ],
)
def test_a_look_ends_a_test_once_it_is_over(
    monkeypatch: pytest.MonkeyPatch, arrived: Step | StoreError | None, failed: bool, ago: int, state: str | None
) -> None:
    def arrival(*_: object) -> Step | None:
        if isinstance(arrived, StoreError):
            raise arrived
        return arrived

    monkeypatch.setattr(connection, "arrival", arrival)
    settings = parse({"lake": {"catalog_uri": "sqlite:////n/c.db", "warehouse": "file:///n"}}, "t")
    found = Connection(1, (Step("job", "failed" if failed else "ok", "x"),))
    last = looked(settings, found, datetime.now(UTC) - timedelta(seconds=ago), 300)
    assert (last and last.state) == state


def test_an_answer_is_plain_data() -> None:
    step = Step("stream", "failed", "is DELETING", "create it anew")
    assert Connection(1, (step,)).described() == {
        "project_id": 1,
        "steps": ({"name": "stream", "state": "failed", "words": "is DELETING", "fix": "create it anew"},),
        "failed": True,
    }


@each(("text", "seconds"), [("0", 0), ("30s", 30), ("5m", 300), ("1h", 3600), ("90d", 7_776_000)])
def test_a_span_is_read(text: str, seconds: int) -> None:
    assert as_seconds(text) == seconds
