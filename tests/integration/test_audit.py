"""The console's audit in DynamoDB Local: newest first, over all and by project, searched."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from stores.audit import Audit, Entry, Search
from stores.dynamodb import TablesAddress

MINA = Entry("mina", "operator", "keys.create", "192.0.2.1", 434735, {"prefix": "0123"})
NOA = Entry("noa", "support", "dead_letters.bytes", "192.0.2.2", details={"handle": "s:1", "long": "x" * 2_000})
WON = Entry("won", "customer", "keys.revoke", "192.0.2.3", 5)


@pytest.fixture
def audit(tmp_path: Path, dynamodb_endpoint: str) -> Audit:
    return Audit(TablesAddress("ap-northeast-2", dynamodb_endpoint, f"{tmp_path.name}-"))


def accounts(audit: Audit, limit: int = 100, **search: Any) -> list[str]:
    return [one.account for one in audit.newest(Search()._replace(**search), limit)]


def test_entries_come_newest_first_over_all_and_by_project_and_as_they_are_searched(audit: Audit) -> None:
    assert audit.newest() == []
    audit.create()
    begin = datetime.now(UTC)
    first, second, third = (audit.add(one) for one in (MINA, NOA, WON))
    assert [first, second, third] == audit.newest()[::-1]
    assert first._replace(at="") == MINA
    assert second.details["long"] == "x" * 1_000
    assert begin <= datetime.fromisoformat(first.at) <= datetime.now(UTC)
    assert accounts(audit, project_id=5) == ["won"]
    assert accounts(audit, project_id=6) == []
    assert accounts(audit, 2) == ["won", "noa"]
    assert accounts(audit, account="in") == ["mina"]
    assert accounts(audit, action="keys.") == ["won", "mina"]
    assert accounts(audit, action="keys.", account="won", project_id=434735) == []
    assert accounts(audit, since=datetime.fromisoformat(second.at)) == ["won", "noa"]
    assert accounts(audit, until=datetime.fromisoformat(second.at)) == ["mina"]
    assert accounts(audit, until=begin - timedelta(days=1)) == []
