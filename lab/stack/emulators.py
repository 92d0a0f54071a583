"""The emulators of AWS that stacks and tests run: Kinesis, DynamoDB, and moto's S3 for stacks that ask for one.

They take any credentials, and keep all in memory unless a folder is given for what shall outlast a restart.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from pyarrow.fs import S3FileSystem

from lab.stack.machine import DYNAMODB_LOCAL, KINESIS_LOCAL, java, node
from lab.stack.process import answers, free_port

NAMES: Final = ("kinesis", "dynamodb", "objects")
BUCKET: Final = "amplitude"


class Emulator(NamedTuple):
    """How one is started, and where it answers."""

    name: str
    port: int
    command: list[str | Path]
    env: Mapping[str, str] = {}
    cwd: Path | None = None

    @property
    def endpoint(self) -> str:
        """Its URL."""
        return f"http://127.0.0.1:{self.port}"

    def answers(self) -> bool:
        """Whether it is up."""
        return answers(self.endpoint)


def kinesis(root: Path, port: int, kept: Path | None = None) -> Emulator:
    """kinesis-local; what it keeps is written every 5 s."""
    env = {
        "KINESIS_MOCK_PLAIN_PORT": str(port),
        "SHARD_LIMIT": "500",  # of all streams: tests and torture make one each
        "KINESIS_MOCK_TLS_PORT": str(free_port()),  # unused, but it cannot be switched off
        "LOG_LEVEL": "WARN",
    }
    if kept:
        env |= {"SHOULD_PERSIST_DATA": "true", "PERSIST_PATH": str(kept), "PERSIST_INTERVAL": "5s"}
    # its certificate, server.json, is looked up in the working directory
    return Emulator("kinesis", port, [node(), "main.js"], env, root / KINESIS_LOCAL)


def dynamodb(root: Path, port: int, kept: Path | None = None) -> Emulator:
    """DynamoDB Local, its tables seen alike by every region and credential."""
    jars = root / DYNAMODB_LOCAL
    command = [
        java(), "-Xmx256m", f"-Djava.library.path={jars}", "-cp", f"{jars}/*",
        "software.amazon.dynamodb.services.local.main.ServerRunner",
        "-port", str(port), *(("-dbPath", kept) if kept else ("-inMemory",)), "-sharedDb", "-disableTelemetry",
    ]  # fmt: skip
    return Emulator("dynamodb", port, command)


def objects(port: int) -> Emulator:
    """The object store."""
    return Emulator("objects", port, [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)])


def s3(port: int, region: str) -> S3FileSystem:
    """The files of the object store; its buckets are created by `create_dir`."""
    return S3FileSystem(
        access_key="local",
        secret_key="local",  # noqa: S106  any will do
        region=region,
        scheme="http",
        endpoint_override=f"127.0.0.1:{port}",
        allow_bucket_creation=True,
    )


def flink_options(port: int) -> dict[str, str]:
    """Where its processes and its client reach the object store."""
    return {
        "s3.endpoint": f"http://127.0.0.1:{port}",
        "s3.path-style-access": "true",
    }
