"""What the end-to-end tests need beside a running stack: its stream and registry, and the job on it."""

import pytest

from lab.sample.registry import create
from lab.stack.local import Stack
from settings import Settings, load

LONGEST = (
    *("torture", "users", "readme", "ingest", "submit", "erase", "export", "backfill", "lease", "asking"),
    *("maintain", "metering", "metrics", "rewind", "upgrade", "high_availability"),
)
"""Files that take minutes go first: two workers take them in turn, and neither shall begin one at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def turn(item: pytest.Item) -> int:
        name = item.path.stem.removeprefix("test_")
        return LONGEST.index(name) if name in LONGEST else len(LONGEST)

    items.sort(key=turn)


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
