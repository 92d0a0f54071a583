"""docker-compose.yml and Dockerfile against the local stack: the same commands, and nothing that cannot be."""

import ast
import importlib
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import settings
from lab.stack import emulators, local, machine
from lab.stack.local import INHERITED, Stack
from stores import cohorts, projects
from stores.errors import StoreError
from tests.cases import each
from tests.documents import document

ROOT = Path(__file__).resolve().parents[2]
HOME = "/opt/amplitude"
COMPOSE = document("docker-compose.yml")
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
FLINK = ("jobmanager", "taskmanager", "submit")
ONE_SHOT = {"setup", "submit", "sample", "bucket", "mac-keys", "console-login"}
EMULATOR_DUMMIES = {"local", "local-only", "http://local:local-only@objects:9000"}
BUILT = {service["image"] for service in SERVICES.values() if "build" in service}
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
CONFIG = settings.load(ROOT / "flink-conf" / "job.compose.toml")


class Recorded(Exception):  # noqa: N818  it ends a call once its command is known
    """The arguments of a call that would have started something."""


@pytest.fixture
def stack() -> Stack:
    return Stack("compose-test")


def spawned(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, service: str, start: str = ""
) -> tuple[list[str], dict[str, str]]:
    """The command and the extra environment of the process that the local stack starts for a service."""

    def record(
        name: str, command: Sequence[object], extra: Mapping[str, str] | None = None, *_: object, **__: object
    ):  # type: ignore[no-untyped-def]
        raise Recorded([str(part) for part in command], dict(extra or {}))

    monkeypatch.setattr(stack, "_spawn", record)
    with pytest.raises(Recorded) as recorded:
        getattr(stack, start or f"_start_{service}")()
    command, extra = recorded.value.args
    return command, extra


def submitted(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The arguments of Flink's CLI when the local stack submits the job."""

    def record(*args: object, **_: object) -> str:
        raise Recorded([str(arg) for arg in args])

    monkeypatch.setattr(stack.flink, "cli", record)
    monkeypatch.setattr(local.job_zip, "build", lambda root: root / "build" / "job.zip")
    with pytest.raises(Recorded) as recorded:
        stack.submit(Path("job.toml"))
    arguments: list[str] = recorded.value.args[0]
    return arguments


def options(command: Sequence[str]) -> dict[str, str]:
    """The Flink options in `-D key=value` pairs."""
    values = [value for flag, value in pairwise(command) if flag == "-D"]
    return dict(value.split("=", 1) for value in values)


def without_options(command: Sequence[str]) -> list[str]:
    """A command without its `-D key=value` pairs."""
    parts = iter(command)
    return [part for part in parts if part != "-D" or not next(parts)]


def relative(command: Sequence[str]) -> list[str]:
    """Paths below the project's folder as the image has them."""
    return [part.replace(str(ROOT), HOME) for part in command]


def by_flag(arguments: Sequence[str]) -> dict[str, str]:
    """`-flag value` pairs as a dictionary."""
    return {flag: value for flag, value in pairwise(arguments) if flag.startswith("-")}


@pytest.mark.parametrize("service", ["jobmanager", "taskmanager"])
def test_flink_runs_the_command_of_the_local_stack(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, service: str
) -> None:
    command, _ = spawned(stack, monkeypatch, service)
    here = SERVICES[service]["command"]
    assert [f"{HOME}/{here[0]}", *without_options(here)[1:]] == without_options(relative(command))
    assert ("taskmanager.resource-id" in options(here)) == ("taskmanager.resource-id" in options(command))


def test_the_job_is_submitted_as_the_local_stack_submits_it(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = submitted(stack, monkeypatch)
    here = without_options(SERVICES["submit"]["command"])
    assert here[:4] == ["build/flink/bin/flink", expected[0], "-m", "jobmanager:8081"]
    varies = {"-pyexec", "-pyclientexec", "--config"}
    found, wanted = by_flag(here[4:]), by_flag(relative(expected[1:]))
    assert list(found) == list(wanted)
    assert {k: v for k, v in found.items() if k not in varies} == {
        k: v for k, v in wanted.items() if k not in varies
    }
    assert found["-pyexec"] == found["-pyclientexec"] == f"{HOME}/.venv/bin/python"


def test_the_watch_runs_the_command_of_the_local_stack(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    command, _ = spawned(stack, monkeypatch, "watch", "start_watch")
    here, varies = (
        SERVICES["watch"]["command"],
        {"--config": "flink-conf/job.compose.toml", "--listen": "0.0.0.0:9248"},
    )
    assert [Path(here[0]).name, *here[1:]] == [
        Path(command[0]).name,
        *(varies.get(flag, part) for flag, part in pairwise(command)),
    ]


def test_the_intake_runs_the_command_of_its_image() -> None:
    assert SERVICES["intake"]["command"] == target_command("intake")
    assert SERVICES["mac-keys"]["command"][-1].endswith(f"> {CONFIG.intake.mac_keys_file})")
    assert f":{CONFIG.intake.port}" in SERVICES["intake"]["ports"][0]


def test_the_console_runs_the_command_of_its_image() -> None:
    assert SERVICES["console"]["command"] == target_command("console")
    assert f":{CONFIG.console.port}" in SERVICES["console"]["ports"][0]
    made = SERVICES["console-login"]["command"][-1]
    for file in (CONFIG.console.session_keys_file, CONFIG.console.accounts_file):
        assert Path(str(file)).parent == Path("/srv/amplitude")
        assert Path(str(file)).name in made


def test_dynamodb_runs_the_command_of_the_local_stack() -> None:
    command = [str(part) for part in emulators.dynamodb(ROOT, 8000).command]
    assert SERVICES["dynamodb"]["command"][1:] == relative(command)[1:]
    assert SERVICES["dynamodb"]["command"] == target_command("dynamodb")


def test_kinesis_runs_the_command_of_the_local_stack() -> None:
    emulator = emulators.kinesis(ROOT, 4567)
    assert SERVICES["kinesis"]["command"][1:] == emulator.command[1:]
    assert SERVICES["kinesis"]["command"] == target_command("kinesis")
    assert emulator.env.keys() <= SERVICES["kinesis"]["environment"].keys()
    assert f"WORKDIR {HOME}/{machine.KINESIS_LOCAL}\n" in stage("kinesis")


def stage(target: str) -> str:
    """The Dockerfile's lines of one stage."""
    found = re.search(rf"^FROM \S+ AS {target}\n(.*?)(?=^FROM |\Z)", DOCKERFILE, re.MULTILINE | re.DOTALL)
    assert found, f"Dockerfile has no stage {target}"
    return found[1]


def target_command(target: str) -> list[str]:
    """The command that an image of one stage runs by itself."""
    found = re.search(r"^CMD (\[.*?\])$", stage(target), re.MULTILINE | re.DOTALL)
    assert found, f"stage {target} has no CMD"
    command: list[str] = ast.literal_eval(found[1].replace("\\\n", ""))
    return command


def test_all_flink_services_have_the_same_options() -> None:
    alone = {"taskmanager.resource-id"}
    found = [{k: v for k, v in options(SERVICES[name]["command"]).items() if k not in alone} for name in FLINK]
    assert found[0] == found[1] == found[2]


def test_the_options_are_those_the_local_stack_gives_and_addresses(stack: Stack) -> None:
    local_only = {"jobmanager.rpc.port", "rest.port", "io.tmp.dirs"}  # ports and folders are each container's own
    given = options(SERVICES["jobmanager"]["command"])
    assert options(stack._dynamic()).keys() - local_only <= given.keys()
    conf = document("flink-conf/config.yaml")
    local_addresses = {key for key, value in conf.items() if value == "localhost"}
    assert local_addresses <= given.keys(), "an address in config.yaml is still this machine's"


@pytest.mark.parametrize("service", FLINK)
def test_flink_sees_the_environment_of_the_local_stack(stack: Stack, service: str) -> None:
    by_image = dict(re.findall(r"^\s*(?:ENV )?([A-Z_]+)=(\S+)", stage("product"), re.MULTILINE))
    here = by_image | SERVICES[service]["environment"]
    expected = {k: v for k, v in stack._environment(service).items() if k not in INHERITED}
    assert expected.keys() <= here.keys()
    for name in ("AWS_REGION", "AWS_CBOR_DISABLE", "CBOR_ENABLED", "MALLOC_ARENA_MAX"):
        assert here[name] == expected[name]


@each("name", SERVICES)
def test_a_service_tells_its_health_or_ends(name: str) -> None:
    assert ("healthcheck" in SERVICES[name]) != (name in ONE_SHOT)


@each("name", SERVICES)
def test_a_service_waits_for_what_it_can_wait_for(name: str) -> None:
    for other, wait in SERVICES[name].get("depends_on", {}).items():
        ends = other in ONE_SHOT
        assert wait["condition"] == ("service_completed_successfully" if ends else "service_healthy")


@each("name", SERVICES)
def test_no_secret_but_the_dummies_of_the_emulators(name: str) -> None:
    environment: dict[str, str] = SERVICES[name].get("environment", {})
    secret = re.compile(r"KEY|SECRET|PASSWORD|TOKEN|USER|MC_HOST", re.IGNORECASE)
    values = {value for key, value in environment.items() if secret.search(key)}
    assert values <= EMULATOR_DUMMIES
    assert not re.search(r"(?i)(secret|password|access.?key)\S*=", " ".join(map(str, SERVICES[name]["command"])))


@each("name", SERVICES)
def test_a_mount_is_a_volume_or_a_file_of_the_repository(name: str) -> None:
    for mount in SERVICES[name].get("volumes", []):
        source, target, *mode = mount.split(":")
        if source.startswith("."):
            assert (ROOT / source).exists()
            assert mode == ["ro"]
            assert target == f"{HOME}/{source.removeprefix('./')}"
        else:
            assert source in COMPOSE["volumes"]


@each("name", SERVICES)
def test_an_image_is_built_here_or_has_a_version(name: str) -> None:
    service = SERVICES[name]
    if "build" in service:
        assert stage(service["build"]["target"])
    elif service["image"] not in BUILT:
        assert re.search(r":(?!latest$)\S+$", service["image"])


def test_the_settings_name_the_services_and_the_volume() -> None:
    assert CONFIG.kinesis.endpoint == "http://kinesis:4567"
    assert CONFIG.dynamodb.endpoint == "http://dynamodb:8000"
    given = options(SERVICES["submit"]["command"])
    assert CONFIG.lake.s3_endpoint == given["s3.endpoint"] == "http://objects:9000"
    bucket = SERVICES["bucket"]["command"][-1].removeprefix("store/")
    for location in (CONFIG.lake.warehouse, *(v for v in given.values() if v.startswith("s3:"))):
        assert location.startswith(f"s3://{bucket}/")
    targets = [mount.split(":")[1] for mount in SERVICES["submit"]["volumes"]]
    assert str(Path(CONFIG.lake.catalog_uri.removeprefix("sqlite:///")).parent) in targets


def scripts() -> Iterator[tuple[str, str]]:
    """Python given on a command line, or to a health check, by service."""
    for name, service in SERVICES.items():
        for command in (service["command"], service.get("healthcheck", {}).get("test", [])):
            for (before, flag), (_, script) in pairwise(pairwise(command)):
                if flag == "-c" and "python" in before:
                    yield name, script


@each(("name", "script"), list(scripts()))
def test_python_in_a_command_imports_what_there_is(name: str, script: str) -> None:
    imports = [node for node in ast.walk(ast.parse(script)) if isinstance(node, ast.ImportFrom)]
    assert imports
    for node in imports:
        module = importlib.import_module(str(node.module))
        assert all(hasattr(module, alias.name) for alias in node.names)


class FakeStream:
    """A stream that is made once."""

    shards = 0

    def __init__(self, address: object) -> None:
        pass

    def open_shards(self) -> list[str]:
        if not FakeStream.shards:
            raise StoreError
        return ["shard"] * FakeStream.shards

    def create(self, shards: int) -> None:
        assert not FakeStream.shards
        FakeStream.shards = shards


class FakeProjects:
    """A registry that refuses an id twice."""

    known: list[projects.Project] = []  # noqa: RUF012

    def __init__(self, address: object) -> None:
        pass

    def create(self) -> None:
        pass

    def list(self) -> list[projects.Project]:
        return self.known

    def add(self, project: projects.Project) -> None:
        assert project.project_id not in {one.project_id for one in self.known}
        self.known.append(project)


class FakeCohorts:
    """A registry of cohorts that refuses an id twice."""

    known: list[cohorts.Cohort] = []  # noqa: RUF012

    def __init__(self, address: object) -> None:
        pass

    def create(self) -> None:
        pass

    def list(self) -> list[cohorts.Cohort]:
        return self.known

    def add(self, cohort_id: str, project_id: int) -> None:
        assert cohort_id not in {one.cohort_id for one in self.known}
        self.known.append(cohorts.Cohort(cohort_id, project_id, None))


def test_setup_may_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("stores.stream.Stream", FakeStream)
    monkeypatch.setattr("stores.projects.Projects", FakeProjects)
    monkeypatch.setattr("stores.cohorts.Cohorts", FakeCohorts)
    monkeypatch.setattr(FakeCohorts, "known", [])
    monkeypatch.setattr(FakeStream, "shards", 0)
    monkeypatch.setattr(FakeProjects, "known", [])
    script = compile(dict(scripts())["setup"], "setup", "exec")
    for _ in range(2):
        exec(script, {})  # noqa: S102
    assert FakeStream.shards == 3
    assert len(FakeProjects.known) == len(FakeCohorts.known) == 2
