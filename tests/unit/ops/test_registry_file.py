"""The registry as a file: what is refused, and what would change."""

from datetime import datetime

import pytest

from ops.answers.registry_file import FileError, Wanted, differences, exported, parse
from stores.project import Link, Plan, Project, Terms
from stores.rules import EventFilter, FieldRule, Rules
from tests.cases import each

NOW = datetime(2026, 3, 15, 12)  # noqa: DTZ001  naive UTC, as the registry has it
JANUARY, FEBRUARY, MARCH = (datetime(2026, month, 1) for month in (1, 2, 3))  # noqa: DTZ001
RULES = Rules(
    (FieldRule("ip_address", "drop"), FieldRule("user_properties.phone", "hash")), (EventFilter("Heartbeat"),)
)
OPEN = Project(1, (Link("acme", JANUARY),))
FILE = """
[plans]
acme = 2

[[projects]]
project_id = 1
links = [{ notifly_project = "acme", linked_at = 2026-01-01T09:00:00+09:00 }]

[[projects]]
project_id = 2
monthly_limit = 500
thresholds = [100, 80, 80]
snapshot_hours = 24
field_rules = { "ip_address" = "drop", "user_properties.phone" = "hash" }
event_filters = [{ event = "Heartbeat" }]
links = [
  { notifly_project = "acme", linked_at = 2026-01-01T00:00:00Z, unlinked_at = 2026-02-01T00:00:00Z },
  { notifly_project = "globex", linked_at = 2026-03-01T00:00:00Z },
]
"""


def words(text: str, *registered: Project, prune: bool = False, **plans: int) -> list[str]:
    places = {name: Plan(name, most) for name, most in plans.items()}
    return [one.words for one in differences(parse(text.encode(), "f"), registered, places, NOW, prune=prune)]


def refusal(text: str, *registered: Project, **plans: int) -> str:
    with pytest.raises(FileError) as raised:
        words(text, *registered, **plans)
    return str(raised.value)


def test_a_file_is_read() -> None:
    assert parse(FILE.encode(), "registry.toml") == Wanted(
        "registry.toml",
        {
            1: OPEN,
            2: Project(
                *(2, (Link("acme", JANUARY, FEBRUARY), Link("globex", MARCH))),
                *(Terms(500, (80, 100)), (), 24, RULES),
            ),
        },
        {"acme": 2},
    )


def test_what_is_not_there_is_added_and_plans_that_grow_go_first() -> None:
    assert words(FILE) == [
        "~ plan acme: 2 projects linked at a time (was 1)",
        "+ project 1: linked to acme from 2026-01-01T00:00:00Z on, 10,000,000 events a month, "
        "alerts at 50, 80, 90, 100 %",
        "+ project 2: linked to globex from 2026-03-01T00:00:00Z on, 500 events a month, alerts at 80, 100 %",
        "~ project 2: user properties on events change profiles, unless uploaded more than 24 h after the event",
        "~ project 2: field rules ip_address dropped; user_properties.phone hashed, filters 1: 'Heartbeat'",
    ]


def test_a_file_without_rules_ends_those_that_there_are() -> None:
    ruled = OPEN._replace(rules=RULES)
    assert words(ONE, ruled) == ["~ project 1: field rules none, filters none"]
    assert words(exported([ruled], {}), ruled) == []


def test_ends_of_links_come_before_what_needs_their_place_and_plans_that_shrink_last() -> None:
    text = """
    plans = { acme = 1 }
    projects = [
      { project_id = 3, links = [{ notifly_project = "acme", linked_at = 2026-03-01T00:00:00Z }] },
      { project_id = 1, links = [
        { notifly_project = "acme", linked_at = 2026-01-01T00:00:00Z, unlinked_at = 2026-02-01T00:00:00Z },
        { notifly_project = "globex", linked_at = 2026-02-01T00:00:00Z, unlinked_at = 2026-03-01T00:00:00Z },
      ] },
    ]
    """
    assert words(text, OPEN, acme=3) == [
        "~ project 1: unlinked from acme as of 2026-02-01T00:00:00Z",
        "+ project 3: linked to acme from 2026-03-01T00:00:00Z on, 10,000,000 events a month, "
        "alerts at 50, 80, 90, 100 %",
        "~ project 1: linked to globex from 2026-02-01T00:00:00Z on",
        "~ project 1: unlinked from globex as of 2026-03-01T00:00:00Z",
        "~ plan acme: 1 projects linked at a time (was 3)",
    ]


def test_terms_and_snapshots_change_on_their_own() -> None:
    known = OPEN._replace(terms=Terms(5, ()), snapshot_hours=3)
    assert words(FILE.partition("[[projects]]\nproject_id = 2")[0], known, acme=2) == [
        "~ project 1: 10,000,000 events a month, alerts at 50, 80, 90, 100 % (was 5 events a month, no alerts), "
        "from 2026-03 on",
        "~ project 1: user properties on events do not change profiles",
    ]


def test_what_a_file_does_not_name_stays_unless_it_is_pruned() -> None:
    others = (OPEN, Project(7, (Link("globex", JANUARY),)), Project(8, (Link("acme", JANUARY, FEBRUARY),)))
    assert words("", *others, acme=3, globex=1) == []
    assert words("", *others, acme=3, globex=1, prune=True) == [
        "- project 1: unlinked from acme as of 2026-03-15T12:00:00Z",
        "- project 7: unlinked from globex as of 2026-03-15T12:00:00Z",
        "~ plan acme: 1 projects linked at a time (was 3)",
    ]


ONE = '[[projects]]\nproject_id = 1\nlinks = [{ notifly_project = "acme", linked_at = 2026-01-01T00:00:00Z }]\n'
WRONG = {
    "no TOML": ("a = [\n1,\n", "f: is no TOML: Invalid value (at end of document)"),
    "an unknown section": (
        "[project]\n",
        "f: project is nothing that a file of the registry has: see projects export",
    ),
    "an unknown key": (
        f"{ONE}limit = 5\n",
        "f, line 1: projects[0].limit is nothing that a file of the registry has: ",
    ),
    "a key that would steer a terminal": (
        '"\\u001b[31m" = 1',
        "f: '\\x1b[31m' is nothing that a file of the registry",
    ),
    "a link without a time": (
        f'{ONE}\n[[projects]]\nproject_id = 2\nlinks = [{{ notifly_project = "x" }}]\n',
        "f, line 5: projects[1].links[0].linked_at is missing",
    ),
    "no link": (
        "[[projects]]\nproject_id = 1\nlinks = []\n",
        "f, line 1: projects[0].links = []: List should have ",
    ),
    "a time without a zone": (
        ONE.replace("00Z", "00"),
        "f, line 1: projects[0].links[0].linked_at = 2026-01-01T00:00:00: Input should have timezone info",
    ),
    "a time to come": (
        ONE.replace("2026", "3026"),
        "f, line 1: projects[0].links[0].linked_at = 3026-01-01T00:00:00+00:00: lies in the future: ",
    ),
    "a time before all": (
        ONE.replace("2026-01-01T00:00:00Z", "0001-01-01T00:00:00+09:00"),
        "f, line 1: projects[0].links[0].linked_at = 0001-01-01T00:00:00+09:00: is before the year 1 in UTC",
    ),
    "a name with control characters": (
        ONE.replace("acme", "a\\u001bb"),
        "f, line 1: projects[0].links[0].notifly_project = 'a\\x1bb': 'a\\x1bb' is no name of a Notifly project",
    ),
    "a plan of none": ("[plans]\nacme = 0\n", "f: plans.acme = 0: Input should be greater than or equal to 1"),
    "a text for an id": (
        ONE.replace("= 1\n", '= "1"\n'),
        "f, line 1: projects[0].project_id = '1': Input should be a valid integer",
    ),
    "a threshold of nothing": (f"{ONE}thresholds = [0]\n", "f, line 1: projects[0].thresholds[0] = 0: "),
    "a field rule that may not be": (
        f'{ONE}field_rules = {{ user_id = "drop" }}\n',
        "f, line 1: projects[0].field_rules = {'user_id': 'drop'}: field rule 'user_id': user_id stays as it is: ",
    ),
    "a filter of nothing": (
        f"{ONE}event_filters = [{{}}]\n",
        "f, line 1: projects[0].event_filters = [{}]: event filter: name an event, a path with a text, or both",
    ),
    "twice": (ONE + ONE, "f, line 4: project 1: it is there twice"),
    "links that overlap": (
        ONE.replace(" }]", " }, { notifly_project = 'b', linked_at = 2026-02-01T00:00:00Z }]"),
        "f, line 1: project 1: links: the one from 2026-02-01T00:00:00Z begins before the end of the one above it",
    ),
    "a link that ends before it begins": (
        ONE.replace("0Z }]", "0Z, unlinked_at = 2025-02-01T00:00:00Z }]"),
        "f, line 1: project 1: links: the one from 2026-01-01T00:00:00Z ends before it begins",
    ),
}


@each(("text", "message"), WRONG.values(), ids=WRONG)
def test_a_wrong_file_is_refused_with_its_place(text: str, message: str) -> None:
    assert refusal(text).startswith(message)


@each("data", [b"a = '\xff'", b"a = " + b"[" * 10_000, b"a = " + b"9" * 5_000])
def test_what_is_no_text_or_too_much_is_refused_in_one_line(data: bytes) -> None:
    with pytest.raises(FileError, match=r"^f: is no TOML: .+$"):
        parse(data, "f")


@each(
    "known",
    [
        Project(1, (Link("globex", JANUARY),)),
        Project(1, (Link("acme", FEBRUARY),)),
        Project(1, (Link("acme", JANUARY, FEBRUARY),)),
        Project(1, (Link("acme", JANUARY, FEBRUARY), Link("acme", MARCH))),
    ],
    ids=["another owner", "another time", "a link that has ended", "a link too few"],
)
def test_a_file_that_tells_another_past_is_refused(known: Project) -> None:
    assert refusal(ONE, known) == (
        "f: project 1: links are another past than the registry's, which stays: begin with those of projects "
        "show 1, then end the last one or add others"
    )


def test_a_file_that_needs_a_larger_plan_is_refused_whole() -> None:
    assert refusal(ONE, Project(2, (Link("acme", JANUARY),))) == (
        'f: acme would have 2 projects linked, and its plan allows 1: under [plans] write "acme" = 2, '
        "or end a link"
    )
