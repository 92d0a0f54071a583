"""The documentation against the code: columns, reasons, stages, links and paths."""

import re
from functools import cache
from pathlib import Path

from jobs import sinks
from lab import schemas
from ops.answers.reasons import REASONS, REPAIRS
from stores import erased
from stores.alerts import Alert, Notification
from stores.audit import Entry
from stores.backfills import Run
from stores.destinations import Destination
from stores.erasures import Erasure
from stores.lake import EVENT_STORE
from stores.leases import Lease
from stores.profile_sources import ProfileSource
from stores.replays import Replay
from stores.statements import Statement
from stores.usage import Usage
from tests.cases import each
from udfs import ids
from udfs.export import answers, render, sender, taxonomy
from udfs.model import EVENT_COLUMNS, Kind, Reason, Repair

ROOT = Path(__file__).resolve().parents[2]
DOCS = sorted((ROOT / "docs").rglob("*.md"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS]
LONGEST_DECISION = 20
LONGEST_README = 900
FOLDERS = ("jobs", "udfs", "stores", "ops", "bench", "tests", "flink-conf", "deploy", "docs", "emulators", ".ci")


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def section(page: str, heading: str) -> str:
    """What stands under a heading of the second level."""
    found = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    assert found, f"no heading {heading}"
    return found[1]


def first_cells(part: str) -> list[str]:
    """The names in backticks that rows of a table begin with."""
    return re.findall(r"^\| `([^`]+)`", part, re.MULTILINE)


def table(part: str) -> list[list[str]]:
    """The cells of the one table in a section, without the line under its head."""
    head, _, *rows = re.findall(r"^\| (.+) \|$|^\|---.*$", part, re.MULTILINE)
    return [row.split(" | ") for row in (head, *rows)]


LAKE = {**sinks.COLUMNS, **sinks.EXPORT_COLUMNS, erased.ERASED: erased.COLUMNS}


@each(("table", "columns"), LAKE.items())
def test_every_column_of_the_lake_is_documented(table: str, columns: dict[str, type]) -> None:
    documented = first_cells(section(text("docs/data.md"), f"`{table}` (Iceberg)"))
    assert documented == list(columns)


def test_every_value_that_decode_gives_of_an_event_is_stored() -> None:
    assert set(EVENT_COLUMNS) < set(sinks.COLUMNS[EVENT_STORE])


def test_every_reason_is_documented_and_no_other() -> None:
    assert table(section(text("docs/data.md"), "Reasons")) == [
        ["reason", "kind", "meaning", "usual cause", "what support does"],
        *([f"`{reason}`", reason.kind, *REASONS[reason]] for reason in Reason),
    ]


def test_every_repair_is_documented_and_no_other() -> None:
    assert table(section(text("docs/data.md"), "Repairs")) == [
        ["repair", "what was mended"],
        *([f"`{repair}`", REPAIRS[repair]] for repair in Repair),
    ]


def test_every_id_that_means_nobody_is_documented_and_no_other() -> None:
    listed = re.search(r"\*\*Ids that mean nobody\*\*(.*?)\.", section(text("docs/data.md"), "Repairs"), re.DOTALL)
    assert listed
    assert tuple(re.findall("`([^`]+)`", listed[1])) == ids.NOBODY


def test_every_event_in_amplitude_is_documented_and_no_other() -> None:
    part = section(text("docs/data.md"), "Events in Amplitude")
    named = dict(re.findall(r"^\| `(\w+)` \| ([\w -]+) \|$", part, re.MULTILINE))
    assert named == {**taxonomy.CHANNELS, **taxonomy.VERBS}
    assert re.findall(r"`(\w+)`", part.partition("are left out: ")[2].partition(". `email_address`")[0]) == [
        *taxonomy.PROPERTIES
    ]


def test_every_outcome_of_the_way_back_is_documented_and_no_other() -> None:
    part = section(text("docs/data.md"), "Outcomes of the way back")
    rows = re.findall(r"^\| (`.+?) \| ", part, re.MULTILINE)
    named = {code for row in rows for code in re.findall(r"`(\w+)`", row)}
    assert named == {"first", *render.Kind, *render.Unsent, *sender.Outcome, *sender.Waits, *answers.Refused}


def test_the_published_schemas_are_those_of_the_code_and_no_others() -> None:
    found = (ROOT / "docs").rglob("*.schema.json")
    published = {str(path.relative_to(ROOT / "docs")): path.read_text("utf-8") for path in found}
    assert published == schemas.wanted(), "write them anew with `make schemas`"


def test_the_change_log_of_events_in_amplitude_knows_the_newest_schemas() -> None:
    _, newest, *_ = table(section(text("docs/amplitude-events/README.md"), "Changes"))
    assert newest[-1] == f"`{schemas.digest(schemas.wanted())}`", "add a row that says what has changed"


def test_every_kind_has_its_counter_documented() -> None:
    metrics = section(text("docs/data.md"), "Metrics (Prometheus)")
    assert all(f"`{kind.value}`" in metrics for kind in Kind)


ATTRIBUTES = {
    "projects": ("project_items", r'\bitem\["(\w+)"\]'),
    "plans": ("project_items", r'\bplan\["(\w+)"\]|"Key": \{"(notifly_project)"'),
    "profiles": ("profiles", r'(?:head|item)\["(\w+)"\]|"(\w+)": \{"\w": (?:name|dynamodb|piece|str|profile)'),
}


@each(("name", "module", "pattern"), [(name, *where) for name, where in ATTRIBUTES.items()])
def test_every_attribute_in_dynamodb_is_documented(name: str, module: str, pattern: str) -> None:
    used = {
        found[found.lastindex or 0] for found in re.finditer(pattern, text(f"stores/{module}.py"), re.MULTILINE)
    }
    assert set(first_cells(section(text("docs/data.md"), f"`{name}` (DynamoDB)"))) == used


@each(
    ("name", "attributes"),
    [
        ("usage", {*Usage._fields, "updated_at"}),
        ("alerts", {*Alert._fields, "month_threshold"}),
        ("notifications", set(Notification._fields)),
        ("statements", set(Statement._fields)),
        ("leases", {*Lease._fields, "lease"}),
        ("replays", {*Replay._fields, "day"}),
        ("backfills", set(Run._fields)),
        ("erasures", {*Erasure._fields, "receipt"}),
        ("destinations", set(Destination._fields)),
        ("audit", {*Entry._fields, "scope", "entry"}),
        ("profile_sources", set(ProfileSource._fields)),
        ("profile_limits", set(re.findall(r'"(\w+)": \w+', text("stores/profile_limits.py")))),
    ],
)
def test_every_attribute_of_an_item_is_documented(name: str, attributes: set[str]) -> None:
    assert set(first_cells(section(text("docs/data.md"), f"`{name}` (DynamoDB)"))) == attributes


def test_every_attribute_of_cohorts_and_their_members_is_documented() -> None:
    written = r'"(\w+)": (?:\{"\w+"|_seconds|cohort_id|project_id|dynamodb)'
    used = set(re.findall(written, text("stores/cohorts.py")))
    tables = [section(text("docs/data.md"), f"`{name}` (DynamoDB)") for name in ("cohorts", "cohort_members")]
    assert used == {cell for table in tables for cell in first_cells(table)}


def stages(job: str) -> list[str]:
    """The stages of a job's graph, as its `graph.py` adds them."""
    found = re.findall(r'graph\.(?:stream|sink)\(\s*"([a-z-]+)"', text(f"jobs/{job}/graph.py"))
    assert len(found) > 1
    return found


PICTURES = [
    ("ingest", "README.md", "The graph"),
    ("ingest", "docs/architecture.md", "The graph"),
    ("export", "docs/architecture.md", "The way back"),
]


@each(("job", "page", "heading"), PICTURES)
def test_every_stage_is_in_the_picture(job: str, page: str, heading: str) -> None:
    picture = re.search(r"```\n(.*?)```", section(text(page), heading), re.DOTALL)
    assert picture
    missing = [stage for stage in stages(job) if not re.search(rf"(?<![\w-]){stage}(?![\w-])", picture[1])]
    assert not missing, f"{page}: not in the picture: {', '.join(missing)}"


@cache
def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each("page", PAGES, ids=lambda page: page.name)
def test_relative_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), f"{page.name}: {link}"
        assert not anchor or anchor in anchors(target), f"{page.name}: {link}"


@each("page", PAGES, ids=lambda page: page.name)
def test_paths_in_backticks_exist(page: Path) -> None:
    for path in re.findall(r"`([\w.-]+/[\w./-]*)`", page.read_text(encoding="utf-8")):
        if path.split("/")[0] in FOLDERS:
            assert (ROOT / path).exists(), f"{page.name}: {path}"


def test_the_contents_of_operations_name_every_heading() -> None:
    contents, _, below = text("docs/operations.md").partition("\n## ")
    headings = re.findall(r"^##+ (.+)$", f"## {below}", re.MULTILINE)
    assert re.findall(r"\[([^\]]+)\]\(#", contents) == headings, "docs/operations.md: mend the list at its top"


def test_the_readme_is_short() -> None:
    assert len(text("README.md").split()) <= LONGEST_README


def test_a_decision_is_short() -> None:
    decisions = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    lengths = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in decisions}
    assert lengths
    assert not {name: n for name, n in lengths.items() if n > LONGEST_DECISION}
