"""Coming in, going out, and the language of the pages."""

from urllib.parse import urlsplit

from ops.console.asks import Answer, Ask, Moved, Refused, Shown
from ops.console.views import LANGUAGES


def show(ask: Ask) -> Answer:
    """The form of the login."""
    return Moved("/") if ask.account else Shown("login.html", {"next": here(ask.query.get("next", ""))})


def enter(ask: Ask) -> Answer:
    """Log in with name and password: a session of a new id."""
    name = ask.form.get("name", "")
    account = ask.site.accounts.proven(name, ask.form.get("password", ""))
    there = here(ask.form.get("next", ""))
    if account is None:
        return Shown("login.html", {"next": there, "name": name, "wrong": True}, 403)
    ask.site.sessions.end(ask.session)
    return Moved(there, ask.site.sessions.new(account))


def leave(ask: Ask) -> Answer:
    """End the session, here and wherever its cookie was copied to."""
    ask.site.sessions.end(ask.session)
    return Moved("/login", ask.site.sessions.new())


def speak(ask: Ask) -> Answer:
    """Another language, for this browser."""
    if ask.form.get("language") not in LANGUAGES:
        raise Refused(400)
    return Moved(here(ask.form.get("next", "")))


def here(path: str) -> str:
    """The path, if it leads to a page of this console; else the first page."""
    parts = urlsplit(path)
    local = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable() and "\\" not in path
    return path if local and not parts.scheme and not parts.netloc else "/"
