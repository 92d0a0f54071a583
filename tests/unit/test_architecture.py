"""The separation of docs/architecture.md as prohibitions, checked over the imports of every Python file.

A rule that never fires proves nothing: each one is also shown a source that breaks it.
"""

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterable, Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from itertools import chain
from pathlib import Path, PurePosixPath

import pytest
from pydantic import BaseModel

import settings
from tests.aws_calls import nodes, parsed
from tests.cases import each

ROOT = Path(__file__).resolve().parents[2]

# The only modules of udfs that may reach the stores: they write what the job has decided.
SINK_WRITERS = ("write_usage.py", "write_profiles.py", "write_members.py", "write_events.py")
# The only modules of udfs that know Flink and Arrow; each is a thin adapter around rules in the others.
OPERATORS = ("functions.py", *SINK_WRITERS)

SDKS = ("boto3", "botocore", "pyiceberg")
NETWORK = ("urllib3", "cryptography")
OURS = {"errors", "settings", "jobs", "udfs", "stores", "ops", "lab"}
ENGINE = ("pyflink", "pandas", "pyarrow")
SCREEN = ("click", "rich", "flask", "jinja2")
WEB = ("starlette", "uvicorn")
ROOMS = {
    "ops/answers": ("ops.answers",),
    "ops/metering": ("ops.answers", "ops.metering"),
    "ops/maintenance": ("ops.answers", "ops.maintenance"),
    "ops/release": ("ops.release",),
    "ops/intake": ("ops.intake",),
    "ops/console": ("ops.answers", "ops.metering", "ops.maintenance", "ops.console"),
    "ops/cli": ("ops",),
}
"""By room of ops: the rooms that it may enter."""
LAB = ("lab/stack", "lab/sample", "lab/proofs", "lab/bench")
"""Each room of the laboratory knows those before it; `lab/run.py` and `lab/way_back.py` know the first three."""
JOBS = {"jobs.ingest", "jobs.export"}


def project_files() -> list[PurePosixPath]:
    """Every file that is tracked or would be by `git add .`, relative to the root."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return [PurePosixPath(name) for name in sorted(set(listed.split("\0")) - {""}) if (ROOT / name).is_file()]


FILES = project_files()
SHIPPED_OR_LAB = [path for path in FILES if path.suffix == ".py" and path.parts[0] != "tests"]


def statements(node: ast.AST) -> Iterator[ast.AST]:
    """All statements within a node: a tenth of what its tree consists of."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt | ast.ExceptHandler | ast.match_case):
            yield child
            yield from statements(child)


@cache
def imported(source: str, path: PurePosixPath) -> list[tuple[int, str]]:
    """(line, dotted name) of each thing imported, `importlib.import_module("…")` included."""
    return list(_imported(source, path))


def _imported(source: str, path: PurePosixPath) -> Iterator[tuple[int, str]]:
    called = "import_module" in source or "__import__" in source
    for node in nodes(source) if called else statements(parsed(source)):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, alias.name) for alias in names)
            case ast.ImportFrom(module=module, names=names, level=level):
                base = [*path.parts[:-level]] if level else []
                base += module.split(".") if module else []
                yield from ((node.lineno, ".".join([*base, alias.name])) for alias in names)
            case ast.Call(
                func=ast.Attribute(attr="import_module") | ast.Name(id="import_module" | "__import__"),
                args=[ast.Constant(value=str(module)), *_],
            ):
                yield node.lineno, module


def source_of(path: PurePosixPath) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def within(name: str, packages: Iterable[str]) -> str | None:
    """Which of the packages a dotted name is in, if in any."""
    return next((one for one in packages if name == one or name.startswith(f"{one}.")), None)


def environment_reads(source: str) -> Iterator[int]:
    """Lines that use the process environment through `os`."""
    names = {"environ", "environb", "getenv", "getenvb", "putenv"}
    for node in nodes(source) if any(name in source for name in names) else ():
        match node:
            case ast.Attribute(value=ast.Name(id="os"), attr=attr) if attr in names:
                yield node.lineno
            case ast.ImportFrom(module="os", names=aliases) if names & {alias.name for alias in aliases}:
                yield node.lineno


Rules = Iterator[tuple[Iterable[str], str]]
"""Packages that a module may not import, and the remedy for whoever does."""


def prohibited(path: PurePosixPath) -> dict[str, str]:
    """The packages that the module may not import, each with the remedy; the first rule counts."""
    rules: dict[str, str] = {}
    if path.parts[0] != "tests":
        for packages, remedy in chain(
            of_all(path), of_base(path), of_jobs(path), of_workers(path), of_rooms(path)
        ):
            rules = dict.fromkeys(packages, remedy) | rules
    return rules


def of_all(path: PurePosixPath) -> Rules:
    folder, room = path.parts[0], "/".join(path.parts[:2])
    yield {"tests"}, "no product code imports the tests; move what is shared into the product"
    if folder != "lab":
        yield {"lab"}, "what is shipped knows no laboratory; move what is shared into ops"
    if folder != "jobs" and room != "lab/bench":  # a benchmark measures the graph itself
        yield {"jobs"}, "nobody imports jobs; move what is shared into udfs or stores"
    if folder != "stores":
        yield SDKS, "only stores/ imports an SDK; add the call you need to a module there"


def of_base(path: PurePosixPath) -> Rules:
    """What everybody imports."""
    match path.parts:
        case ("errors.py",):
            yield OURS, "errors.py imports nobody"
        case ("settings.py",):
            yield OURS - {"errors", "stores"}, "settings.py knows errors and the addresses of stores"
            yield ENGINE, "settings are read where there is no Flink, too"
        case ("stores", *_):
            yield {"udfs", "ops"}, "stores know tables, not rules: take plain values as arguments"
            yield {"settings"}, "stores are told their endpoint and names by the caller, as arguments"
            yield {"pyflink"}, "stores are used outside Flink too; keep the operator in udfs or jobs"


def of_jobs(path: PurePosixPath) -> Rules:
    if path.parts[0] == "jobs":
        yield {"ops"}, "a job is shipped to the cluster without ops; move what is shared into stores"
        yield (
            JOBS - {".".join(path.parts[:2])},
            "no job knows another, and what they share knows none",
        )


def of_workers(path: PurePosixPath) -> Rules:
    if path.parts[0] == "udfs":
        yield {"settings", "ops"}, "workers get single values: pass them to the operator's constructor"
        yield NETWORK, "rules reach nobody; a store does, and an operator is handed it"
        if path.name not in SINK_WRITERS:
            yield {"stores"}, "only SINK_WRITERS reach the stores; return the value and let a sink write it"
        if path.name not in OPERATORS:
            yield ENGINE, "rules are plain Python; keep Flink and Arrow in an operator (OPERATORS)"


def of_rooms(path: PurePosixPath) -> Rules:
    room = "/".join(path.parts[:2])
    if room in LAB:
        later = {one.replace("/", ".") for one in LAB[LAB.index(room) + 1 :]}
        yield later | {"lab.run", "lab.way_back"}, "a room of the laboratory knows those before it: turn the arrow"
    if room in ROOMS and room != "ops/cli":
        others = {one.replace("/", ".") for one in ROOMS} - {*ROOMS[room]}
        yield others, "answers serve every room, the command line none: turn the arrow"
        screens = {*SCREEN} - ({"jinja2"} if room == "ops/console" else set())
        yield screens, "only the faces know a screen; return a value and let a face show it"
    if room not in {"ops/intake", "ops/console"}:
        yield WEB, "only the intake and the console serve requests of strangers"


def may_use_environment(path: PurePosixPath) -> bool:
    """True for settings.py, and for what builds the environment of child processes."""
    return path == PurePosixPath("settings.py") or path.parts[0] in {"ops", "lab", "tests"}


def prints(source: str) -> Iterator[int]:
    """Lines that print."""
    for node in nodes(source):
        match node:
            case ast.Call(func=ast.Name(id="print")):
                yield node.lineno


def violations(path: PurePosixPath, source: str) -> list[str]:
    """One line for each import, environment read or print that the architecture forbids."""
    rules = prohibited(path)
    found = {
        f"{path}:{line} imports {package}: {rules[package]}"
        for line, module in imported(source, path)
        if (package := within(module, rules))
    }
    if not may_use_environment(path):
        found |= {
            f"{path}:{line} reads the environment: make it a setting and pass the value"
            for line in environment_reads(source)
        }
    if path.parts[:2] == ("ops", "answers"):
        found |= {f"{path}:{line} prints: return a value and let a face print it" for line in prints(source)}
    return sorted(found)


def test_imports_point_one_way() -> None:
    found = [one for path in SHIPPED_OR_LAB for one in violations(path, source_of(path))]
    assert not found, "\n".join(found)


FORBIDDEN = [
    ("lab/sample/worst.py", "from lab.proofs.verdict import Difference"),
    ("lab/proofs/soak.py", "from lab import run"),
    ("errors.py", "import settings"),
    ("settings.py", "from udfs import model"),
    ("settings.py", "import pyflink"),
    ("jobs/sinks.py", "from ops.answers import ledger"),
    ("jobs/sinks.py", "from jobs.ingest import graph"),
    ("jobs/export/graph.py", "from jobs.ingest import gap"),
    ("udfs/decode.py", "import urllib3"),
    ("udfs/clock.py", "import jobs.topology"),
    ("udfs/clock.py", "from settings import Settings"),
    ("udfs/clock.py", "from ops import cli"),
    ("udfs/clock.py", "from stores.usage import Usage"),
    ("udfs/clock.py", "from pyflink.common import Types"),
    ("udfs/clock.py", "import pyarrow.compute as pc"),
    ("udfs/clock.py", "def late():\n    import pandas"),
    ("udfs/decode.py", "import stores.projects"),
    ("udfs/write_usage.py", "import boto3"),
    ("udfs/write_usage.py", "import settings"),
    ("stores/usage.py", "from udfs import model"),
    ("stores/usage.py", "import settings"),
    ("stores/usage.py", "import ops.cli"),
    ("stores/usage.py", "import pyflink"),
    ("stores/usage.py", "import jobs"),
    ("stores/usage.py", "import os\nos.environ['HOME']"),
    ("lab/stack/local.py", "import jobs.ingest"),
    ("lab/stack/local.py", "import importlib\nimportlib.import_module('jobs.ingest')"),
    ("lab/stack/local.py", "from tests.oracle import count"),
    ("lab/stack/local.py", "from pyiceberg.catalog import load_catalog"),
    ("lab/stack/local.py", "from ...jobs import ingest"),
    ("jobs/ingest/graph.py", "import botocore.session"),
    ("jobs/ingest/graph.py", "from os import getenv"),
    ("lab/run.py", "import jobs"),
    ("settings.py", "import boto3"),
    ("ops/cli/submit.py", "from lab.stack.local import Stack"),
    ("stores/usage.py", "import lab.sample.generator"),
    ("ops/answers/usage.py", "import click"),
    ("ops/answers/usage.py", "from rich.table import Table"),
    ("ops/answers/usage.py", "print(1)"),
    ("ops/answers/usage.py", "from ops.cli.terminal import cell"),
    ("ops/answers/usage.py", "from ops import metering"),
    ("ops/metering/watch.py", "from ops.maintenance import replay"),
    ("ops/maintenance/replay.py", "from rich.progress import Progress"),
    ("lab/stack/local.py", "import jobs.stages"),
    ("ops/answers/usage.py", "from starlette.requests import Request"),
    ("ops/intake/app.py", "import click"),
    ("ops/intake/app.py", "import boto3"),
    ("ops/intake/app.py", "from ops.answers import ledger"),
    ("ops/intake/app.py", "import jinja2"),
    ("ops/intake/app.py", "from ops.console import views"),
    ("ops/answers/usage.py", "from ops.console.asks import Ask"),
    ("ops/console/app.py", "from ops.cli.terminal import span"),
    ("ops/console/app.py", "from ops.intake import limits"),
    ("ops/console/pages/usage.py", "import boto3"),
    ("ops/console/pages/usage.py", "import click"),
]
ALLOWED = [
    ("jobs/ingest/graph.py", "import settings, udfs.model, stores.usage, pyflink\nfrom jobs.ingest import graph"),
    ("jobs/ingest/graph.py", "from . import topology\nfrom .sources import kinesis"),
    ("udfs/clock.py", "from . import model\nfrom udfs.model import Event\nimport msgspec"),
    ("udfs/functions.py", "import pyflink, pandas, pyarrow"),
    ("udfs/write_usage.py", "import pyflink\nfrom stores.usage import Usage"),
    ("stores/usage.py", "import boto3, botocore.config, pyiceberg, pyarrow\nfrom stores import projects"),
    ("lab/stack/local.py", "import os, settings, stores.usage, udfs.model\nos.environ.copy()"),
    ("settings.py", "import os\nos.getenv('X')"),
    (
        "ops/console/app.py",
        "import starlette, jinja2\nfrom ops.answers import ledger\nfrom ops.maintenance import replay",
    ),
    ("tests/e2e/test_ingest.py", "import os, boto3, pyiceberg, jobs.topology\nos.environ"),
]


@each(("path", "source"), FORBIDDEN)
def test_the_import_rules_notice_what_they_forbid(path: str, source: str) -> None:
    assert len(violations(PurePosixPath(path), source)) == 1


@each(("path", "source"), ALLOWED)
def test_the_import_rules_let_the_rest_pass(path: str, source: str) -> None:
    assert violations(PurePosixPath(path), source) == []


def dotted(path: PurePosixPath) -> str:
    """The name by which a module is imported."""
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def test_no_imports_go_round_in_a_circle() -> None:
    names = {dotted(path): path for path in SHIPPED_OR_LAB}
    graph = {
        name: {
            known
            for _, found in imported(source_of(path), path)
            for known in (found, found.rpartition(".")[0])
            if known in names and known != name
        }
        for name, path in names.items()
    }
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_a_circle_is_noticed() -> None:
    with pytest.raises(CycleError):
        TopologicalSorter({"jobs.a": {"jobs.b"}, "jobs.b": {"jobs.a"}}).prepare()


def is_picture_of_the_docs(path: PurePosixPath) -> bool:
    """Screenshots are the one binary that documentation needs."""
    return path.parts[0] == "docs" and path.suffix == ".png"


def test_no_binary_is_in_the_repository() -> None:
    binaries = [
        str(path)
        for path in FILES
        if path.suffix in {".jar", ".so", ".zip", ".pyc"}
        or (b"\0" in (ROOT / path).read_bytes() and not is_picture_of_the_docs(path))
    ]
    assert not binaries, f"fetch it in bootstrap.sh or add it to .gitignore: {', '.join(binaries)}"


def addresses(text: str) -> list[str]:
    """Web addresses in a text, without the XML namespaces of a `<project …>` tag."""
    return re.findall(r"https?://[^\s\"'<>]+", re.sub(r"<project\b[^>]*>", "", text))


@each("name", ["requirements.lock", "emulators/package-lock.json", "pom.xml"])
def test_locked_versions_name_no_host(name: str) -> None:
    found = addresses((ROOT / name).read_text(encoding="utf-8"))
    assert not found, f"{name}: versions and hashes only, the host is each machine's choice; remove {found[0]}"


def test_an_address_is_noticed_beside_the_xml_namespaces() -> None:
    text = '<project xmlns="http://namespace.example"><url>https://host.example/x</url></project>'
    assert addresses(text) == ["https://host.example/x"]


def keys_of_model() -> dict[str, bool]:
    """Each `section.key` of the settings, and whether it must be given."""
    return {
        f"{section}.{name}": field.is_required()
        for section, holder in settings.Settings.model_fields.items()
        if isinstance(holder.annotation, type) and issubclass(holder.annotation, BaseModel)
        for name, field in holder.annotation.model_fields.items()
    }


def keys_of_file(path: Path) -> set[str]:
    """Each `section.key` that a settings file names."""
    tree = tomllib.loads(path.read_text(encoding="utf-8"))
    return {f"{section}.{name}" for section, keys in tree.items() for name in keys}


@each("name", ["job.minimal.toml", "job.reference.toml", "job.compose.toml"])
def test_settings_file_loads(name: str) -> None:
    settings.load(ROOT / "flink-conf" / name)


def test_the_reference_names_every_setting() -> None:
    missing = keys_of_model().keys() - keys_of_file(ROOT / "flink-conf" / "job.reference.toml")
    assert not missing, f"add to flink-conf/job.reference.toml, with a comment: {', '.join(sorted(missing))}"


def test_the_minimal_file_names_what_has_no_default_and_nothing_else() -> None:
    required = {key for key, is_required in keys_of_model().items() if is_required}
    assert keys_of_file(ROOT / "flink-conf" / "job.minimal.toml") == required
