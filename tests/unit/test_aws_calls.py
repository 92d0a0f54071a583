"""The reading of what the stores ask of AWS: sources that it must understand, and such that it must refuse."""

import pytest

from tests.aws_calls import stores, used
from tests.cases import each

SOURCE = """
TABLE: Final = "usage"
OTHER_TABLE: Final = "plans"
class New:
    def __init__(self, address):
        self.table = Table(address, TABLE, {})
        self.client = self.table.client
        self.other = Table(address, OTHER_TABLE, {}, self.client)
    def create(self):
        self.table.create()
    def read(self):
        return self.pool.map(self._read, [1])
    def _read(self, key):
        return self.client.get_paginator("scan").paginate(TableName=self.other.name)
    def write(self):
        self.client.transact_write_items(TransactItems=[{"Put": {"TableName": self.other.name, **more}}])
        with self.table.explained(self.other):
            return map(self.table.put, [f"{self.table}"])
    def change(self):
        self.other.refused(self.pool, [1], self.other.change)
    def execute(self):
        self.client.batch_execute_statement([f'UPDATE "{self.table.name}"'])
    def release(self):
        self.other.client.delete_item(TableName=self.table.name)
class Shards:
    def put(self):
        self.client.put_records(StreamName="stream")
"""


def test_calls_are_found_in_every_form() -> None:
    assert stores(SOURCE)["New"] == {
        "__init__": set(),
        "create": {("dynamodb:CreateTable", "usage"), ("dynamodb:DescribeTable", "usage")},
        "read": {("dynamodb:Scan", "plans")},
        "_read": {("dynamodb:Scan", "plans")},
        "write": {("dynamodb:PutItem", "plans"), ("dynamodb:PutItem", "usage")},
        "change": {("dynamodb:PartiQLUpdate", "plans")},
        # which table a statement of its own is for is not read: any of the class
        "execute": {("dynamodb:PartiQLUpdate", "plans"), ("dynamodb:PartiQLUpdate", "usage")},
        "release": {("dynamodb:DeleteItem", "usage")},
    }
    assert stores(SOURCE)["Shards"] == {"put": {("kinesis:PutRecords", "stream")}}


@each(
    "statement",
    [
        "client = self.client",
        "client = self.table.client",
        "any(table.create() for table in (self.table, self.other))",
        "remove(self.other)",
    ],
)
def test_what_a_client_or_a_table_is_handed_to_is_refused(statement: str) -> None:
    source = f"{SOURCE.partition('class Shards')[0]}    def hide(self):\n        {statement}\n"
    with pytest.raises(AssertionError, match=r"^New\.hide"):
        stores(source)


def test_uses_are_found_in_every_form() -> None:
    source = """
def registry() -> Projects: ...
def give(stream: Stream, *rest): stream.put([])
class Watch:
    def __init__(self): self.usage, n = UsageTable(1), 2
    def look(self): return self.usage.list(), registry().get(1), {}.get(2)
for kind in (Cohorts, Profiles): kind(1).create()
Alerts(1).pending()
"""
    found = {".".join(one) for one in used(source)}
    assert found == {
        *("Stream.put", "UsageTable.list", "Projects.get", "Cohorts.create", "Profiles.create", "Alerts.pending")
    }
