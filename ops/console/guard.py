"""The one place between a request and its page: who asks, whether they may, and what has failed."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlsplit
from uuid import uuid4

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from errors import OneLineError
from ops.bucket import Bucket
from ops.console import views
from ops.console.asks import Answer, Ask, Moved, Page, Refused, Sent, Shown, Site
from ops.console.people import Account, Right
from ops.console.sessions import LONGEST, Session
from stores.errors import StoreError

REFRESH: Final = "x-refresh"
"""The header of requests that the page's script makes by itself: nobody is there because of them."""
LOGINS: Final = 10
"""A minute, from one address and to one account."""
CHANGES: Final = 60
"""A minute, by one account."""
_LANGUAGE: Final = "language"
_BUCKETS: Final = 10_000  # that are remembered
_YEAR: Final = 365 * 86_400
_FORM: Final = Markup('<input type="hidden" name="csrf" value="{}">')
log = logging.getLogger("console")


@dataclass(frozen=True)
class Guard:
    """Answers requests; thread-safe, and called in threads."""

    site: Site
    pages: tuple[Page, ...]
    bucket: Any = field(default_factory=lambda: lru_cache(_BUCKETS)(lambda _who, per_minute: Bucket(per_minute)))

    @property
    def cookie(self) -> str:
        """The name of the session's cookie; the prefix binds it to this host where there is TLS."""
        return "__Host-console" if self.site.secure else "console"

    def answered(self, page: Page, request: Request, body: bytes) -> Response:
        """The response to a request, whatever happens."""
        known = self.site.sessions.read(request.cookies.get(self.cookie, ""))
        ask = self._ask(page, request, known or self.site.sessions.new(), body)
        try:
            ask = self._admitted(ask, request)
            answer = ask.page.handler(ask)
            response, session = self._response(ask, answer), _next_session(answer)
        except Exception as error:
            response, session = self._failed(ask, error), None
        if session or known is None or (known.stale and REFRESH not in request.headers):
            self._keep(response, session or ask.session)
        if page.name == "language" and response.status_code == 303:
            response.set_cookie(
                _LANGUAGE, ask.form["language"], _YEAR, secure=self.site.secure, httponly=True, samesite="lax"
            )
        return response

    def refused(self, request: Request, status: int) -> Response:
        """What no page serves."""

        def refuse(_: Ask) -> Answer:
            raise Refused(status)

        return self.answered(Page(request.url.path, "none", refuse, Right.OPEN), request, b"")

    def _ask(self, page: Page, request: Request, session: Session, body: bytes) -> Ask:
        return Ask(
            self.site,
            page,
            None,
            session,
            views.chosen(request.cookies.get(_LANGUAGE, ""), request.headers.get("accept-language", "")),
            request.client.host if request.client else "",
            datetime.now(UTC),
            request.url.path + (f"?{request.url.query}" if request.url.query else ""),
            request.query_params,
            dict(parse_qsl(body.decode(errors="replace"), keep_blank_values=True, max_num_fields=200)),
        )

    def _admitted(self, ask: Ask, request: Request) -> Ask:
        """The request with all that its page may know, once it may be asked. Raises Refused."""
        if request.url.hostname not in self._hosts():
            raise Refused(400, "This console is not reached by that host name.")
        ask = replace(ask, account=self._account(ask.session))
        page = ask.page
        if ask.account is None and page.needs is not Right.OPEN:
            place = "" if page.method == "POST" else f"?next={quote(ask.place, safe='')}"
            return replace(ask, page=replace(page, handler=lambda _: Moved(f"/login{place}")))
        if page.method == "POST":
            self._check_form(ask, request)
        if page.of_project:
            ask = replace(ask, project=_visible(ask, int(request.path_params["project_id"])))
        if ask.account and not ask.account.may(page.needs):
            raise Refused(403)
        return ask

    def _hosts(self) -> set[str | None]:
        host = urlsplit(self.site.url).hostname
        return {"127.0.0.1", "localhost", host} if host in {"127.0.0.1", "localhost"} else {host}

    def _account(self, session: Session) -> Account | None:
        found = self.site.accounts.get(session.name) if session.name else None
        return found if found and found.mark == session.mark else None

    def _check_form(self, ask: Ask, request: Request) -> None:
        """That a form was made for this session, by this site, and not too often. Raises Refused."""
        origin = request.headers.get("origin")
        ours = origin is None or urlsplit(origin).netloc == request.headers.get("host")
        if not ours or not self.site.sessions.genuine(ask.session, ask.form.get("csrf", "")):
            raise Refused(403, "This form is too old, or not from here. Open the page again and repeat it.")
        login = ask.page.path == "/login"
        whose = (f"from {ask.address}", f"to {ask.form.get('name')}") if login else (f"by {ask.session.name}",)
        taken = [self.bucket(who, LOGINS if login else CHANGES).take() for who in whose]
        if not all(taken):
            raise Refused(429)

    def _response(self, ask: Ask, answer: Answer) -> Response:
        match answer:
            case Moved(path):
                return RedirectResponse(path, 303)
            case Sent(body, media, name):
                headers = {"content-disposition": f'attachment; filename="{name}"'} if name else {}
                return Response(body, media_type=media, headers=headers)
            case Shown(template, values, status):
                return HTMLResponse(self._drawn(ask, template, values), status)

    def _drawn(self, ask: Ask, template: str, values: Mapping[str, Any]) -> str:
        account = ask.account or self._account(ask.session)
        common = {
            "account": account,
            "csrf": _FORM.format(self.site.sessions.token(ask.session)),
            "now": ask.now,
            "page": ask.page,
            "place": ask.place if ask.page.method == "GET" else "/",
            "project": ask.project,
            "navigation": [one for one in self.pages if one.label and account and account.may(one.needs)],
            "settings": ask.settings,
        }
        return views.drawn(ask.language, template, common | dict(values))

    def _failed(self, ask: Ask, error: Exception) -> Response:
        """A page that says what is wrong and what to do, and nothing of how this is made."""
        values: dict[str, Any]
        match error:
            case Refused(status=status, words=words):
                values = {"status": status, "words": words, "detail": ""}
            case StoreError():
                values = {"status": 503, "words": "", "detail": str(error) if self._staff(ask) else ""}
                log.warning("%s: %s", ask.page.name, error)
            case OneLineError():
                values = {"status": 400, "words": "", "detail": str(error)}
            case _:
                values = {"status": 500, "words": "", "detail": uuid4().hex[:12]}
                log.error("%s: %s", values["detail"], ask.page.name, exc_info=error)
        return HTMLResponse(self._drawn(ask, "error.html", values), values["status"])

    def _staff(self, ask: Ask) -> bool:
        """Whether somebody may know which part is away, and where it is."""
        account = self._account(ask.session)
        return account is not None and account.may(Right.STAFF)

    def _keep(self, response: Response, session: Session) -> None:
        """Let the browser have the session's cookie."""
        response.set_cookie(
            self.cookie,
            self.site.sessions.cookie(session),
            int(LONGEST),
            secure=self.site.secure,
            httponly=True,
            samesite="lax",
        )


def _next_session(answer: Answer) -> Session | None:
    return answer.session if isinstance(answer, Moved) else None


def _visible(ask: Ask, project_id: int) -> Any:
    """The project of this id, if there is one and the account sees it: what is not for it does not exist."""
    project = next((one for one in ask.seen() if one.project_id == project_id), None)
    if project is None:
        raise Refused(404)
    return project
