"""The IAM templates against the code: each role may make the calls that its programs make, and no other.

The calls are read out of the sources: what each method of a store asks of AWS, and which methods a role's modules
use. Both readings are also shown sources that they must understand or refuse.
"""

import ast
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = {path.name: json.loads(path.read_text("utf-8")) for path in sorted((ROOT / "deploy/iam").iterdir())}

Grant = tuple[str, str]
"""An action and what it is allowed on: `stream` or the name of a table."""

STATEMENTS = {"dynamodb.insert(": "PartiQLInsert", 'UPDATE "': "PartiQLUpdate"}
"""What a module has that gives statements of this kind to batch_execute_statement."""
IN_TRANSACTIONS = {"Put": "PutItem", "Update": "UpdateItem", "Delete": "DeleteItem"}
WAITED_WITH = {"table_exists": "describe_table", "stream_exists": "describe_stream"}


def functions(tree: ast.AST) -> dict[str, ast.FunctionDef]:
    return {node.name: node for node in ast.iter_child_nodes(tree) if isinstance(node, ast.FunctionDef)}


def calls(tree: ast.AST, client: str) -> Iterator[tuple[str, ast.Call]]:
    """(name of the operation, the call with its arguments) of each call to `client`, its pages and waiters."""
    of_client = re.compile(rf"{re.escape(client)}(?:\.get_(?:paginator|waiter)\('(\w+)'\))?")
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            found = of_client.fullmatch(ast.unparse(node.func.value))
            if found and node.func.attr not in {"get_paginator", "get_waiter"}:
                name = found[1] or node.func.attr
                yield WAITED_WITH.get(name, name), node


_HELPERS = functions(ast.parse((ROOT / "stores/dynamodb.py").read_text("utf-8")))
_OWN = {name: {operation for operation, _ in calls(node, "client")} for name, node in _HELPERS.items()}
HELPERS = {
    name: _OWN[name].union(*(_OWN.get(one.id, set()) for one in ast.walk(node) if isinstance(one, ast.Name)))
    for name, node in _HELPERS.items()
}
"""The operations of each function of stores/dynamodb.py on the client that it is given, by way of others too."""


def grants(source: str, store: ast.ClassDef) -> dict[str, set[Grant]]:
    """What each method of a store may ask of AWS, by way of its other methods too."""
    constants = dict(re.findall(r'^(\w+): Final = "(\w+)"$', source, re.MULTILINE))
    found = re.findall(r"(self\.\w+) = address\.table\((\w+)\)", ast.unparse(store))
    tables = {attribute: constants[name] for attribute, name in found}
    statements = {action for mark, action in STATEMENTS.items() if mark in source}

    def on(place: ast.expr | None, operation: str) -> Iterator[Grant]:
        """An operation on the table that an expression names; where it names none, on any of the class."""
        named = tables.get(ast.unparse(place)) if place else None
        actions = statements if operation == "batch_execute_statement" else {camel(operation)}
        for table in [named] if named else tables.values():
            yield from ((f"dynamodb:{action}", table) for action in actions)

    def asked(method: ast.FunctionDef) -> Iterator[Grant]:
        for operation, call in calls(method, "self.client"):
            given = {word.arg: word.value for word in call.keywords}
            if not tables:
                yield f"kinesis:{camel(operation)}", "stream"
            elif operation != "transact_write_items":
                yield from on(given.get("TableName"), operation)
        for name, call in calls(method, "dynamodb"):
            for operation in HELPERS[name]:
                yield from on(call.args[1], operation)
        for node in ast.walk(method):
            match node:
                case ast.Dict(keys=[ast.Constant(value=kind)], values=[ast.Dict() as change]):
                    if place := re.search(r"'TableName': (self\.\w+)", ast.unparse(change)):
                        yield f"dynamodb:{IN_TRANSACTIONS[kind]}", tables[place[1]]

    methods = functions(store)
    found_in = {name: set(asked(method)) for name, method in methods.items()}
    for _ in methods:
        for name, method in methods.items():
            others = set(re.findall(r"self\.(\w+)", ast.unparse(method))) & methods.keys()
            found_in[name].update(*(found_in[other] for other in others))
    return found_in


def camel(operation: str) -> str:
    return "".join(map(str.capitalize, operation.split("_")))


def stores(source: str) -> dict[str, dict[str, set[Grant]]]:
    """The classes of a module that have a client."""
    found = [node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
    return {node.name: grants(source, node) for node in found if "self.client" in ast.unparse(node)}


STORES = {
    name: store
    for path in sorted((ROOT / "stores").glob("*.py"))
    for name, store in stores(path.read_text(encoding="utf-8")).items()
}

# --- Which of them a program uses -----------------------------------------------------------------------------


def used(source: str) -> set[tuple[str, str]]:
    """(class, method) of stores that a module uses; a name stands for the same class throughout the module."""
    tree = ast.parse(source)
    known: dict[str, set[str]] = defaultdict(set)

    def of(expression: ast.AST | None) -> set[str]:
        """The stores that an expression may be."""
        match expression:
            case ast.Name(id=name) | ast.Constant(value=str(name)) if name in STORES:
                return {name}
            case ast.Call(func=called):
                return of(called)
            case ast.Name() | ast.Attribute():
                return known[ast.unparse(expression)]
        return set()

    for node in sorted(ast.walk(tree), key=lambda node: getattr(node, "lineno", 0)):
        match node:
            case ast.FunctionDef(name=name, returns=returned):
                known[name] |= of(returned)
                for one in node.args.args:
                    known[one.arg] |= of(one.annotation)
            case ast.Assign(targets=[ast.Tuple(elts=targets)], value=ast.Tuple(elts=values)):
                for target, value in zip(targets, values, strict=True):
                    known[ast.unparse(target)] |= of(value)
            case ast.Assign(targets=[target], value=value):
                known[ast.unparse(target)] |= of(value)
            case ast.For(target=target, iter=ast.Tuple(elts=values)):
                known[ast.unparse(target)] |= set().union(*map(of, values))
    attributes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    return {(one, node.attr) for node in attributes for one in of(node.value) if node.attr in STORES[one]}


def modules(*patterns: str) -> list[Path]:
    return [path for pattern in patterns for path in sorted(ROOT.glob(pattern))]


MODULES = {
    "taskmanager": modules("udfs/*.py", "stores/registry.py"),
    "client": modules("jobs/**/*.py", "ops/cli/rewind.py", "ops/cli/submit.py"),
    "watch": modules("ops/metering/*.py"),
}
MODULES["operator"] = [path for path in modules("ops/**/*.py") if path not in MODULES["client"] + MODULES["watch"]]
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
    "stream": r"arn:aws:kinesis:\$\{REGION\}:\$\{ACCOUNT\}:stream/\$\{STREAM\}",
    "table": r"arn:aws:dynamodb:\$\{REGION\}:\$\{ACCOUNT\}:table/\$\{TABLE_PREFIX\}([a-z_]+)",
    "bucket": r"arn:aws:s3:::\$\{BUCKET\}",
    "objects": r"arn:aws:s3:::\$\{BUCKET\}/(warehouse|checkpoints|savepoints)/\*",
    "role": r"arn:aws:iam::\$\{ACCOUNT\}:role/\$\{AMPLITUDE_ROLE\}",
}
PLACEHOLDERS = {"ACCOUNT", "REGION", "STREAM", "TABLE_PREFIX", "BUCKET", "AMPLITUDE_ROLE"}
SERVICES = {"stream": "kinesis", "table": "dynamodb", "bucket": "s3", "objects": "s3", "role": "iam"}


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
    "operator": {"warehouse": {"s3:GetObject"}},
}


@pytest.mark.parametrize("role", POLICIES)
def test_a_policy_has_no_wildcard_and_no_resource_of_others(role: str) -> None:
    assert faults(POLICIES[role]) == []


@pytest.mark.parametrize("role", ROLES)
def test_a_role_may_call_what_its_programs_call_and_nothing_else(role: str) -> None:
    assert allowed(POLICIES[role], "stream", "table") == needed(role)


@pytest.mark.parametrize("role", ROLES)
def test_a_role_reaches_the_objects_that_it_reads_or_writes(role: str) -> None:
    objects = {(action, prefix) for prefix, actions in OBJECTS[role].items() for action in actions}
    assert allowed(POLICIES[role], "objects") == objects
    assert allowed(POLICIES[role], "bucket") == {("s3:ListBucket", "bucket")}


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


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG)
def test_a_wrong_policy_is_noticed(change: Callable[[dict[str, Any]], None]) -> None:
    policy = json.loads(json.dumps(POLICIES["taskmanager"]))
    change(next(one for one in policy["Statement"] if one["Sid"] == "RaiseUsage"))
    assert faults(policy)


def test_a_call_that_is_not_allowed_and_a_needless_one_are_noticed() -> None:
    policy = json.loads(json.dumps(POLICIES["taskmanager"]))
    next(one for one in policy["Statement"] if one["Sid"] == "RaiseUsage")["Action"] = ["dynamodb:PutItem"]
    wrong = allowed(policy, "stream", "table") ^ needed("taskmanager")
    actions = ("PartiQLInsert", "PartiQLUpdate", "UpdateItem", "PutItem")
    assert wrong == {(f"dynamodb:{action}", "usage") for action in actions}


SOURCE = """
TABLE: Final = "usage"
OTHER_TABLE: Final = "plans"
class New:
    def __init__(self, address):
        self.client = address.client()
        self.table = address.table(TABLE)
        self.other = address.table(OTHER_TABLE)
    def create(self):
        for table in (self.table, self.other):
            dynamodb.create_table(self.client, table, [])
    def read(self):
        return self.pool.map(self._read, [1])
    def _read(self, key):
        return self.client.get_paginator("scan").paginate(TableName=self.other)
    def write(self):
        self.client.transact_write_items(TransactItems=[{"Put": {"TableName": self.other, **more}}])
        dynamodb.refused(self.client, [f'UPDATE "{self.table}"'])
class Shards:
    def put(self):
        self.client.put_records(StreamName="stream")
"""


def test_calls_are_found_in_every_form() -> None:
    created = {(f"dynamodb:{verb}Table", table) for verb in ("Create", "Describe") for table in ("usage", "plans")}
    assert stores(SOURCE)["New"] == {
        "__init__": set(),
        "create": created,
        "read": {("dynamodb:Scan", "plans")},
        "_read": {("dynamodb:Scan", "plans")},
        # which table a statement is for is not read: any of the class
        "write": {("dynamodb:PutItem", "plans"), *(("dynamodb:PartiQLUpdate", one) for one in ("usage", "plans"))},
    }
    assert stores(SOURCE)["Shards"] == {"put": {("kinesis:PutRecords", "stream")}}


def test_uses_are_found_in_every_form() -> None:
    source = """
def registry() -> Projects: ...
def give(stream: Stream, *rest): stream.put([])
class Watch:
    def __init__(self): self.usage, n = UsageTable(1), 2
    def look(self): return self.usage.list(), registry().get(1), {}.get(2)
for kind in (Cohorts, Profiles): kind(1).create()
Alerts(1).pending()
"""
    found = {".".join(one) for one in used(source)}
    assert found == {
        *("Stream.put", "UsageTable.list", "Projects.get", "Cohorts.create", "Profiles.create", "Alerts.pending")
    }
