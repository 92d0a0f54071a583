"""Each wrong setting ends in one line that names the file, the key and the remedy."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from lab.stack.local import Stack
from settings import Settings, SettingsError, load, of_stack
from tests.cases import each

LAKE = """
[lake]
catalog_uri = "sqlite:////srv/catalog.db"
warehouse = "file:///srv/warehouse"
"""

TIMESTAMP_PAIR = 'kinesis.initial_timestamp goes with initial_position = "AT_TIMESTAMP", and only with it'

HIDDEN_URL = (
    "metering.webhook_url = (hidden): must be https://host/path without a user name; http:// only for 127.0.0.1"
)

WRONG_FILES = {
    "broken TOML": (
        "[lake\n",
        "cannot be read: Expected ']' at the end of a table declaration (at line 1, column 6)",
    ),
    "missing lake": ("", "lake is missing"),
    "missing key": ('[lake]\ncatalog_uri = "sqlite:////c.db"\n', "lake.warehouse is missing"),
    "unknown key": (
        LAKE + "name = 1\n",
        "lake.name is not a setting (flink-conf/job.reference.toml lists them)",
    ),
    "unknown section": (
        LAKE + "[kafka]\n",
        "kafka is not a setting (flink-conf/job.reference.toml lists them)",
    ),
    "wrong type": (
        LAKE + '[ingest]\ndedupe_days = "40"\n',
        "ingest.dedupe_days = '40': Input should be a valid integer",
    ),
    "section is no table": (
        "kinesis = 3\n" + LAKE,
        "kinesis = 3: Input should be a valid dictionary or instance of Kinesis",
    ),
    "dedupe_days below the bound": (
        LAKE + "[ingest]\ndedupe_days = 39\n",
        "ingest.dedupe_days = 39: Input should be greater than or equal to 40",
    ),
    "dedupe_days above the bound": (
        LAKE + "[ingest]\ndedupe_days = 401\n",
        "ingest.dedupe_days = 401: Input should be less than or equal to 400",
    ),
    "unknown word": (
        LAKE + '[kinesis]\ninitial_position = "NOW"\n',
        "kinesis.initial_position = 'NOW': Input should be 'TRIM_HORIZON', 'LATEST' or 'AT_TIMESTAMP'",
    ),
    "another answer to a gap": (
        LAKE + '[kinesis]\non_gap = "ask"\n',
        "kinesis.on_gap = 'ask': Input should be 'stop' or 'continue'",
    ),
    "catalog uri of another database": (
        LAKE.replace("sqlite:////srv", "mysql:///srv"),
        "lake.catalog_uri = 'mysql:///srv/catalog.db': "
        "must be sqlite:////absolute/path.db or postgresql://user@host:port/database, password in ~/.pgpass",
    ),
    "a password in the query of a catalog uri": (
        LAKE.replace("sqlite:////srv/catalog.db", "postgresql://u@h/db?password=hunter2"),
        "lake.catalog_uri = (hidden): "
        "must be sqlite:////absolute/path.db or postgresql://user@host:port/database, password in ~/.pgpass",
    ),
    "relative warehouse": (
        LAKE.replace("file:///srv/", ""),
        "lake.warehouse = 'warehouse': must be file:///absolute/path or s3://bucket/path",
    ),
    "AT_TIMESTAMP without initial_timestamp": (
        LAKE + '[kinesis]\ninitial_position = "AT_TIMESTAMP"\n',
        TIMESTAMP_PAIR,
    ),
    "initial_timestamp without AT_TIMESTAMP": (
        LAKE + "[kinesis]\ninitial_timestamp = 2026-01-01T00:00:00Z\n",
        TIMESTAMP_PAIR,
    ),
    "initial_timestamp without a zone": (
        LAKE + '[kinesis]\ninitial_position = "AT_TIMESTAMP"\ninitial_timestamp = 2026-01-01T00:00:00\n',
        "kinesis.initial_timestamp = 2026-01-01T00:00:00: Input should have timezone info",
    ),
    "one stream for both ways": (
        LAKE + '[export]\nstream = "notifly-external-event-streaming"\n',
        "export.stream is kinesis.stream: message events have a stream of their own",
    ),
    "a webhook without its secret": (
        LAKE + '[metering]\nwebhook_url = "https://notifly.example/hook"\n',
        "metering.webhook_url and metering.webhook_secret_file go together: set both, or neither",
    ),
    "a webhook in clear text": (
        LAKE + '[metering]\nwebhook_url = "http://notifly.example/hook?token=1"\nwebhook_secret_file = "/s"\n',
        HIDDEN_URL,
    ),
    "a webhook with a password": (
        LAKE + '[metering]\nwebhook_url = "https://u:p@notifly.example/"\nwebhook_secret_file = "/s"\n',
        HIDDEN_URL,
    ),
    "a month that closes before Amplitude's retries end": (
        LAKE + "[metering]\nclose_after_hours = 4\n",
        "metering.close_after_hours = 4: Input should be greater than or equal to 5",
    ),
    "two problems at once": (
        LAKE + "name = 1\n[kafka]\n",
        "lake.name is not a setting (flink-conf/job.reference.toml lists them); "
        "kafka is not a setting (flink-conf/job.reference.toml lists them)",
    ),
}


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """A file with the required settings alone."""
    path = tmp_path / "job.toml"
    path.write_text(LAKE)
    return path


def refusal(path: Path, *overrides: str) -> str:
    """The message that `load` fails with; it must be one line."""
    with pytest.raises(SettingsError) as caught:
        load(path, overrides)
    message = str(caught.value)
    assert "\n" not in message, "a settings error is one line, fit for a terminal and a log"
    return message


@each(("content", "expected"), WRONG_FILES.values(), ids=WRONG_FILES)
def test_a_wrong_file_is_refused_in_one_line(job: Path, content: str, expected: str) -> None:
    job.write_text(content)
    assert refusal(job) == f"{job}: {expected}"


def test_a_missing_file_is_refused_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, stack = tmp_path / "none.toml", tmp_path / "stack.json"
    monkeypatch.setattr("settings.STACK", stack)
    assert refusal(path) == (
        f"{path}: no such file: start a local stack with `make run`, or name the job's settings with --config"
    )
    there = Stack("elsewhere")
    there.write_description(stack)
    assert refusal(path) == f"{path}: no such file: for the local stack give --config {there.settings_path}"
    assert of_stack(there.settings_path, "flink_rest") == there.flink.url
    assert of_stack(path, "flink_rest") is None
    assert of_stack(there.settings_path, "prometheus") is None  # it does not run


def test_a_file_that_is_not_text_is_refused_in_one_line(job: Path) -> None:
    job.write_bytes(b"\xff")
    assert refusal(job).startswith(f"{job}: cannot be read: 'utf-8' codec can't decode byte 0xff")


@pytest.mark.parametrize("given_by", ["file", "override"])
def test_a_password_in_a_refused_catalog_uri_is_not_shown(job: Path, given_by: str) -> None:
    uri = "mysql://notifly:hunter2@catalog:3306/iceberg"
    if given_by == "file":
        job.write_text(LAKE.replace("sqlite:////srv/catalog.db", uri))
        message = refusal(job)
    else:
        message = refusal(job, f"lake.catalog_uri={uri}")
    assert "hunter2" not in message
    assert message == (
        f"{job}: lake.catalog_uri = (hidden): "
        "must be sqlite:////absolute/path.db or postgresql://user@host:port/database, password in ~/.pgpass"
    )


@each("override", ["", "kinesis", "kinesis.region", "region=x", "kinesis.=x", "=x"])
def test_an_override_that_is_not_section_key_value_is_refused(job: Path, override: str) -> None:
    assert refusal(job, override) == f"override {override!r}: write it as section.key=value"


def test_an_override_into_a_section_that_is_no_table_is_refused(job: Path) -> None:
    job.write_text("kinesis = 3\n" + LAKE)
    assert refusal(job, "kinesis.region=x") == "override 'kinesis.region=x': kinesis is not a section"


def test_an_override_of_an_unknown_key_is_refused(job: Path) -> None:
    assert refusal(job, "kinesis.shards=2") == (
        f"{job}: kinesis.shards is not a setting (flink-conf/job.reference.toml lists them)"
    )


def value_of(settings: Settings, key: str) -> object:
    """The value of `section.key`."""
    section, _, name = key.partition(".")
    return getattr(getattr(settings, section), name)


OVERRIDES = {
    "number": (["ingest.dedupe_days=50"], "ingest.dedupe_days", 50),
    "quoted text": (['kinesis.region="us-east-1"'], "kinesis.region", "us-east-1"),
    "bare text": (["kinesis.region=us-east-1"], "kinesis.region", "us-east-1"),
    "bare address": (
        ["kinesis.endpoint=http://127.0.0.1:4567"],
        "kinesis.endpoint",
        "http://127.0.0.1:4567",
    ),
    "bare text with =": (["dynamodb.table_prefix=a=b"], "dynamodb.table_prefix", "a=b"),
    "over a value of the file": (["lake.warehouse=s3://bucket/path/"], "lake.warehouse", "s3://bucket/path"),
    "the last of two": (["lake.namespace=first", "lake.namespace=second"], "lake.namespace", "second"),
    "timestamp": (
        ["kinesis.initial_position=AT_TIMESTAMP", "kinesis.initial_timestamp=2026-01-01T00:00:00Z"],
        "kinesis.initial_timestamp",
        datetime(2026, 1, 1, tzinfo=UTC),
    ),
}


@each(("overrides", "key", "expected"), OVERRIDES.values(), ids=OVERRIDES)
def test_an_override_takes_effect(job: Path, overrides: list[str], key: str, expected: object) -> None:
    assert value_of(load(job, overrides), key) == expected


def test_what_is_left_out_takes_its_default(job: Path) -> None:
    settings = load(job)
    assert settings.kinesis.stream == "notifly-external-event-streaming"
    assert settings.dedupe_window == timedelta(days=40)


@each("key", ["kinesis.region", "dynamodb.region", "lake.namespace", "ingest.dedupe_days"])
def test_settings_are_frozen(job: Path, key: str) -> None:
    section, _, name = key.partition(".")
    settings = load(job)
    with pytest.raises(ValidationError, match="frozen"):
        setattr(getattr(settings, section), name, value_of(settings, key))
    with pytest.raises(ValidationError, match="frozen"):
        setattr(settings, section, getattr(settings, section))
