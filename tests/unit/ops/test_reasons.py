"""The words for reasons and repairs: all of them, and such as a table and a terminal can show."""

from ops.answers.reasons import REASONS, REPAIRS
from tests.cases import each
from udfs.model import Reason, Repair


def test_every_reason_and_every_repair_has_its_words_in_order() -> None:
    assert list(REASONS) == list(Reason)
    assert list(REPAIRS) == list(Repair)


@each("reason", Reason)
def test_the_words_for_a_reason_are_phrases(reason: Reason) -> None:
    for words in REASONS[reason]:
        assert words == words.strip()
        assert words.isprintable()
        assert "|" not in words
        assert not words.endswith(".")


@each("repair", Repair)
def test_the_words_for_a_repair_are_a_sentence(repair: Repair) -> None:
    assert REPAIRS[repair].isprintable()
    assert "|" not in REPAIRS[repair]
    assert REPAIRS[repair].endswith(".")


def test_only_what_waits_for_somebody_names_what_to_do_about_it() -> None:
    nothing = {reason for reason in Reason if REASONS[reason].remedy.startswith("nothing:")}
    assert nothing == {
        Reason.BEFORE_LINK,
        Reason.TEST_RECORD,
        Reason.OWN_EVENT,
        Reason.APPBOY_EVENT,
        Reason.FILTERED,
    }


def test_the_code_of_another_version_is_asked_by_its_text() -> None:
    assert REASONS.get("invalid_json") is REASONS[Reason.INVALID_JSON]
    assert REASONS.get("unsupported_kind") is None
