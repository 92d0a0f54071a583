"""Templates and words: what an answer looks like in English and Korean."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from babel import Locale
from babel.dates import format_datetime, format_skeleton, format_timedelta
from babel.messages.pofile import read_po
from babel.numbers import format_compact_decimal, format_decimal, format_percent
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

HERE: Final = Path(__file__).parent
STATIC: Final = HERE / "static"
_NONE: Final = "\N{EN DASH}"
LANGUAGES: Final = {"en": "English", "ko": "한국어"}
"""By tag: the language's own name."""


@cache
def catalogue(language: str) -> Mapping[str, str]:
    """The words of a language by the English ones; none for English."""
    file = HERE / "words" / f"{language}.po"
    if not file.exists():
        return {}
    with file.open("rb") as source:
        return {str(one.id): str(one.string) for one in read_po(source) if one.id and one.string}


def chosen(cookie: str, accepted: str) -> str:
    """The language of a browser: the one that was chosen, else the first known one that it accepts."""
    if cookie in LANGUAGES:
        return cookie
    tags = (part.partition(";")[0].strip().partition("-")[0].lower() for part in accepted.split(","))
    return next((tag for tag in tags if tag in LANGUAGES), "en")


@cache
def _version() -> str:
    """Changes with any static file, so that browsers may keep each for long."""
    files = sorted(STATIC.iterdir())
    return sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]


@cache
def environment(language: str) -> Environment:
    """What draws pages in one language. Whatever is put into a template is escaped."""
    found = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    look = _Look(language)
    gettext: Any = found  # the extension gives the environment this method
    gettext.install_gettext_callables(look.say, look.say_many, newstyle=True)
    found.filters |= {
        "number": look.number,
        "percent": look.percent,
        "moment": look.moment,
        "day": look.day,
        "short": look.short,
        "ago": look.ago,
        "say": look.say,
    }
    found.globals |= {"language": language, "languages": LANGUAGES, "version": _version()}
    return found


class _Look:
    """What words, numbers and times look like in a language; None is a dash."""

    def __init__(self, language: str) -> None:
        self._words, self._locale = catalogue(language), Locale(language)

    def say(self, text: str) -> str:
        return self._words.get(text, text)

    def say_many(self, one: str, many: str, n: int) -> str:
        return self.say(one if n == 1 and self._locale.language == "en" else many)

    def number(self, n: int | None) -> str:
        return _NONE if n is None else format_decimal(n, locale=self._locale)

    def percent(self, share: float | None) -> str:
        return _NONE if share is None else format_percent(share / 100, "#,##0.#%", locale=self._locale)

    def short(self, n: int) -> str:
        """A number of an axis."""
        return format_compact_decimal(n, locale=self._locale, fraction_digits=1)

    def day(self, iso: str | None) -> str:
        """A UTC day as people say it; empty where there is none."""
        return format_skeleton("MMMMd", date.fromisoformat(iso), locale=self._locale) if iso else ""

    def moment(self, at: datetime | None) -> str:
        return _NONE if at is None else _time(at, f"{format_datetime(_utc(at), locale=self._locale)} UTC")

    def ago(self, at: datetime | None, now: datetime) -> str:
        if at is None:
            return _NONE
        return _time(at, format_timedelta(_utc(at) - now, add_direction=True, locale=self._locale))


def drawn(language: str, template: str, values: Mapping[str, Any]) -> str:
    """A page."""
    return environment(language).get_template(template).render(values)


def _utc(at: datetime) -> datetime:
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def _time(at: datetime, words: str) -> Markup:
    """A time of day as browsers know it; the script adds the viewer's own zone to the title."""
    exact = f"{_utc(at):%Y-%m-%d %H:%M:%S} UTC"
    return Markup('<time datetime="{}" title="{}">{}</time>').format(_utc(at).isoformat(), exact, words)
