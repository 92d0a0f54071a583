"""What the stores ask of AWS, and which of their methods a module uses, read out of the sources.

What cannot be read is refused: a client or a table that a method hands on.
"""

import ast
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]

Grant = tuple[str, str]
"""An action and what it is allowed on: `stream`, `key` or the name of a table."""

WITHOUT_TABLES = {"Seal": ("kms", "key")}
"""Service and resource of a store that has no tables; of any other one it is the stream."""

STATEMENTS = {'INSERT INTO "': "PartiQLInsert", 'UPDATE "': "PartiQLUpdate"}
"""What a method has that makes statements of this kind, for batch_execute_statement."""
IN_TRANSACTIONS = {"Put": "PutItem", "Update": "UpdateItem", "Delete": "DeleteItem"}
WAITED_WITH = {"table_exists": "describe_table", "stream_exists": "describe_stream"}


parsed = cache(ast.parse)
"""The tree of a source, for all that look at it."""
written = cache(ast.unparse)
"""A node as source, likewise: to write it takes longer than all looks at it."""


@cache
def nodes(source: str) -> list[ast.AST]:
    """All that a module's tree consists of."""
    return list(ast.walk(parsed(source)))


def functions(tree: ast.AST) -> dict[str, ast.FunctionDef]:
    return {node.name: node for node in ast.iter_child_nodes(tree) if isinstance(node, ast.FunctionDef)}


def camel(operation: str) -> str:
    return "".join(map(str.capitalize, operation.split("_")))


def methods(source: str, name: str) -> dict[str, ast.FunctionDef]:
    return next(functions(node) for node in parsed(source).body if getattr(node, "name", "") == name)


CLIENT = re.compile(r"self(?:\.\w+)?\.client(?:\.get_(?:paginator|waiter)\('(\w+)'\))?")


def calls(method: ast.FunctionDef) -> Iterator[tuple[str, ast.Call]]:
    """(name of the operation, the call with its arguments) of each call to a client, its pages and waiters."""
    for node in ast.walk(method):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            found = CLIENT.fullmatch(written(node.func.value))
            if found and node.func.attr not in {"get_paginator", "get_waiter"}:
                name = found[1] or node.func.attr
                yield WAITED_WITH.get(name, name), node


def statements(method: ast.FunctionDef) -> Iterator[str]:
    """The actions that the statements made here need, whoever executes them."""
    yield from (action for mark, action in STATEMENTS.items() if mark in written(method))


def closed(given: dict[str, ast.FunctionDef], asked: dict[str, set[Any]]) -> dict[str, set[Any]]:
    """What each method of a class asks, by way of its other methods too."""
    for _ in given:
        for name, method in given.items():
            others = set(re.findall(r"self\.(\w+)", written(method))) & given.keys()
            asked[name].update(*(asked[other] for other in others))
    return asked


_OF_TABLE = methods((ROOT / "stores/table.py").read_text("utf-8"), "Table")
OF_TABLE = closed(
    _OF_TABLE,
    {
        name: {camel(operation) for operation, _ in calls(method) if operation != "batch_execute_statement"}
        | set(statements(method))
        for name, method in _OF_TABLE.items()
    },
)
"""The actions of each method of `stores.table.Table` on its table."""


def grants(source: str, store: ast.ClassDef) -> dict[str, set[Grant]]:
    """What each method of a store may ask of AWS, by way of its other methods too."""
    constants = dict(re.findall(r'^(\w+): Final = "(\w+)"$', source, re.MULTILINE))
    found = re.findall(r"self\.(\w+) = Table\(address, (\w+),", written(store))
    tables = {attribute: constants[name] for attribute, name in found}

    def on(place: ast.expr | None, action: str) -> Iterator[Grant]:
        """An action on the table that an expression names; where it names none, on any of the class."""
        named = {
            attribute: table
            for attribute, table in tables.items()
            if place and written(place) == f"self.{attribute}.name"
        }
        yield from ((f"dynamodb:{action}", table) for table in (named or tables).values())

    def asked(method: ast.FunctionDef) -> Iterator[Grant]:
        for operation, call in calls(method):
            given = {word.arg: word.value for word in call.keywords}
            if not tables:
                service, resource = WITHOUT_TABLES.get(store.name, ("kinesis", "stream"))
                yield f"{service}:{camel(operation)}", resource
            elif operation not in {"transact_write_items", "batch_execute_statement"}:
                yield from on(given.get("TableName"), camel(operation))
        for action in statements(method):
            yield from on(None, action)
        for node in ast.walk(method):
            match node:
                case ast.Attribute(value=ast.Attribute(value=ast.Name(id="self"), attr=of), attr=name):
                    if of in tables and name in OF_TABLE:
                        yield from ((f"dynamodb:{action}", tables[of]) for action in OF_TABLE[name])
                case ast.Dict(keys=[ast.Constant(value=kind)], values=[ast.Dict() as change]):
                    if place := re.search(r"'TableName': self\.(\w+)\.name", written(change)):
                        yield f"dynamodb:{IN_TRANSACTIONS[kind]}", tables[place[1]]

    own = functions(store)
    for name, method in own.items():
        assert name == "__init__" or not handed_on(tables).search(written(method)), f"{store.name}.{name}"
    return closed(own, {name: set(asked(method)) for name, method in own.items()})


def handed_on(tables: Iterable[str]) -> re.Pattern[str]:
    """A client or table that a method hands on, so that what becomes of it is not read here."""
    return re.compile(rf"\.client\b(?!\.)|(?<!explained\()self\.(?:{'|'.join(tables) or '-'})\b(?![.}}])")


def stores(source: str) -> dict[str, dict[str, set[Grant]]]:
    """The classes of a module that have a client or tables."""
    found = [node for node in parsed(source).body if isinstance(node, ast.ClassDef)]
    return {
        node.name: grants(source, node) for node in found if re.search(r"self\.client|= Table\(", written(node))
    }


STORES = {
    name: store
    for path in sorted((ROOT / "stores").glob("*.py"))
    if path.name != "table.py"
    for name, store in stores(path.read_text(encoding="utf-8")).items()
}

METHODS = set().union(*STORES.values())
"""The methods of all stores, by their names."""


@cache
def used(source: str) -> set[tuple[str, str]]:
    """(class, method) of stores that a module uses; a name stands for the same class throughout the module."""
    if not any(name in source for name in STORES):
        return set()
    found = nodes(source)
    known: dict[str, set[str]] = defaultdict(set)

    def of(expression: ast.AST | None) -> set[str]:
        """The stores that an expression may be."""
        match expression:
            case ast.Name(id=name) | ast.Constant(value=str(name)) if name in STORES:
                return {name}
            case ast.Call(func=called):
                return of(called)
            case ast.Name() | ast.Attribute():
                return known[written(expression)]
        return set()

    naming = [node for node in found if isinstance(node, ast.FunctionDef | ast.Assign | ast.For)]
    for node in sorted(naming, key=lambda node: node.lineno):
        match node:
            case ast.FunctionDef(name=name, returns=returned):
                known[name] |= of(returned)
                for one in node.args.args:
                    known[one.arg] |= of(one.annotation)
            case ast.Assign(targets=[ast.Tuple(elts=targets)], value=ast.Tuple(elts=values)):
                for target, value in zip(targets, values, strict=True):
                    known[written(target)] |= of(value)
            case ast.Assign(targets=[target], value=value):
                known[written(target)] |= of(value)
            case ast.For(target=target, iter=ast.Tuple(elts=values)):
                known[written(target)] |= set().union(*map(of, values))
    attributes = [node for node in found if isinstance(node, ast.Attribute) and node.attr in METHODS]
    return {(one, node.attr) for node in attributes for one in of(node.value) if node.attr in STORES[one]}
