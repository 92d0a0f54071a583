"""The registry as a file: an export of any registry changes nothing, and a damaged file is taken or refused."""

from datetime import datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ops.answers.registry_file import FileError, Wanted, differences, exported, parse
from stores.project import Link, Plan, Project, Terms
from stores.rules import EventFilter, checked
from tests.unit.ops.test_registry_file import FILE, NOW

times = st.datetimes(datetime.min, NOW)  # noqa: DTZ901
names = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=20)

words_in_paths = st.text(
    st.characters(exclude_categories=("C", "Z"), exclude_characters="."), min_size=1, max_size=20
)
paths = st.builds("event_properties.{}".format, words_in_paths)
rules = st.builds(
    checked,
    st.dictionaries(paths, st.sampled_from(["drop", "hash"]), min_size=1, max_size=3).map(dict.items),
    st.lists(st.builds(EventFilter, names, st.dictionaries(paths, names, max_size=2).map(dict.items))),
)


@st.composite
def projects(draw: st.DrawFn, project_id: int) -> Project:
    moments = sorted(draw(st.lists(times, min_size=1, max_size=6)))
    ends: list[Any] = [*moments[1::2], None]
    links = tuple(Link(draw(names), start, end) for start, end in zip(moments[::2], ends, strict=False))
    thresholds = draw(st.sets(st.integers(1, 1000), max_size=20))
    terms = Terms(draw(st.integers(1, 10**15)), tuple(sorted(thresholds)))
    return Project(project_id, links, terms, (), draw(st.none() | st.integers(1, 8784)), draw(st.none() | rules))


@given(st.data())
def test_an_export_changes_nothing_and_makes_the_same_anew(data: st.DataObject) -> None:
    ids = sorted(data.draw(st.sets(st.integers(0, 2**63 - 1), max_size=5)))
    registered = [data.draw(projects(one)) for one in ids]
    plans = {name: Plan(name, 5) for one in registered for name in {one.notifly_project}}
    wanted = parse(exported(registered, plans).encode(), "f")
    assert wanted.projects == {one.project_id: one for one in registered}
    assert differences(wanted, registered, plans, NOW + timedelta(days=1), prune=True) == []


@given(st.data())
def test_a_damaged_file_is_taken_or_refused_and_raises_nothing_else(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(FILE)))
    text = FILE[:at] + data.draw(st.text(max_size=5)) + FILE[at + data.draw(st.integers(0, 9)) :]
    try:
        found = parse(text.encode(errors="surrogatepass"), "f")
    except FileError as refused:
        assert "\n" not in str(refused)  # noqa: PT017  either way is right
    else:
        assert isinstance(found, Wanted)
