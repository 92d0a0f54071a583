"""The words of the pages: each of them is there in Korean, and none that nobody says."""

import ast
import re
from pathlib import Path

from ops.console import views
from ops.console.people import Role
from ops.console.routes import PAGES

CONSOLE = Path(views.__file__).parent
PLACES = re.compile(r"%\(\w+\)s")


def said() -> set[str]:
    """Every text that a page may show."""
    found = {page.label for page in PAGES if page.label} | {*map(str, Role)}
    for template in sorted((CONSOLE / "templates").glob("*.html")):
        for _, function, message in views.environment("en").extract_translations(template.read_text("utf-8")):
            found.add(message if isinstance(message, str) else message[function == "ngettext"])
    for module in sorted(CONSOLE.rglob("*.py")):
        for node in ast.walk(ast.parse(module.read_text("utf-8"))):
            match node:
                case ast.Call(func=ast.Name(id="Refused"), args=[_, ast.Constant(value=str(words))]):
                    found.add(words)
    return found


def test_every_text_is_there_in_korean_and_no_other() -> None:
    assert {*views.catalogue("ko")} == said()


def test_a_translation_has_the_places_of_its_text() -> None:
    wrong = [
        text
        for text, korean in views.catalogue("ko").items()
        if {*PLACES.findall(text)} != {*PLACES.findall(korean)}
    ]
    assert wrong == []


def test_a_translation_can_be_filled_in() -> None:
    for text, korean in views.catalogue("ko").items():
        for one in (text, korean):
            one % dict.fromkeys(re.findall(r"%\((\w+)\)s", one), "x")


def test_the_language_is_the_chosen_one_else_what_the_browser_accepts() -> None:
    found = [
        views.chosen(*one)
        for one in (("ko", "en"), ("", "ko-KR,ko;q=0.9,en;q=0.8"), ("", "fr,en;q=0.5"), ("xx", "fr"), ("", ""))
    ]
    assert found == ["ko", "ko", "en", "en", "en"]
