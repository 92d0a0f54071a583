"""The IAM templates against the code: each role may make the calls that its programs make, and no other.

The calls are read out of the sources, see `tests.aws_calls`.
"""

import ast
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.aws_calls import STORES, Grant, nodes, used
from tests.cases import each

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = {path.name: json.loads(path.read_text("utf-8")) for path in sorted((ROOT / "deploy/iam").iterdir())}


def modules(*patterns: str) -> list[Path]:
    return [path for pattern in patterns for path in sorted(ROOT.glob(pattern))]


def imports(path: Path) -> Iterator[tuple[str, list[str]]]:
    """The modules of ops that a module imports from, and what."""
    for node in nodes(path.read_text("utf-8")):
        match node:
            case ast.ImportFrom(module=str(module), names=names) if module.startswith("ops."):
                yield module, [one.name for one in names]


def reached(*paths: Path) -> list[Path]:
    """These modules with all rooms of ops behind them, as their imports say."""
    found, left = set[Path](), [*paths]
    while left:
        found.add(one := left.pop())
        for module, names in imports(one):
            files = [ROOT / f"{name.replace('.', '/')}.py" for name in (module, *(f"{module}.{n}" for n in names))]
            left += [file for file in files if file.is_file() and file not in found]
    return sorted(found)


MODULES = {
    "taskmanager": modules("udfs/**/*.py", "stores/registry.py", "stores/outgoing.py", "stores/routes.py"),
    "client": modules("jobs/**/*.py", "ops/maintenance/rewind.py", "ops/cli/submit.py"),
    "watch": modules("ops/metering/*.py"),
    "erase": modules(
        *("ops/maintenance/eras*.py", "ops/maintenance/leader.py", "ops/answers/erasures.py", "ops/cli/erase.py")
    ),
    "maintenance": modules("ops/maintenance/keep*.py", "ops/maintenance/settled.py", "ops/maintenance/leader.py"),
    "redeliver": modules("ops/maintenance/redeliver.py", "ops/maintenance/leader.py"),
    "intake": modules("ops/intake/*.py"),
}
ELSEWHERE = {path for role in MODULES.values() for path in role} | {*modules("ops/console/**/*.py")}
MODULES["console"] = reached(*modules("ops/console/**/*.py"))
MODULES["sender"] = modules("ops/answers/amplitude_profiles.py")  # `amplitude-profile` asks by it as well
MODULES["operator"] = [path for path in modules("ops/**/*.py") if path not in ELSEWHERE]
USED = {role: set().union(*(used(path.read_text("utf-8")) for path in MODULES[role])) for role in MODULES}
ONLY_LOCAL = {("Stream", method) for method in ("create", "put", "split", "merge", "wait_until_active")}
ONLY_LOCAL |= {("Profiles", "users")}

# FlinkKinesisConsumer 4.3 by polling, as its byte code has it; it asks for the stream's ARN
CONNECTOR = ("DescribeStream", "GetRecords", "GetShardIterator", "ListShards")


def needed(role: str) -> set[Grant]:
    """What a role's programs ask of the stream and the tables."""
    asked = set().union(*(STORES[store][method] for store, method in USED.get(role, ())))
    return asked | {(f"kinesis:{action}", "stream") for action in CONNECTOR if role == "taskmanager"}


# --- The templates --------------------------------------------------------------------------------------------

ARN = {
    "stream": r"arn:aws:kinesis:\$\{REGION\}:\$\{ACCOUNT\}:stream/\$\{(?:EXPORT_)?STREAM\}",
    "table": r"arn:aws:dynamodb:\$\{REGION\}:\$\{ACCOUNT\}:table/\$\{TABLE_PREFIX\}([a-z_]+)",
    "bucket": r"arn:aws:s3:::\$\{BUCKET\}",
    "objects": r"arn:aws:s3:::\$\{BUCKET\}/(warehouse|checkpoints|savepoints|exports)/\*",
    "key": r"arn:aws:kms:\$\{REGION\}:\$\{ACCOUNT\}:key/\$\{SEAL_KEY_ID\}",
    "role": r"arn:aws:iam::\$\{ACCOUNT\}:role/\$\{AMPLITUDE_ROLE\}",
}
PLACEHOLDERS = {
    "ACCOUNT",
    "REGION",
    "STREAM",
    "EXPORT_STREAM",
    "TABLE_PREFIX",
    "BUCKET",
    "AMPLITUDE_ROLE",
    "SEAL_KEY_ID",
}
SERVICES = {"stream": "kinesis", "table": "dynamodb", "bucket": "s3", "objects": "s3", "role": "iam", "key": "kms"}


def faults(policy: dict[str, Any]) -> list[str]:
    """Why a policy must not be handed out: whatever is not a list of plain actions on resources of ours."""
    found = [] if policy.keys() == {"Version", "Statement"} and policy["Version"] == "2012-10-17" else ["form"]
    for one in policy["Statement"]:
        if one.keys() != {"Sid", "Effect", "Action", "Resource"} or one["Effect"] != "Allow":
            found.append(f"{one.get('Sid')}: form")
            continue
        kinds = {kind for arn in one["Resource"] for kind in ARN if re.fullmatch(ARN[kind], arn)}
        unknown = [arn for arn in one["Resource"] if not any(re.fullmatch(form, arn) for form in ARN.values())]
        found += [f"{one['Sid']}: resource {arn}" for arn in unknown]
        right = [action for action in one["Action"] if re.fullmatch(r"[a-z0-9]+:[A-Z]\w+", action)]
        if right != one["Action"] or {action.split(":")[0] for action in right} != {SERVICES[k] for k in kinds}:
            found.append(f"{one['Sid']}: action")
    return found


def allowed(policy: dict[str, Any], *kinds: str) -> set[Grant]:
    """(action, resource) for the resources of these kinds: the part of the ARN that varies, or the kind."""
    return {
        (action, (match.groups() or (kind,))[0])
        for one in policy["Statement"]
        for kind in kinds
        for arn in one["Resource"]
        if (match := re.fullmatch(ARN[kind], arn))
        for action in one["Action"]
    }


POLICIES = {name.removesuffix(".policy.json"): t for name, t in TEMPLATES.items() if name.endswith(".policy.json")}
ROLES = [role for role in POLICIES if role != "amplitude"]

WRITE = {"s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"}
CHECKPOINTS = dict.fromkeys(("checkpoints", "savepoints"), WRITE)
# read off what the programs do; no call of the JVM or of Arrow is checked
OBJECTS = {
    "jobmanager": CHECKPOINTS,
    "taskmanager": {**CHECKPOINTS, "warehouse": WRITE},
    "client": {**{key: {"s3:GetObject"} for key in CHECKPOINTS}, "warehouse": WRITE - {"s3:DeleteObject"}},
    "watch": {"warehouse": {"s3:GetObject"}},
    "redeliver": {"warehouse": {"s3:GetObject"}},
    "sender": {},
    "intake": {},
    "console": {"warehouse": {"s3:GetObject"}},
    "maintenance": {**{key: {"s3:GetObject"} for key in CHECKPOINTS}, "warehouse": WRITE},
    "operator": {key: {"s3:GetObject"} for key in ("warehouse", "exports")},
    "erase": {"warehouse": WRITE},
}


@each("role", POLICIES)
def test_a_policy_has_no_wildcard_and_no_resource_of_others(role: str) -> None:
    assert faults(POLICIES[role]) == []


@each("role", ROLES)
def test_a_role_may_call_what_its_programs_call_and_nothing_else(role: str) -> None:
    assert allowed(POLICIES[role], "stream", "table", "key") == needed(role)


@each("role", ROLES)
def test_a_role_reaches_the_objects_that_it_reads_or_writes(role: str) -> None:
    objects = {(action, prefix) for prefix, actions in OBJECTS[role].items() for action in actions}
    assert allowed(POLICIES[role], "objects") == objects
    assert allowed(POLICIES[role], "bucket") == ({("s3:ListBucket", "bucket")} if objects else set())


def test_every_method_that_asks_something_of_aws_belongs_to_a_role() -> None:
    asking = {(name, method) for name, one in STORES.items() for method, asks in one.items() if asks}
    unused = asking - set().union(*USED.values())
    assert {(store, method) for store, method in unused if not method.startswith("_")} <= ONLY_LOCAL


def test_amplitude_may_put_records_and_no_other_account() -> None:
    # docs/amplitude.md §1.1: this account, these three actions, and no external id
    (trust,) = TEMPLATES["amplitude.trust.json"]["Statement"]
    assert trust["Principal"] == {"AWS": "arn:aws:iam::358203115967:root"}
    assert (trust["Effect"], trust["Action"], "Condition" in trust) == ("Allow", "sts:AssumeRole", False)
    puts = {("kinesis:PutRecord", "stream"), ("kinesis:PutRecords", "stream")}
    assert allowed(POLICIES["amplitude"], *ARN) == puts | {("iam:SimulatePrincipalPolicy", "role")}


def test_an_operator_and_the_console_may_look_at_amplitudes_role_and_at_no_other() -> None:
    looks = {("iam:GetRole", "role"), ("iam:SimulatePrincipalPolicy", "role")}
    assert {role: found for role in ROLES if (found := allowed(POLICIES[role], "role"))} == dict.fromkeys(
        ("console", "operator"), looks
    )


def test_the_jobs_roles_are_for_containers_of_this_account() -> None:
    (trust,) = TEMPLATES["job.trust.json"]["Statement"]
    assert trust["Principal"] == {"Service": "ecs-tasks.amazonaws.com"}
    assert trust["Condition"] == {"StringEquals": {"aws:SourceAccount": "${ACCOUNT}"}}


def test_the_page_names_every_template_and_every_placeholder() -> None:
    page = (ROOT / "docs/security.md").read_text(encoding="utf-8")
    assert [name for name in TEMPLATES if name.split(".")[0] not in page] == []
    assert set(re.findall(r"\$\{(\w+)\}", json.dumps(TEMPLATES))) == PLACEHOLDERS
    assert [name for name in PLACEHOLDERS if name not in page] == []


WRONG: dict[str, Callable[[dict[str, Any]], None]] = {
    "all actions": lambda one: one.update(Action=["dynamodb:*"]),
    "actions by prefix": lambda one: one.update(Action=["dynamodb:Put*"]),
    "all but": lambda one: one.update(NotAction=one.pop("Action")),
    "any resource": lambda one: one.update(Resource=["*"]),
    "any table": lambda one: one.update(Resource=["arn:aws:dynamodb:${REGION}:${ACCOUNT}:table/*"]),
    "a table of every region": lambda one: one.update(Resource=["arn:aws:dynamodb:*:*:table/usage"]),
    "a placeholder of no meaning": lambda one: one.update(Resource=["arn:aws:s3:::${BUKCET}"]),
    "actions of another service": lambda one: one.update(Action=["s3:GetObject"]),
    "anybody": lambda one: one.update(Principal="*"),
}


@each("change", WRONG.values(), ids=WRONG)
def test_a_wrong_policy_is_noticed(change: Callable[[dict[str, Any]], None]) -> None:
    policy = json.loads(json.dumps(POLICIES["taskmanager"]))
    change(next(one for one in policy["Statement"] if one["Sid"] == "RaiseUsage"))
    assert faults(policy)


def test_a_call_that_is_not_allowed_and_a_needless_one_are_noticed() -> None:
    policy = json.loads(json.dumps(POLICIES["taskmanager"]))
    next(one for one in policy["Statement"] if one["Sid"] == "RaiseUsage")["Action"] = ["dynamodb:PutItem"]
    wrong = allowed(policy, "stream", "table", "key") ^ needed("taskmanager")
    actions = ("PartiQLInsert", "PartiQLUpdate", "UpdateItem", "PutItem")
    assert wrong == {(f"dynamodb:{action}", "usage") for action in actions}
