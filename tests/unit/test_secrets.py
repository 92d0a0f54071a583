"""No secret where it may be read: what is logged or shown, what travels to the workers, what is in the repository.

Secrets that come by the environment or the settings are looked for in all that is made of them. Each look is also
shown a place where the secret is, and must find it there.
"""

import logging
import re
import socket
import subprocess
import traceback
from base64 import b64decode
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import cloudpickle
import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse

from jobs import sources
from jobs.ingest import ends
from ops.metering.webhook import Webhook
from settings import Settings, SettingsError, parse
from stores.alerts import Notification
from stores.errors import StoreError
from stores.usage import Usage, UsageTable
from tests.cases import each
from tests.documents import document
from udfs.functions import CohortChanges, Decode, DecodePart, MemberGroups, Open

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "canary-of-the-webhook"
PASSWORD = "canary-of-the-catalog"
KEY_ID = "AKIA" + "CANARY0123456789"
SECRET_KEY = "canary/of+the/" + "secret/key/of/aws/123456789"
SESSION = "canary-of-the-session"
SECRETS = (TOKEN, PASSWORD, KEY_ID, SECRET_KEY, SESSION)
URL = f"https://notifly.example/hooks/usage?token={TOKEN}"
LAKE = {"catalog_uri": "postgresql://notifly@catalog:5432/iceberg", "warehouse": "s3://bucket/warehouse"}


def leaked(text: str | bytes) -> list[str]:
    """The secrets in a text."""
    data = text.encode() if isinstance(text, str) else text
    return [secret for secret in SECRETS if secret.encode() in data]


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials as a process has them that got no role, and no session of another test's."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    monkeypatch.setenv("AWS_SESSION_TOKEN", SESSION)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)


@pytest.fixture
def settings() -> Settings:
    metering = {"webhook_url": URL, "webhook_secret_file": "/run/secrets/usage-webhook"}
    return parse({"lake": LAKE, "metering": metering}, source="job.toml")


def test_settings_and_addresses_show_no_secret(settings: Settings) -> None:
    assert settings.metering.webhook_url == URL
    addresses = (settings.stream_address, settings.tables_address, settings.lake_address)
    for shown in (settings, settings.metering, *addresses, [settings], Exception(settings)):
        assert leaked(f"{shown} {shown!r}") == []
    assert leaked(str(settings.model_dump())) == [TOKEN]


@each(
    "wrong",
    [
        {"lake": LAKE | {"catalog_uri": f"postgresql://notifly:{PASSWORD}@catalog:5432/iceberg"}},
        {"lake": LAKE, "metering": {"webhook_url": URL.replace("https", "http"), "webhook_secret_file": "/s"}},
        {"lake": LAKE, "metering": {"webhook_url": [URL], "webhook_secret_file": "/s"}},
        {"lake": LAKE, "metering": {"webhook_url": URL}},
        {"lake": LAKE, "metering": {"webhok_url": URL}},
    ],
    ids=["password in the catalog", "webhook in clear text", "not a text", "webhook without secret", "misspelt"],
)
def test_a_refusal_shows_no_secret(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError) as refused:
        parse(wrong, source="job.toml")
    assert leaked("".join(traceback.format_exception(refused.value))) == []
    assert leaked(str(wrong))


class Statements:
    """Takes SQL where a table environment is expected."""

    def __init__(self) -> None:
        self.text = ""

    def execute_sql(self, statement: str) -> None:
        self.text += statement

    def from_path(self, path: str) -> str:
        return path


def test_nothing_secret_travels_to_the_workers(settings: Settings) -> None:
    tables: Any = Statements()
    given = ends.production(tables, settings, sources.kinesis_records(tables, settings.kinesis))
    given.written("usage")
    functions = (
        *(Decode(given.open_registry), DecodePart(given.open_registry), Open(given.open_mac_keys)),
        *(CohortChanges(), MemberGroups()),
        *(given.write_usage, given.write_profiles, given.write_members),
    )
    assert [leaked(cloudpickle.dumps(function)) for function in functions] == [[]] * len(functions)
    assert "CREATE CATALOG" in tables.text
    assert leaked(tables.text) == []
    assert leaked(cloudpickle.dumps(Decode(partial(print, settings)))) == [TOKEN]


def test_a_refused_request_shows_no_credentials(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    sent: list[AWSPreparedRequest] = []

    def answer(request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        sent.append(request)
        content = b'{"__type": "#UnrecognizedClientException", "message": "The security token is invalid."}'
        return Answer(request.url, 400, {}, content)

    with caplog.at_level(logging.INFO):
        client = settings.tables_address.client()
        client.meta.events.register("before-send", answer)
        with pytest.raises(StoreError, match="security token is invalid") as refused:
            UsageTable(settings.tables_address, client).raise_totals([Usage(1, "2026-03", 1, 1)])
    assert leaked("".join(traceback.format_exception(refused.value)) + caplog.text) == []
    assert leaked(str(sent[0].headers)) == [KEY_ID, SESSION]


class Answer(AWSResponse):
    """A response that has come already."""

    def __init__(self, url: str, status: int, headers: dict[str, str], content: bytes) -> None:
        super().__init__(url, status, headers, None)
        self._content = content


def test_a_webhook_that_is_not_reached_is_told_of_without_its_url(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as nobody, caplog.at_level(logging.INFO):
        nobody.bind(("127.0.0.1", 0))
        send = Webhook(f"http://127.0.0.1:{nobody.getsockname()[1]}/?token={TOKEN}", b64decode("QUFB" * 8), 1)
        said = send(Notification("1/2026-03/90", 1, "acme", "2026-03", (90,), 1, 1, "2026-03-01T00:00:00+00:00"))
    assert said == "no connection"
    assert leaked(said + repr(send) + caplog.text) == []


def test_flink_answers_this_machine_alone_unless_told_otherwise() -> None:
    flink = document("flink-conf/config.yaml")
    hosts = {key: value for key, value in flink.items() if key.endswith(("address", "host"))}
    assert hosts.keys() >= {"rest.bind-address", "jobmanager.bind-host", "taskmanager.bind-host"}
    assert set(hosts.values()) == {"localhost"}
    assert flink["web.submit.enable"] is False
    compose = document("docker-compose.yml")
    published = [port for service in compose["services"].values() for port in service.get("ports", [])]
    assert [port for port in published if not port.startswith("127.0.0.1:")] == []
    assert len(published) == 8


# --- The repository -------------------------------------------------------------------------------------------

PATTERNS = {
    "an access key of AWS": rb"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b",
    "a secret key of AWS": rb"(?i)secret_?(?:access_?)?key['\"]?\s*[:=]\s*['\"]?[a-z0-9/+]{40}(?![a-z0-9/+])",
    "a secret that signs webhooks": rb"whsec_[A-Za-z0-9+/]{32,}",
    "a private key": rb"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----",
    "a token of a code host or registry": rb"\b(?:ghp_|github_pat_|npm_|pypi-)[A-Za-z0-9_-]{30,}",
}
KNOWN = {b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}  # the test vector of Standard Webhooks


def secrets_in(content: bytes) -> list[str]:
    """What kinds of secrets a file holds."""
    return [kind for kind, form in PATTERNS.items() if set(re.findall(form, content)) - KNOWN]


def test_no_secret_is_in_the_repository() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    files = [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]
    assert len(files) > 100
    found = {str(path.relative_to(ROOT)): kinds for path in files if (kinds := secrets_in(path.read_bytes()))}
    assert not found, f"take it out, and make it invalid: it was seen: {found}"


@each(
    ("kind", "content"),
    [
        ("an access key of AWS", f"aws_access_key_id = {KEY_ID}\n"),
        ("a secret key of AWS", 'AWS_SECRET_ACCESS_KEY: "' + "abcdABCD/+" * 4 + '"'),
        ("a secret that signs webhooks", "whsec" + "_" + "QUFB" * 11),
        ("a private key", "-----BEGIN " + "RSA PRIVATE KEY-----"),
        ("a private key", "-----BEGIN " + "PRIVATE KEY-----"),
        ("a token of a code host or registry", "ghp" + "_" + "a1B2" * 9),
    ],
)
def test_a_secret_in_a_file_is_noticed(kind: str, content: str) -> None:
    assert secrets_in(content.encode()) == [kind]


def test_what_only_looks_like_one_is_not() -> None:
    assert secrets_in(b"echo whsec_$(openssl rand -base64 32); AWS_SECRET_ACCESS_KEY: local-only") == []
