"""The route table: every page and every change of the console, and what right it needs.

How a page is added:

1. `pages/<page>.py`: plain functions `def show(ask: Ask) -> Answer`, which run in a thread and may block. They ask
   `ops.answers` through `ask.shared(key, seconds, question)` (one look at the store for all open pages), take
   `ask.of` (the project of the path), `ask.query`, `ask.form`, `ask.who`, `ask.now`, and return
   `Shown("<page>.html", {…})`, `Moved("/path")` after a change, or `Sent(…)` for a file. A StoreError becomes the
   page "away" (503), `raise Refused(404)` the page of that status.
2. `templates/<page>.html` extends `base.html` (block `title`, block `main`; macros in `macros.html`). Texts are
   `{{ _("English sentence with %(n)s", n=…) }}`; filters: `number`, `percent`, `ago` (an aware or naive UTC time),
   `moment`. Forms are POST, with `{{ csrf }}` as their first line. `data-refresh="5"` with an id makes an element
   anew every 5 s; no inline script or style passes the CSP.
3. A line in `PAGES`, with the right it needs. `label` puts it into the navigation. POST is for changes alone, and
   checks the token before the handler runs. A handler that changes the registry calls
   `ask.site.reads.forget(REGISTRY)`.
4. `words/ko.po`: each English text with its Korean one; a unit test names what is missing.

The security tests are made from this table: a new line is tested by being there.
"""

from typing import Final

from ops.console.asks import Page
from ops.console.pages import (
    audit,
    connect,
    destination,
    diagnosis,
    keys,
    letters,
    live,
    login,
    overview,
    record,
    usage,
    user,
)
from ops.console.people import Right

_PROJECT: Final = "/projects/{project_id:int}"

PAGES: Final = (
    Page("/login", "login", login.show, Right.OPEN),
    Page("/login", "log in", login.enter, Right.OPEN, method="POST"),
    Page("/language", "language", login.speak, Right.OPEN, method="POST"),
    Page("/logout", "log out", login.leave, Right.READ, method="POST"),
    Page("/", "overview", overview.show, Right.READ, label="Overview"),
    Page("/connect", "connect new", connect.form, Right.CHANGE, label="Connect a project"),
    Page("/connect", "register", connect.register, Right.CHANGE, method="POST"),
    Page(f"{_PROJECT}/connect", "connect", connect.show, Right.READ, label="Connect"),
    Page(f"{_PROJECT}/usage", "usage", usage.show, Right.READ, label="Usage"),
    Page(f"{_PROJECT}/usage.json", "usage.json", usage.as_json, Right.READ),
    Page(f"{_PROJECT}/usage.csv", "usage.csv", usage.as_csv, Right.READ),
    Page(f"{_PROJECT}/test", "test", connect.test, Right.READ, method="POST"),
    Page(f"{_PROJECT}/link", "link", connect.link, Right.CHANGE, method="POST"),
    Page(f"{_PROJECT}/unlink", "unlink", connect.unlink, Right.CHANGE, method="POST"),
    Page("/records", "any record", record.show, Right.STAFF),
    Page("/records/bytes", "bytes of any record", record.show_bytes, Right.OPERATE, method="POST"),
    Page("/audit", "whole audit", audit.show, Right.STAFF, label="Audit"),
    Page(f"{_PROJECT}/live", "live", live.show, Right.READ, label="Live tail"),
    Page(f"{_PROJECT}/records", "record", record.show, Right.READ),
    Page(f"{_PROJECT}/records/bytes", "bytes", record.show_bytes, Right.BYTES, method="POST"),
    Page(f"{_PROJECT}/audit", "audit", audit.show, Right.READ, label="Audit"),
    Page("/quiet", "quiet", diagnosis.quiet, Right.READ, label="It went quiet"),
    Page("/dead-letters", "all dead letters", letters.show, Right.STAFF, label="Dead letters"),
    Page(f"{_PROJECT}/diagnosis", "diagnosis", diagnosis.show, Right.READ, label="Diagnosis"),
    Page(f"{_PROJECT}/quiet", "quiet names", diagnosis.quiet_names, Right.READ, label="It went quiet"),
    Page(f"{_PROJECT}/dead-letters", "dead letters", letters.show, Right.READ, label="Dead letters"),
    Page(f"{_PROJECT}/dead-letters/replay", "replay letters", letters.replay, Right.CHANGE, method="POST"),
    Page(f"{_PROJECT}/users", "users", user.show, Right.READ, label="Users and cohorts"),
    Page(f"{_PROJECT}/destination", "destination", destination.show, Right.READ, label="Destination"),
    Page(f"{_PROJECT}/destination", "set destination", destination.set_key, Right.CHANGE, method="POST"),
    Page(f"{_PROJECT}/destination/test", "test destination", destination.test, Right.CHANGE, method="POST"),
    Page(f"{_PROJECT}/destination/pause", "pause destination", destination.pause, Right.CHANGE, method="POST"),
    Page(f"{_PROJECT}/destination/resume", "resume destination", destination.resume, Right.CHANGE, method="POST"),
    Page(f"{_PROJECT}/destination/replay", "replay refused", destination.replay, Right.CHANGE, method="POST"),
    Page(f"{_PROJECT}/destination/samples", "samples of refused", destination.samples, Right.BYTES, method="POST"),
    Page(f"{_PROJECT}/keys", "keys", keys.show, Right.READ, label="Access keys"),
    Page(f"{_PROJECT}/keys", "make key", keys.create, Right.CHANGE, method="POST"),
    Page(f"{_PROJECT}/keys/rotate", "rotate key", keys.rotate, Right.CHANGE, method="POST"),
    Page(f"{_PROJECT}/keys/revoke", "revoke key", keys.revoke, Right.CHANGE, method="POST"),
)
