"""What the intake serves, as an OpenAPI document and as a page that needs no script and no other host."""

import re
from html import escape
from typing import Any, Final, Literal, NamedTuple

import msgspec

from ops.intake.cohorts import MOST_USERS
from ops.intake.events import Verdict


class Described(NamedTuple):
    """What a path is for, and the form of a request's body and of the answers that are no errors."""

    summary: str
    takes: dict[str, Any]
    """a JSON Schema"""
    answers: dict[int, Any]
    """by status: a type of msgspec's"""
    refuses: Any = None
    """the form of an error, unless it is `Refused`"""


class Taken(msgspec.Struct):
    """Kinesis has the request."""

    request_id: str


class Results(msgspec.Struct):
    """Kinesis has the request; what the job will make of each event."""

    request_id: str
    results: list[Verdict]


class Error(msgspec.Struct):
    """Why a request was not taken."""

    type: Literal["invalid_request", "authentication", "permission", "rate_limit", "unavailable", "internal"]
    code: str
    message: str
    """what is wrong, and what to change"""
    param: str | None
    """the header or field that is to be changed"""
    request_id: str | None


class Refused(msgspec.Struct):
    """The answer with an error; of a batch of which nothing is taken also the results."""

    error: Error
    results: list[Verdict] = []


class Message(msgspec.Struct):
    """As Braze answers."""

    message: str
    errors: list[Any] = []


class List(msgspec.Struct):
    """The list of a cohort."""

    listId: str  # noqa: N815  as Amplitude has it


_EVENT: Final = {
    "type": "object",
    "description": "an event of Amplitude's Export API, or a user update in the form of its Identify API",
    "properties": {
        "app": {"type": "integer", "description": "the project of the access key, if it is there"},
        "event_type": {"type": "string"},
        "user_id": {"type": "string"},
        "device_id": {"type": "string"},
        "uuid": {"type": "string", "description": "by it a copy is recognised"},
        "event_time": {"type": "string", "description": "such as 2026-11-28 04:05:06.789000"},
        "event_properties": {"type": "object"},
    },
}
_EVENTS: Final = {"oneOf": [_EVENT, {"type": "array", "items": _EVENT}]}


def _objects(**properties: Any) -> dict[str, Any]:
    """An array of Braze's objects: each names a user, and has these properties."""
    text = {"type": "string", "minLength": 1}
    alias = {"type": "object", "properties": {"alias_name": text, "alias_label": text}}
    users = {"user_alias": alias | {"required": ["alias_name", "alias_label"]}} | dict.fromkeys(
        ("external_id", "braze_id", "email", "phone"), text
    )
    one = {"type": "object", "properties": users | properties, "required": list(properties)}
    return {"type": "array", "items": one | {"anyOf": [{"required": [name]} for name in users]}}


_TIME: Final = {"type": "string", "format": "date-time"}
_TRACK: Final = {
    "type": "object",
    "properties": {
        "attributes": _objects(),
        "events": _objects(name={"type": "string", "minLength": 1}, time=_TIME),
        "purchases": _objects(
            product_id={"type": "string", "minLength": 1},
            currency={"type": "string", "pattern": "^[A-Za-z]{3}$"},
            price={"type": "number"},
            time=_TIME,
        ),
    },
}
_USERS: Final = {
    "type": "object",
    "properties": {
        "users": {
            "type": "array",
            "items": {"anyOf": [{"type": "string"}, {"type": "object"}]},
            "maxItems": MOST_USERS,
        }
    },
    "required": ["users"],
}
_COHORT: Final = {
    "type": "object",
    "properties": {
        "cohort_id": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,100}$"},
        "cohort_name": {"type": ["string", "null"]},
    },
    "required": ["cohort_id"],
}

DESCRIBED: Final = {
    "/amplitude/v1/events": Described(
        "Events of Amplitude's webhook: one, a list, or a line each; gzip too. Whatever comes is taken as it is.",
        _EVENTS,
        {200: Taken},
    ),
    "/v1/batch": Described(
        "At most 2,000 events: one, a list, or a line each; gzip too. Each is told what becomes of it.",
        _EVENTS,
        {200: Results},
    ),
    "/users/track": Described("Braze's API.", _TRACK, {201: Message}, Message),
    "/users/track/bulk": Described("Braze's API, in bulk.", _TRACK, {201: Message}, Message),
    "/users/track/sync": Described("Braze's API, one object.", _TRACK, {201: Message}, Message),
    "/amplitude/v1/cohorts": Described(
        "A new list of a cohort, by Amplitude's cohort sync.", _COHORT, {200: List}
    ),
    "/amplitude/v1/cohorts/{list_id}/add": Described("Users enter a list.", _USERS, {200: List}),
    "/amplitude/v1/cohorts/{list_id}/remove": Described("Users leave a list.", _USERS, {200: List}),
}
"""By path: every endpoint is here."""
_REFUSALS: Final = {
    "400": "nothing of it is taken, or no HTTP",
    "401": "no access key, or one that does not open",
    "403": "the access key is not for this",
    "404": "no such list",
    "408": "the request did not arrive in time",
    "413": "too long",
    "415": "packed in another way than gzip",
    "429": "too much for now: wait as Retry-After says, then send it again",
    "431": "headers too long",
    "500": "a bug of ours: send it again",
    "503": "what it needs is away: wait as Retry-After says, then send it again",
}


def document() -> dict[str, Any]:
    """The OpenAPI document."""
    types = [Refused, Taken, Results, Message, List]
    references, schemas = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    of: dict[Any, Any] = dict(zip(types, references, strict=True))
    return {
        "openapi": "3.1.0",
        "info": {"title": "Notifly intake", "version": "1"},
        "security": [{"access_key": []}],
        "paths": {path: {"post": _operation(path, one, of)} for path, one in DESCRIBED.items()},
        "components": {
            "schemas": schemas,
            "securitySchemes": {"access_key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(path: str, one: Described, of: dict[Any, Any]) -> dict[str, Any]:
    taken = {str(status): _answer(type_.__doc__, of[type_]) for status, type_ in one.answers.items()}
    never = {"404"} if "{" not in path else set[str]()
    never |= {"415"} if one.takes is _EVENTS else set()  # which is taken as it is, however packed
    refused = {
        status: _answer(words, of[one.refuses or Refused])
        for status, words in _REFUSALS.items()
        if status not in never
    }
    named = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", path)
    ]
    return {
        "summary": one.summary,
        "parameters": [_REQUEST_ID, *named],
        "requestBody": {"content": {"application/json": {"schema": one.takes}}},
        "responses": taken | refused,
    }


_REQUEST_ID: Final = {
    "name": "Request-Id",
    "in": "header",
    "description": "the same at each try of a request; the answer has it too",
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{8,64}$"},
}


def _answer(words: str | None, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": words, "content": {"application/json": {"schema": schema}}}


def page() -> str:
    """The same to be read by people."""
    endpoints = "".join(
        f"<h2>POST {escape(path)}</h2><p>{escape(one.summary)}</p>"
        f"<pre>curl https://HOST{escape(path)} -H 'Authorization: Bearer ntfy_…' --data-binary @events.json</pre>"
        f"<h3>Body</h3><pre>{_indented(one.takes)}</pre>"
        for path, one in DESCRIBED.items()
    )
    refusals = "".join(f"<tr><td>{status}<td>{escape(words)}" for status, words in _REFUSALS.items())
    schemas = _indented(document()["components"]["schemas"])
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>Notifly intake</title>"
        "<style>body{font:16px/1.5 sans-serif;max-width:60rem;margin:2rem auto}"
        "pre{background:#f4f4f4;padding:1rem;overflow:auto}td{padding-right:1rem}</style><h1>Notifly intake</h1>"
        "<p>For programs: <a href=/openapi.json>/openapi.json</a>.</p>"
        f"{endpoints}<h2>Errors</h2><table>{refusals}</table><h2>Answers</h2><pre>{schemas}</pre></html>"
    )


def _indented(schema: object) -> str:
    return escape(msgspec.json.format(msgspec.json.encode(schema), indent=2).decode())
