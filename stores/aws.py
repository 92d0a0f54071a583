"""How every client of an AWS service is made, and what time a service says it is."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def client(service: str, region: str, endpoint: str | None, config: Config) -> Any:
    """A thread-safe client. Credentials come by the SDK's standard chain; an emulator here takes any."""
    credentials = {"aws_access_key_id": "local", "aws_secret_access_key": "local"} if emulated(endpoint) else {}
    make: Any = boto3.client
    return make(service, region_name=region, endpoint_url=endpoint, config=config, **credentials)


def emulated(endpoint: str | None) -> bool:
    """Whether an endpoint is an emulator on this machine, which takes any credentials and asks for some."""
    return endpoint is not None and urlsplit(endpoint).hostname in _LOOPBACK


def date(answer: Mapping[str, Any]) -> datetime:
    """When a service has given this answer, by its own clock, whatever this machine's says; UTC, seconds."""
    return parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"]).astimezone(UTC)
