"""Which values of `app` are a project id: an exact integer or a string of digits, nothing that looks alike."""

import pytest

from udfs.attribute import MAX_PROJECT_ID, project_id

USABLE = {
    "integer": (434735, 434735),
    "zero": (0, 0),
    "largest": (2**63 - 1, 2**63 - 1),
    "digits": ("434735", 434735),
    "leading zero": ("0434735", 434735),
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
    "more digits than an id has": "0" * 19 + "1",
    "empty": "",
    "sign": "+434735",
    "minus": "-1",
    "space": " 434735",
    "newline": "434735\n",
    "underscore": "434_735",
    "float in text": "434735.0",
    "arabic digits": "٤٣٤٧٣٥",
    "superscript digits": "⁴³⁴",
    "word": "acme",
    "list": [434735],
    "object": {"app": 434735},
}


@pytest.mark.parametrize(("app", "number"), USABLE.values(), ids=USABLE)
def test_a_project_id_is_an_integer_or_digits(app: object, number: int) -> None:
    assert project_id(app) == number


@pytest.mark.parametrize("app", UNUSABLE.values(), ids=UNUSABLE)
def test_what_only_looks_like_a_project_id_is_refused(app: object) -> None:
    assert project_id(app) is None


def test_the_largest_project_id_fits_a_signed_64_bit_column() -> None:
    assert MAX_PROJECT_ID == 2**63 - 1
