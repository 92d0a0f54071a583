"""The console before real tables: who comes to which page, and what strangers' texts and forms can do there.

Which pages there are is read from the route table, so a new one is tested by being there.
"""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from errors import OneLineError
from ops.answers.connection import NAMELESS, Connection
from ops.answers.steps import AWAY, State, Step
from ops.console.app import HEADERS
from ops.console.asks import Page
from ops.console.guard import CHANGES, LOGINS
from ops.console.people import RIGHTS, Right, Role
from ops.console.routes import PAGES
from ops.console.server import site_of
from settings import parse
from stores.audit import Audit
from stores.project import linked
from stores.projects import Projects
from stores.usage import Usage, UsageTable
from tests.cases import each
from tests.console import BASE, Browser, Console, away

ACME, GLOBEX, HOSTILE = 434735, 100011471, 5
XSS = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{7*7}}</textarea>"
GUARDED = [page for page in PAGES if page.needs is not Right.OPEN]


def path_of(page: Page, project_id: int = ACME) -> str:
    return re.sub(r"\{project_id:int\}", str(project_id), page.path)


def asked(browser: Browser, page: Page, project_id: int = ACME) -> int:
    """The status of a page; a change is sent with the token of its session."""
    path = path_of(page, project_id)
    answer = browser.submit(path) if page.method == "POST" else browser.get(path, follow_redirects=False)
    return answer.status_code


def opened(folder: Path, endpoint: str) -> Console:
    """A console of its own tables, with a project of each of two customers, and one of a hostile name."""
    sections = away(folder) | {"dynamodb": {"endpoint": endpoint, "table_prefix": f"{folder.name}-"}}
    found = Console(folder, sections)
    projects, usage = Projects(found.settings.tables_address), UsageTable(found.settings.tables_address)
    projects.create()
    usage.create()
    for project_id, name in ((ACME, "acme"), (GLOBEX, "globex"), (HOSTILE, XSS)):
        projects.add(linked(project_id, name, monthly_limit=1_000))
    usage.raise_totals([Usage(ACME, _month(), 1_300, 1_234)])
    return found


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory, dynamodb_endpoint: str) -> Console:
    return opened(tmp_path_factory.mktemp("console"), dynamodb_endpoint)


@pytest.fixture
def changed(tmp_path_factory: pytest.TempPathFactory, dynamodb_endpoint: str) -> Console:
    """A console that a test may change."""
    return opened(tmp_path_factory.mktemp("changed"), dynamodb_endpoint)


def _month() -> str:
    return f"{datetime.now(UTC):%Y-%m}"


@pytest.fixture(scope="module")
def browsers(console: Console) -> dict[Role, Browser]:
    return {role: console.browser(role) for role in Role}


def test_before_anything_is_counted_the_overview_is_empty_and_not_away(
    tmp_path: Path, dynamodb_endpoint: str
) -> None:
    sections = away(tmp_path) | {"dynamodb": {"endpoint": dynamodb_endpoint, "table_prefix": "empty-"}}
    answer = Console(tmp_path, sections).browser(Role.OPERATOR).get("/")
    assert (answer.status_code, "No project is registered yet" in answer.text) == (200, True)


@each("page", GUARDED, ids=lambda page: page.name)
def test_nothing_is_open_without_login(console: Console, page: Page) -> None:
    stranger = console.browser()
    answer = stranger.request(page.method, path_of(page), follow_redirects=False)
    assert (answer.status_code, answer.headers["location"].partition("?")[0]) == (303, "/login")


@each(("role", "page"), [(role, page) for role in Role for page in GUARDED if page.name != "log out"])
def test_a_role_reaches_what_it_has_the_right_to_and_nothing_else(
    changed: Console, role: Role, page: Page
) -> None:
    status = asked(changed.browser(role), page)
    if page.needs in RIGHTS[role]:
        assert status not in {401, 403, 404, 405, 500}
    else:
        assert status == 403


def test_projects_of_others_do_not_exist_for_a_customer(browsers: dict[Role, Browser]) -> None:
    customer = browsers[Role.CUSTOMER]
    for page in PAGES:
        if page.of_project:
            assert [asked(customer, page, project_id) for project_id in (GLOBEX, 12345)] == [404, 404], page.name


@each("page", [page for page in PAGES if page.method == "POST"], ids=lambda page: page.name)
def test_a_form_of_elsewhere_does_nothing(console: Console, page: Page) -> None:
    browser, other = console.browser(Role.OPERATOR), console.browser(Role.OPERATOR)
    path = path_of(page)
    forged = [
        browser.post(path, data={}),
        browser.post(path, data={"csrf": "0" * 64}),
        browser.post(path, data={"csrf": other.token()}),
        browser.post(path, data={"csrf": browser.token()}, headers={"origin": "https://elsewhere.example"}),
        browser.post(path, data={"csrf": browser.token()}, headers={"origin": "null"}),
    ]
    assert [answer.status_code for answer in forged] == [403] * 5
    assert browser.get("/").status_code == 200


@each("page", [page for page in PAGES if page.method == "GET"], ids=lambda page: page.name)
def test_a_page_changes_nothing_by_being_looked_at(console: Console, page: Page) -> None:
    if all(one.method == "GET" for one in PAGES if one.path == page.path):
        assert console.browser(Role.OPERATOR).post(path_of(page), data={}).status_code == 405


@each("role", Role)
def test_texts_of_strangers_are_texts(browsers: dict[Role, Browser], role: Role) -> None:
    for page in PAGES:
        if page.method == "GET" and (role is not Role.CUSTOMER or not page.of_project):
            text = browsers[role].get(path_of(page, HOSTILE)).text
            assert "<script>alert" not in text
            assert "<img src=x" not in text
            assert "{{7*7}}</textarea>" not in text


def test_a_hostile_name_is_shown_escaped(browsers: dict[Role, Browser]) -> None:
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in browsers[Role.OPERATOR].get("/").text


def test_every_response_has_the_headers(console: Console, browsers: dict[Role, Browser]) -> None:
    operator = browsers[Role.OPERATOR]
    paths = [path_of(page) for page in PAGES if page.method == "GET"]
    for path in (*paths, "/nowhere", "/static/console.css", "/static/none", "/health/live", "/metrics"):
        headers = operator.get(path).headers
        assert {name: headers.get(name) for name in HEADERS} == HEADERS, path
    assert console.browser().get("/").headers["cache-control"] == "no-store"


@each("page", [page for page in PAGES if page.method == "GET"], ids=lambda page: page.name)
def test_no_page_has_script_or_style_within(browsers: dict[Role, Browser], page: Page) -> None:
    text = browsers[Role.OPERATOR].get(path_of(page)).text
    assert not re.search(r"<script(?! src=\"/static/)|<style| style=| on[a-z]+=\"|javascript:", text)
    assert not re.search(r"(?:src|href|action)=\"(?:https?:)?//", text)


# --- Login ---------------------------------------------------------------------------------------------------


def test_the_id_of_a_session_is_new_after_the_login(console: Console) -> None:
    browser = console.browser()
    browser.get("/login")
    planted = browser.cookies["console"]
    before = console.site.sessions.read(planted)
    browser.log_in("operator", console.passwords[Role.OPERATOR])
    after = console.site.sessions.read(browser.cookies["console"])
    assert before
    assert after
    assert before.id != after.id
    assert console.site.sessions.read(planted) is None


def test_who_has_logged_out_is_out_wherever_the_cookie_was_copied_to(console: Console) -> None:
    browser = console.browser(Role.OPERATOR)
    copied = browser.cookies["console"]
    assert browser.submit("/logout").status_code == 303
    thief = console.browser()
    thief.cookies.set("console", copied, domain="127.0.0.1")
    assert thief.get("/", follow_redirects=False).headers["location"] == "/login?next=%2F"


def test_a_wrong_password_is_told_without_saying_what_is_wrong(console: Console) -> None:
    pages = [console.browser().log_in(name, "wrong") for name in ("operator", "nobody")]
    assert [page.status_code for page in pages] == [403, 403]
    assert len({re.sub(r'value="[^"]*"', "", page.text) for page in pages}) == 1


@each(
    "next_path",
    [
        "//evil.example",
        "/\\evil.example",
        "https://evil.example",
        "javascript:alert(1)",
        "\\/evil",
        "/\t/evil",
        " //e",
    ],
)
def test_a_login_leads_nowhere_else(console: Console, next_path: str) -> None:
    answer = console.browser().log_in("support", console.passwords[Role.SUPPORT], next=next_path)
    assert answer.headers["location"] == "/"


def test_the_cookie_is_for_this_site_alone(console: Console) -> None:
    assert re.fullmatch(
        r"console=[\w.-]+; HttpOnly; Max-Age=43200; Path=/; SameSite=lax",
        console.browser().get("/login").headers["set-cookie"],
    )


def test_another_host_name_is_refused(console: Console) -> None:
    assert console.browser().get("/login", headers={"host": "evil.example"}).status_code == 400


def test_a_form_that_is_too_long_is_refused(console: Console) -> None:
    assert console.browser().post("/login", content=b"a" * 70_000).status_code == 413


# --- Language, overview --------------------------------------------------------------------------------------


def test_the_language_is_the_browsers_until_it_is_chosen(console: Console) -> None:
    browser = console.browser(Role.OPERATOR)
    korean = {"accept-language": "ko-KR,ko;q=0.9"}
    assert '<html lang="ko">' in browser.get("/", headers=korean).text
    assert "로그아웃" in browser.get("/", headers=korean).text
    assert browser.submit("/language", language="en", next="/").status_code == 303
    assert '<html lang="en">' in browser.get("/", headers=korean).text
    assert browser.submit("/language", language="xx").status_code == 400


def test_the_overview_has_trouble_first_and_a_customers_own_alone(browsers: dict[Role, Browser]) -> None:
    found = {role: re.findall(r"<b>[^<]*</b> <code>(\d+)</code>", browsers[role].get("/").text) for role in Role}
    assert found[Role.OPERATOR] == found[Role.SUPPORT] == [str(ACME), str(HOSTILE), str(GLOBEX)]
    assert found[Role.CUSTOMER] == [str(ACME)]
    assert "1,234" in browsers[Role.CUSTOMER].get("/").text


# --- Trouble -------------------------------------------------------------------------------------------------


def test_a_store_that_is_away_is_a_page_that_says_so(tmp_path: Path) -> None:
    console = Console(tmp_path, away(tmp_path))
    pages = {role: console.browser(role).get("/") for role in Role}
    assert {page.status_code for page in pages.values()} == {503}
    assert "DynamoDB cannot be reached" in pages[Role.SUPPORT].text
    assert "127.0.0.1:1" not in pages[Role.CUSTOMER].text
    assert all("Events go on arriving meanwhile" in page.text for page in pages.values())


def test_a_failure_of_ours_shows_a_number_and_no_trace(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    console = Console(tmp_path, away(tmp_path))
    operator = console.browser(Role.OPERATOR)
    for key in ("registry", "usage", "last raised"):
        console.site.reads.get(key, 60, lambda: [None])  # a bug
    page = operator.get("/")
    number = re.search(r"<code>([0-9a-f]{12})</code>", page.text)
    assert (page.status_code, "Traceback" in page.text, "NoneType" in page.text) == (500, False, False)
    assert number
    assert number[1] in caplog.text


def test_logins_and_changes_are_limited(tmp_path: Path) -> None:
    console = Console(tmp_path, away(tmp_path))
    stranger = console.browser()
    assert [stranger.log_in("operator", "wrong").status_code for _ in range(LOGINS + 1)] == [403] * LOGINS + [429]
    console = Console(tmp_path, away(tmp_path))
    support = console.browser(Role.SUPPORT)
    token = support.token()
    tried = [
        support.post("/language", data={"csrf": token, "language": "en"}, follow_redirects=False).status_code
        for _ in range(CHANGES + 1)
    ]
    assert tried == [303] * CHANGES + [429]


def test_the_console_says_that_it_is_alive(console: Console) -> None:
    browser = console.browser()
    assert [browser.get(path).text for path in ("/health/live", "/health/ready")] == ["ok\n", "ok\n"]
    browser.get(f"{BASE}/login")
    assert 'console_requests_total{page="login",status="200"}' in browser.get("/metrics").text


# --- Connect -------------------------------------------------------------------------------------------------


def registered(console: Console, project_id: int) -> list[str]:
    """The Notifly projects of a registered project's links, with those that have ended in brackets."""
    links = Projects(console.settings.tables_address).get(project_id).links
    return [f"({one.notifly_project})" if one.unlinked_at else one.notifly_project for one in links]


def test_saving_a_project_links_it_and_begins_its_test(changed: Console) -> None:
    operator = changed.browser(Role.OPERATOR)
    answer = operator.submit("/connect", project_id=" 203138 ", notifly_project="newcomer")
    assert re.fullmatch(r"/projects/203138/connect\?test=[\d-]+T[\d:]+Z", answer.headers["location"])
    assert registered(changed, 203138) == ["newcomer"]
    page = operator.get(answer.headers["location"]).text
    assert '<dialog open data-open aria-labelledby="test-title">' in page
    told = [
        (entry.account, entry.action, entry.project_id)
        for entry in Audit(changed.settings.tables_address).newest()
    ]
    assert told == [("operator", "projects.add", 203138)]


@each(
    ("role", "fields", "status", "words"),
    [
        (Role.OPERATOR, {"project_id": "x1", "notifly_project": "a"}, 422, "This is no project id of Amplitude"),
        (Role.OPERATOR, {"project_id": "٣", "notifly_project": "a"}, 422, "This is no project id of Amplitude"),
        (
            Role.OPERATOR,
            {"project_id": str(2**63), "notifly_project": "a"},
            422,
            "This is no project id of Amplitude",
        ),
        (Role.OPERATOR, {"project_id": "7", "notifly_project": " a"}, 422, "Choose the Notifly project"),
        (Role.OPERATOR, {"project_id": str(GLOBEX), "notifly_project": "a"}, 409, "is registered already"),
        (Role.CUSTOMER, {"project_id": "7", "notifly_project": "globex"}, 422, "Choose the Notifly project"),
        (
            Role.CUSTOMER,
            {"project_id": "7", "notifly_project": "acme"},
            409,
            "as its plan allows (1): 434735. For more write to contact@notifly.tech",
        ),
    ],
)
def test_what_cannot_be_registered_is_refused_in_words(
    changed: Console, role: Role, fields: dict[str, str], status: int, words: str
) -> None:
    answer = changed.browser(role).submit("/connect", **fields)
    assert (answer.status_code, words in answer.text) == (status, True)
    assert [one.project_id for one in Projects(changed.settings.tables_address).list()] == [HOSTILE, ACME, GLOBEX]


def test_a_second_project_is_linked_where_the_plan_allows_it(changed: Console) -> None:
    Projects(changed.settings.tables_address).allow("acme", 2)
    answer = changed.browser(Role.CUSTOMER).submit("/connect", project_id="7", notifly_project="acme")
    assert answer.status_code == 303
    assert registered(changed, 7) == ["acme"]


def test_a_link_ends_and_begins_again(changed: Console) -> None:
    customer = changed.browser(Role.CUSTOMER)
    here = f"/projects/{ACME}"
    assert customer.submit(f"{here}/unlink").headers["location"] == f"{here}/connect"
    assert registered(changed, ACME) == ["(acme)"]
    assert "are counted, and not kept" in customer.get(f"{here}/connect").text
    refused = customer.submit(f"{here}/unlink")
    assert (refused.status_code, "there is no link to end" in refused.text) == (409, True)
    assert customer.submit(f"{here}/link").status_code == 303
    assert registered(changed, ACME) == ["(acme)", "acme"]


def step(name: str, state: State, words: str = "words") -> Step:
    return Step(name, state, words)


WELL = (step("stream", "ok"), step("role", "ok"), step("registry", "ok"), step("job", "ok"), step("lag", "ok"))
ENDS = [
    (WELL, None, "Now test the destination in Amplitude", True),
    (WELL, step("arrival", "ok"), "The connection works", False),
    (
        WELL,
        step("arrival", "ok", f"test record. {NAMELESS}"),
        "only the first event of yours makes it certain",
        True,
    ),
    (WELL, step("arrival", "failed", f"{AWAY}the lake"), "The fault is Notifly's", True),
    (WELL, step("arrival", "failed"), "events are selected under Send Events", False),
    ((step("stream", "failed"), *WELL[1:]), step("arrival", "not checked"), "The fault is Notifly's", False),
    ((WELL[0], step("role", "failed"), *WELL[2:]), step("arrival", "not checked"), "Compare the Role ARN", False),
    (
        (*WELL[:2], step("registry", "failed"), *WELL[3:]),
        step("arrival", "not checked"),
        "Link the project first",
        False,
    ),
    (
        (*WELL[:3], step("job", "failed"), WELL[4]),
        step("arrival", "not checked"),
        "The fault is Notifly's",
        False,
    ),
    ((*WELL[:4], step("lag", "failed")), step("arrival", "ok"), "The fault is Notifly's", False),
]


@each(("steps", "last", "words", "goes_on"), ENDS)
def test_a_test_ends_with_what_to_do(
    console: Console, steps: tuple[Step, ...], last: Step | None, words: str, goes_on: bool
) -> None:
    begun = datetime.now(UTC).replace(microsecond=0)
    found = Connection(ACME, steps)
    for key, value in ((("checked", ACME), found), (("looked", ACME, begun, found.failed), last)):
        console.site.reads.forget(key)
        console.site.reads.get(key, 60, lambda value=value: value)
    page = console.browser(Role.CUSTOMER).get(f"/projects/{ACME}/connect?test={begun:%Y-%m-%dT%H:%M:%SZ}").text
    assert words in page
    assert ('data-refresh="2"' in page) is goes_on
    assert ('<meta http-equiv="refresh"' in page) is goes_on


@each("test", ["", "x", "2026-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00"])
def test_a_test_that_never_began_is_none(console: Console, test: str) -> None:
    page = console.browser(Role.CUSTOMER).get(f"/projects/{ACME}/connect", params={"test": test})
    assert (page.status_code, "<dialog" in page.text) == (200, False)


# --- Many projects, and the start ------------------------------------------------------------------------------


def test_many_projects_are_pages_that_can_be_searched(tmp_path: Path) -> None:
    console = Console(tmp_path, away(tmp_path))
    known = {
        "registry": [linked(number, f"shop-{number}") for number in range(250)],
        "usage": [],
        "last raised": {},
        "bridge": (),
    }
    for key, value in known.items():
        console.site.reads.get(key, 60, lambda value=value: value)
    operator = console.browser(Role.OPERATOR)
    found = {
        query: re.findall(r"<code>(\d+)</code>", operator.get(f"/{query}").text)
        for query in ("", "?page=2", "?page=99", "?page=x", "?q=SHOP-24", "?q=%3Cb%3E")
    }
    assert {query: (len(ids), *ids[:1]) for query, ids in found.items()} == {
        "": (100, "0"),
        "?page=2": (50, "200"),
        "?page=99": (50, "200"),
        "?page=x": (100, "0"),
        "?q=SHOP-24": (11, "24"),
        "?q=%3Cb%3E": (0,),
    }


@each(
    ("own", "words"),
    [
        ({}, "console.accounts_file is not set"),
        ({"accounts_file": "/nowhere/accounts"}, "console.session_keys_file is not set"),
        ({"accounts_file": "/nowhere/accounts", "host": "0.0.0.0"}, "console.url is not set"),  # noqa: S104
    ],
)
def test_a_setting_that_is_missing_stops_the_start(tmp_path: Path, own: dict[str, str], words: str) -> None:
    with pytest.raises(OneLineError, match=words):
        site_of(parse({**away(tmp_path), "console": own}, "test"), "http://127.0.0.1:1")
