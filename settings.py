"""The settings of every program here: one frozen object, read once at the edge from one TOML file.

`flink-conf/job.minimal.toml` holds what has no default, `flink-conf/job.reference.toml` every setting.
Unknown keys, missing keys and wrong types are refused in one line before anything is touched. Credentials
are not settings: the AWS SDKs find them by their own standard chain (role, environment).
"""

import json
import shlex
import tomllib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from errors import OneLineError
from stores.dynamodb import TablesAddress
from stores.lake_address import LakeAddress
from stores.seal import SealKeys
from stores.stream import StreamAddress

STACK = Path(__file__).resolve().parent / "var" / "stack.json"
"""Where a local stack of this checkout writes, as long as it runs, where everything is."""


class SettingsError(OneLineError):
    """A setting is missing, unknown or wrong; the message is one line that names it and the file."""


def _jdbc_uri(uri: str) -> str:
    parts = urlsplit(uri)
    # a query may hold a password too, and the JVM's driver would not see it
    if uri.startswith("sqlite:////") or (parts.scheme == "postgresql" and not (parts.password or parts.query)):
        return uri
    msg = "must be sqlite:////absolute/path.db or postgresql://user@host:port/database, password in ~/.pgpass"
    raise ValueError(msg)


def _location(warehouse: str) -> str:
    if warehouse.startswith(("file:///", "s3://")):
        return warehouse.rstrip("/")
    msg = "must be file:///absolute/path or s3://bucket/path"
    raise ValueError(msg)


def https(url: str) -> str:
    """The URL, where what is sent there is read by nobody else. Raises ValueError."""
    parts = urlsplit(url)
    # plain HTTP only to this machine: the body says what a customer's volume is
    local = parts.scheme == "http" and parts.hostname in {"127.0.0.1", "localhost"}
    if (parts.scheme == "https" or local) and parts.hostname and not parts.username:
        return url
    msg = "must be https://host/path without a user name; http:// only for 127.0.0.1"
    raise ValueError(msg)


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Kinesis(_Section):
    """The shared stream that Amplitude writes to, in the terms of the Kinesis API."""

    stream: Annotated[str, Field(min_length=1, max_length=128)] = "notifly-external-event-streaming"
    region: str = "ap-northeast-2"
    endpoint: str | None = None
    initial_position: Literal["TRIM_HORIZON", "LATEST", "AT_TIMESTAMP"] = "TRIM_HORIZON"
    initial_timestamp: AwareDatetime | None = None
    shard_discovery_interval_ms: Annotated[int, Field(ge=1_000, le=600_000)] = 10_000
    on_gap: Literal["stop", "continue"] = "stop"


class DynamoDB(_Section):
    """Where the DynamoDB tables live: registry, usage, profiles, memberships."""

    region: str = "ap-northeast-2"
    endpoint: str | None = None
    table_prefix: str = ""


class Lake(_Section):
    """The Iceberg catalog and warehouse of the event store and the dead letters."""

    catalog_uri: Annotated[str, AfterValidator(_jdbc_uri)]
    warehouse: Annotated[str, AfterValidator(_location)]
    namespace: str = "amplitude"
    s3_endpoint: str | None = None
    s3_region: str = "ap-northeast-2"


class Ingest(_Section):
    """What the ingest job itself may be told."""

    dedupe_days: Annotated[int, Field(ge=40, le=400)] = 40
    projects_refresh_seconds: Annotated[int, Field(ge=1, le=30)] = 15
    usage_interval_seconds: Annotated[int, Field(ge=1, le=60)] = 10


class Metering(_Section):
    """Alerts and the close of a month: what `amplitude-bridge usage watch` may be told."""

    close_after_hours: Annotated[int, Field(ge=5, le=240)] = 28
    watch_interval_seconds: Annotated[int, Field(ge=1, le=30)] = 10
    webhook_url: Annotated[str, AfterValidator(https)] | None = Field(default=None, repr=False)  # may be secret
    webhook_secret_file: str | None = None
    webhook_timeout_seconds: Annotated[int, Field(ge=1, le=60)] = 10


class Export(_Section):
    """The way back: message events, from a stream of their own, to Amplitude."""

    stream: Annotated[str, Field(min_length=1, max_length=128)] = "notifly-message-events"
    seal_keys_file: str | None = None
    seal_kms_key: str | None = None
    endpoint: Annotated[str, AfterValidator(https)] | None = None
    api: Literal["batch", "http_v2"] = "batch"
    timeout_seconds: Annotated[int, Field(ge=1, le=60)] = 10


class Intake(_Section):
    """The HTTP intake, and what the ingest job must know to believe it."""

    mac_keys_file: str | None = None
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65_535)] = 8090
    workers: Annotated[int, Field(ge=0, le=64)] = 0
    connections: Annotated[int, Field(ge=1, le=100_000)] = 800
    requests_per_minute: Annotated[int, Field(ge=1, le=10_000_000)] = 60_000


class Console(_Section):
    """The console: what `amplitude-bridge console` may be told."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65_535)] = 8070
    url: Annotated[str, AfterValidator(https)] | None = None
    trusted_proxies: list[str] = []
    session_keys_file: str | None = None
    accounts_file: str | None = None
    amplitude_role: str = "arn:aws:iam::702197142747:role/amplitude-kinesis-role"


class AmplitudeProfiles(_Section):
    """Amplitude's User Profile API at the time of sending."""

    endpoint: Annotated[str, AfterValidator(https)] | None = None
    timeout_seconds: Annotated[int, Field(ge=1, le=60)] = 5
    fresh_seconds: Annotated[int, Field(ge=1, le=86_400)] = 300
    stale_seconds: Annotated[int, Field(ge=0, le=604_800)] = 86_400
    users: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    requests_per_minute: Annotated[int, Field(ge=10, le=60_000)] = 600


class Maintenance(_Section):
    """Keeping the lake's tables: what `amplitude-bridge maintain` may be told."""

    restore_points: list[Annotated[str, AfterValidator(_location)]] = []
    restore_days: Annotated[int, Field(ge=1, le=90)] = 30
    snapshot_hours: Annotated[int, Field(ge=0, le=720)] = 24
    orphan_days: Annotated[int, Field(ge=3, le=90)] = 3
    interval_hours: Annotated[int, Field(ge=1, le=168)] = 24


class Settings(_Section):
    """All settings; sections that are left out take their defaults, `lake` has none."""

    kinesis: Kinesis = Kinesis()
    dynamodb: DynamoDB = DynamoDB()
    lake: Lake
    ingest: Ingest = Ingest()
    metering: Metering = Metering()
    export: Export = Export()
    intake: Intake = Intake()
    console: Console = Console()
    amplitude_profiles: AmplitudeProfiles = AmplitudeProfiles()
    maintenance: Maintenance = Maintenance()

    @property
    def stream_address(self) -> StreamAddress:
        """The stream as `stores` takes it."""
        return StreamAddress(self.kinesis.stream, self.kinesis.region, self.kinesis.endpoint)

    @property
    def export_kinesis(self) -> Kinesis:
        """The stream of message events: another one of the same account."""
        return self.kinesis.model_copy(update={"stream": self.export.stream})

    @property
    def export_stream_address(self) -> StreamAddress:
        """The stream of message events as `stores` takes it."""
        return self.stream_address._replace(name=self.export.stream)

    @property
    def seal_keys(self) -> SealKeys:
        """What seals customers' keys, as `stores` takes it."""
        return SealKeys(self.export.seal_keys_file, self.export.seal_kms_key, self.dynamodb.region)

    @property
    def tables_address(self) -> TablesAddress:
        """DynamoDB as `stores` takes it."""
        return TablesAddress(self.dynamodb.region, self.dynamodb.endpoint, self.dynamodb.table_prefix)

    @property
    def lake_address(self) -> LakeAddress:
        """The lake as `stores` takes it."""
        lake = self.lake
        return LakeAddress(lake.catalog_uri, lake.warehouse, lake.namespace, lake.s3_endpoint, lake.s3_region)

    @property
    def usage_interval(self) -> timedelta:
        """How often totals are written, at most."""
        return timedelta(seconds=self.ingest.usage_interval_seconds)

    @property
    def close_after(self) -> timedelta:
        """How long after its end a month closes."""
        return timedelta(hours=self.metering.close_after_hours)

    @property
    def lease_seconds(self) -> int:
        """How long a job holds its tables without a sign of life; it gives one whenever it reads the registry."""
        return 3 * max(10, self.ingest.projects_refresh_seconds)

    @property
    def dedupe_window(self) -> timedelta:
        """How long the first copy of an event is remembered, from its arrival."""
        return timedelta(days=self.ingest.dedupe_days)


def load(path: Path, overrides: Sequence[str] = ()) -> Settings:
    """Read a TOML file, then `section.key=value` overrides (values in TOML, bare words taken as text).

    Raises SettingsError with one line for a file, key or value that is wrong.
    """
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        msg = f"{path}: no such file: {_instead()}"
        raise SettingsError(msg) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        msg = f"{path}: cannot be read: {reason}"
        raise SettingsError(msg) from None
    for override in overrides:
        _apply(tree, override)
    return parse(tree, source=str(path))


def _instead() -> str:
    """What to do without settings; the default path is relative, and a stack may run from another folder."""
    running = _stack().get("settings")
    if running is None:
        return "start a local stack with `make run`, or name the job's settings with --config"
    return f"for the local stack give --config {shlex.quote(running)}"


def _stack() -> dict[str, str]:
    """What the local stack says of itself; nothing where none runs."""
    try:
        described: dict[str, str] = json.loads(STACK.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return described


def of_stack(config: Path, name: str) -> str | None:
    """An address of the local stack, if one runs with these settings."""
    running = _stack()
    return running.get(name) if running.get("settings") == str(config.resolve()) else None


def parse(tree: Mapping[str, Any], source: str) -> Settings:
    """Check a tree of sections and keys. Raises SettingsError naming `source`, the key and the remedy."""
    try:
        settings = Settings.model_validate(tree)
    except ValidationError as error:
        msg = "; ".join(_sentence(problem) for problem in error.errors(include_url=False))
        raise SettingsError(f"{source}: {msg}") from None  # noqa: EM102
    at, position = settings.kinesis.initial_timestamp, settings.kinesis.initial_position
    if (at is None) == (position == "AT_TIMESTAMP"):
        msg = f'{source}: kinesis.initial_timestamp goes with initial_position = "AT_TIMESTAMP", and only with it'
        raise SettingsError(msg)
    if (settings.metering.webhook_url is None) != (settings.metering.webhook_secret_file is None):
        msg = f"{source}: metering.webhook_url and metering.webhook_secret_file go together: set both, or neither"
        raise SettingsError(msg)
    if settings.export.stream == settings.kinesis.stream:
        msg = f"{source}: export.stream is kinesis.stream: message events have a stream of their own"
        raise SettingsError(msg)
    return settings


def _apply(tree: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    section, dot, name = key.strip().partition(".")
    if not (separator and section and dot and name):
        msg = f"override {_shown(override)}: write it as section.key=value"
        raise SettingsError(msg)
    try:
        value: object = tomllib.loads(f"v = {text}")["v"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    branch = tree.setdefault(section, {})
    if not isinstance(branch, dict):
        msg = f"override {_shown(override)}: {section} is not a section"
        raise SettingsError(msg)
    branch[name] = value


def _sentence(problem: Any) -> str:
    key = ".".join(str(part) for part in problem["loc"])
    match problem["type"]:
        case "missing":
            return f"{key} is missing"
        case "extra_forbidden":
            return f"{key} is not a setting (flink-conf/job.reference.toml lists them)"
        case _:
            shown = "(hidden)" if key == "metering.webhook_url" else _shown(problem["input"])  # may hold a token
            return f"{key} = {shown}: {problem['msg'].removeprefix('Value error, ')}"


def _shown(value: object) -> str:
    """A value as an error may show it: never a password inside a URI."""
    if isinstance(value, datetime):
        return value.isoformat()
    text = repr(value)
    return "(hidden)" if "@" in text or "password" in text else text
