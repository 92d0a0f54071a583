"""A lake of its own for each test, with the smallest table of the job."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.sinks import COLUMNS
from stores.lake import EVENT_COUNTS, Lake
from stores.lake_address import LakeAddress


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    found = Lake(
        LakeAddress(f"sqlite:///{tmp_path}/catalog.db", f"file://{tmp_path}/lake", "amplitude", None, "eu-west-1")
    )
    found.create(EVENT_COUNTS, COLUMNS[EVENT_COUNTS], [])
    yield found
    found.catalog.close()
