"""Modules that are named where no import fails when they move: in strings of tests, pages, commands, compose."""

import re
from pathlib import Path

from tests.cases import each

ROOT = Path(__file__).resolve().parents[2]
NAMES = re.compile(r"(?<![\w./-])(?:jobs|lab|ops|stores|udfs)(?:\.[A-Za-z_]\w*)+")
PLACES = (
    *("tests/**/*.py", "lab/**/*.py", "docs/**/*.md", "deploy/**/*.*ml", "flink-conf/*", ".ci/*"),
    *(
        "Makefile",
        "README.md",
        "CONTRIBUTING.md",
        "bootstrap.sh",
        "docker-compose.yml",
        "Dockerfile",
        "pyproject.toml",
    ),
)
INVENTED = {ROOT / "tests/unit/test_architecture.py", Path(__file__)}


def exists(name: str) -> bool:
    """Whether there is a package or module of this dotted name, or one that has what is named behind it."""
    at = ROOT
    first, *behind = name.split(".")
    while (at / first).is_dir():
        at /= first
        if not behind:
            return True
        first, *behind = behind
    module = at / f"{first}.py"
    if not module.is_file():
        module, behind = at / "__init__.py", [first]
    if not behind:
        return True
    return module.is_file() and re.search(rf"\b{behind[0]}\b", module.read_text(encoding="utf-8")) is not None


def test_each_module_that_is_named_in_text_exists() -> None:
    texts = {path for place in PLACES for path in ROOT.glob(place) if path.is_file()} - INVENTED
    named = {(name, path) for path in texts for name in NAMES.findall(path.read_text(encoding="utf-8"))}
    missing = {name for name in {name for name, _ in named} if not exists(name)}
    assert not [f"{path.relative_to(ROOT)}: {name}" for name, path in sorted(named) if name in missing]
    assert len(named) > 300


@each("name", ["lab.run", "jobs.ingest", "lab.proofs.upgrade.packaged", "ops.cli.usage.Lake"])
def test_a_module_and_what_is_in_it_are_found(name: str) -> None:
    assert exists(name)


@each("name", ["lab.walk", "ops.soak", "jobs.ingest.nobody", "lab.proofs.upgrade.nobody"])
def test_what_is_not_there_is_noticed(name: str) -> None:
    assert not exists(name)
