"""The role that Amplitude assumes, as IAM has it: who may assume it, and what it may do.

What it needs is in docs/amplitude.md §1.1; `deploy/iam/` has it as templates.
"""

from collections.abc import Mapping
from typing import Any, Final

from botocore.config import Config

from stores import aws
from stores.errors import explained

AMPLITUDE_ACCOUNTS: Final = ("358203115967", "202493300829")
"""The second one is probably that of EU customers (docs/amplitude.md §1.1)."""
ON_STREAM: Final = ("kinesis:PutRecord", "kinesis:PutRecords")
ON_ITSELF: Final = ("iam:SimulatePrincipalPolicy",)
_CONFIG: Final = Config(connect_timeout=3, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 2})


def client(region: str) -> Any:
    """A client of IAM."""
    return aws.client("iam", region, None, _CONFIG)


def trusts_amplitude(iam: Any, role: str) -> bool:
    """Whether a role, an ARN, may be assumed by an account of Amplitude's. Raises StoreError."""
    with explained(f"IAM role {role}", None):
        answer = iam.get_role(RoleName=role.rpartition("/")[2])
    statements: Any = answer["Role"]["AssumeRolePolicyDocument"]["Statement"]
    listed = statements if isinstance(statements, list) else [statements]
    return any(_lets_in(one) for one in listed)


def _lets_in(statement: Mapping[str, Any]) -> bool:
    """Whether a statement of a trust policy lets Amplitude in; one with a condition is not taken to do so."""
    principals = statement["Principal"].get("AWS", ()) if isinstance(statement["Principal"], dict) else ()
    named = [principals] if isinstance(principals, str) else principals
    actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
    ours = {form for one in AMPLITUDE_ACCOUNTS for form in (one, f"arn:aws:iam::{one}:root")}
    allowed = statement["Effect"] == "Allow" and "sts:AssumeRole" in actions and "Condition" not in statement
    return allowed and not ours.isdisjoint(named)


def refused(iam: Any, role: str, stream_arn: str) -> list[str]:
    """The actions that a role, an ARN, needs and may not do, by IAM's own simulation. Raises StoreError."""
    found: list[str] = []
    for actions, resource in ((ON_STREAM, stream_arn), (ON_ITSELF, role)):
        with explained(f"IAM role {role}", None):
            answer = iam.simulate_principal_policy(
                PolicySourceArn=role, ActionNames=list(actions), ResourceArns=[resource]
            )
        results = answer["EvaluationResults"]
        found += [one["EvalActionName"] for one in results if one["EvalDecision"] != "allowed"]
    return found
