"""Which values of `app` are a project id, and whose record it is by the links of that project."""

from datetime import datetime, timedelta

import msgspec

from stores.project import Link, Project, linked
from tests.builders import OTHER_PROJECT, PROJECT
from tests.cases import each
from udfs.attribute import MAX_PROJECT_ID, owner, project_id
from udfs.model import Reason, Rejection

at = datetime.fromisoformat

USABLE = {
    "integer": (434735, 434735),
    "zero": (0, 0),
    "largest": (2**63 - 1, 2**63 - 1),
    "digits": ("434735", 434735),
    "leading zero": ("0434735", 434735),
    "zeros": ("000", 0),
    "largest in digits": (str(2**63 - 1), 2**63 - 1),
}

UNUSABLE = {
    "null": None,
    "true": True,
    "false": False,
    "whole float": 434735.0,
    "negative": -1,
    "too large": 2**63,
    "too large in digits": str(2**63),
    "huge": 10**400,
    "huge, as it is kept by its spelling": msgspec.Raw(b"9" * 30),
    "exponent in text": "4e5",
    "more digits than an id has": "0" * 19 + "1",
    "empty": "",
    "sign": "+434735",
    "minus": "-1",
    "space": " 434735",
    "newline": "434735\n",
    "underscore": "434_735",
    "float in text": "434735.0",
    "NUL": "434735\0",
    "hexadecimal": "0x6a22f",
    "full-width digits": "\uff14\uff13",
    "arabic digits": "٤٣٤٧٣٥",
    "superscript digits": "⁴³⁴",
    "word": "acme",
    "list": [434735],
    "object": {"app": 434735},
}


@each(("app", "number"), USABLE.values(), ids=USABLE)
def test_a_project_id_is_an_integer_or_digits(app: object, number: int) -> None:
    assert project_id(app) == number


@each("app", UNUSABLE.values(), ids=UNUSABLE)
def test_what_only_looks_like_a_project_id_is_refused(app: object) -> None:
    assert project_id(app) is None


def test_the_largest_project_id_fits_a_signed_64_bit_column() -> None:
    assert MAX_PROJECT_ID == 2**63 - 1


EVER = at("9999-12-31 23:59:59.999999")
FIRST, ENDED, AGAIN, LAST = (at(f"2026-0{month}-10 12:00") for month in (1, 2, 3, 4))
MOMENT = timedelta(microseconds=1)
REGISTRY = {
    PROJECT: linked(PROJECT, "acme", FIRST),
    # sold by one customer to another, with a pause, then closed
    OTHER_PROJECT: Project(OTHER_PROJECT, (Link("globex", FIRST, ENDED), Link("initech", AGAIN, LAST))),
    1: Project(1, (Link("globex", FIRST, ENDED), Link("initech", ENDED))),
}
BEFORE = "uploaded 2026-01-10 11:59:59.999999 UTC, app {} was linked 2026-01-10 12:00:00 UTC"
OWNERS = {
    "before the link": (PROJECT, FIRST - MOMENT, Rejection(Reason.BEFORE_LINK, BEFORE.format(PROJECT))),
    "at the link": (PROJECT, FIRST, "acme"),
    "years later": (PROJECT, EVER, "acme"),
    "before the first of two": (
        OTHER_PROJECT, FIRST - MOMENT, Rejection(Reason.BEFORE_LINK, BEFORE.format(OTHER_PROJECT))
    ),
    "the first of two": (OTHER_PROJECT, FIRST, "globex"),
    "to the end of the first": (OTHER_PROJECT, ENDED - MOMENT, "globex"),
    "at the end of the first": (
        OTHER_PROJECT,
        ENDED,
        Rejection(
            Reason.UNLINKED,
            "uploaded 2026-02-10 12:00:00 UTC, app 100011471 was unlinked 2026-02-10 12:00:00 UTC",
        ),
    ),
    "in the pause": (
        OTHER_PROJECT,
        AGAIN - MOMENT,
        Rejection(
            Reason.UNLINKED,
            "uploaded 2026-03-10 11:59:59.999999 UTC, app 100011471 was unlinked 2026-02-10 12:00:00 UTC",
        ),
    ),
    "the second": (OTHER_PROJECT, AGAIN, "initech"),
    "after the last": (
        OTHER_PROJECT,
        EVER,
        Rejection(
            Reason.UNLINKED,
            "uploaded 9999-12-31 23:59:59.999999 UTC, app 100011471 was unlinked 2026-04-10 12:00:00 UTC",
        ),
    ),
    "handed over without a pause, before": (1, ENDED - MOMENT, "globex"),
    "handed over without a pause, after": (1, ENDED, "initech"),
    "nobody's": (2, FIRST, Rejection(Reason.UNKNOWN_PROJECT, "no project has registered app 2")),
}  # fmt: skip


@each(("app", "uploaded", "found"), OWNERS.values(), ids=OWNERS)
def test_a_record_is_his_to_whom_the_project_was_linked_at_its_upload(
    app: int, uploaded: datetime, found: str | Rejection
) -> None:
    assert owner(REGISTRY, app, uploaded) == found


def test_a_project_that_is_linked_since_ever_owns_the_first_instant() -> None:
    assert owner({PROJECT: linked(PROJECT, "acme")}, PROJECT, at("0001-01-01")) == "acme"
