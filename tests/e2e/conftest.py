"""What the end-to-end tests need beside a running stack: its stream and registry, and the job on it."""

import pytest

from lab.sample.registry import create
from lab.stack.local import Stack
from settings import Settings, load
from tests.order import longest_first

LONGEST = (
    *("torture", "users", "readme", "ingest", "export", "erase", "maintain", "lease", "submit", "backfill"),
    *("asking", "metering", "dialects", "metrics", "rewind", "upgrade", "high_availability"),
)
"""Files that take a minute and more, as they were last timed."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    longest_first(items, LONGEST)


@pytest.fixture(scope="module")
def settings(stack: Stack) -> Settings:
    found = load(stack.write_settings())
    create(found, shards=2)
    return found


@pytest.fixture(scope="module")
def job(stack: Stack, settings: Settings) -> str:
    submitted = stack.submit(stack.settings_path)
    stack.flink.wait_until_running(submitted)
    return submitted
