"""What the end-to-end tests need beside a running stack: its stream and registry, and the job on it."""

import pytest

from lab import run
from lab.stack.local import Stack
from settings import Settings, load


@pytest.fixture(scope="module")
def settings(stack: Stack) -> Settings:
    found = load(stack.write_settings())
    run.create(found, shards=2)
    return found


@pytest.fixture(scope="module")
def job(stack: Stack, settings: Settings) -> str:
    submitted = stack.submit(stack.settings_path)
    stack.flink.wait_until_running(submitted)
    return submitted
