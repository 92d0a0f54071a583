"""Whether what a customer sends from Amplitude will arrive: step by step, each failure with its remedy.

Nothing is put on the stream, and nothing is read from it: it is shared by all customers, and other readers slow
the job down. What has arrived is seen where the job has stored it.
"""

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final, NamedTuple

from ops.answers.causes import meaning, minute
from ops.answers.reasons import ADD, REASONS
from ops.answers.steps import AWAY, State, Step, once, side_by_side
from settings import Settings
from stores import aws, roles
from stores.dynamodb import TablesAddress
from stores.errors import StoreError
from stores.flink import Flink
from stores.lake import DEAD_LETTERS, EVENT_STORE, USER_UPDATES, Condition, Lake
from stores.leases import Lease, Leases
from stores.projects import Projects
from stores.stream import Stream, Summary
from udfs.model import Kind, Reason

NAMELESS: Final = "It names no project, so it may be another customer's"
"""How the words about a test record end."""
BEHIND: Final = timedelta(minutes=5)
"""A job that reads further behind needs somebody: the alert `LagGrows` has the same limit."""
_SECONDS: Final = 20.0  # for all steps but the last, which run side by side
_PAUSE: Final = 2.0  # seconds between two looks for what has arrived
_TROUBLE: Final = 20.0  # seconds for which the tables may be away meanwhile
_OWN: Final = timedelta(hours=1)  # a record of the project that came so shortly before proves the connection too
_NAMELESS: Final = timedelta(minutes=5)  # a test record may be anybody's, so an older one proves nothing
_ATTEMPTS: Final = 2  # somebody waits for the answer
_IN_AMPLITUDE: Final = (
    'in Amplitude see that the destination is enabled, that events are selected in "Send Events", and that its '
    "region, stream and role are the ones here; then test it again"
)
_MEND_LAKE: Final = "mend that first: what arrives is stored there"
_STORED: Final = {EVENT_STORE: "event", USER_UPDATES: "user update"}
_HANDLE: Final = ("shard", "sequence", "sub_index")


@dataclass(frozen=True)
class Connection:
    """The answer about a project."""

    project_id: int
    steps: tuple[Step, ...]

    @property
    def registered(self) -> bool:
        """Whether the project is registered, as far as is known."""
        return all(step.fix != _ADD for step in self.steps)

    @property
    def failed(self) -> bool:
        """Whether something has to be mended before records arrive."""
        return any(step.state == "failed" for step in self.steps)

    def described(self) -> dict[str, Any]:
        """All of it, as JSON has it."""
        return {**asdict(self), "failed": self.failed}


class Place(NamedTuple):
    """What the settings do not say: Flink's REST address, and the ARN of the role that Amplitude assumes."""

    flink: str
    role: str | None = None


def checked(settings: Settings, project_id: int, place: Place) -> Connection:
    """Look at stream, role, registry, job and lag, within 20 s, whichever of them is away."""
    questions = {
        "stream": partial(stream_step, settings),
        "role": partial(_role, settings, place.role),
        "registry": partial(_registry, settings, project_id),
        "job": partial(job_step, settings, place.flink),
        "lag": partial(lag_step, settings, place.flink),
    }
    return Connection(project_id, tuple(once(side_by_side(questions, _SECONDS, _unanswered))))


def bridge(settings: Settings, flink: str) -> tuple[Step, ...]:
    """Whether stream, job and lag are well, whoever's records they are."""
    questions = {
        "stream": partial(stream_step, settings),
        "job": partial(job_step, settings, flink),
        "lag": partial(lag_step, settings, flink),
    }
    return tuple(once(side_by_side(questions, _SECONDS, _unanswered)))


_ADD: Final = f"{ADD}, the first upload that is to count"
_MEND: Final = {
    "stream": "mend that first: Amplitude can put nothing there either",
    "registry": "mend that first: no record is taken without the registry",
    "job": "mend that first: the job cannot run without its tables",
}


def _unanswered(name: str, why: str) -> Step:
    # of role and lag there are places that can only be reached from elsewhere, and the rest says enough
    state: State = "failed" if name in _MEND else "not checked"
    return Step(name, state, f"{AWAY}{why}", _MEND.get(name, ""))


def summary(settings: Settings) -> Summary:
    """What Kinesis says of the stream, for somebody who waits. Raises StoreError."""
    return Stream(settings.stream_address._replace(attempts=_ATTEMPTS)).summary()


def tables(settings: Settings) -> TablesAddress:
    """The tables' address for somebody who waits."""
    return settings.tables_address._replace(attempts=_ATTEMPTS)


def stream_step(settings: Settings) -> Step:
    """Whether the stream takes records. Raises StoreError."""
    said, address = summary(settings), settings.stream_address
    shards = f"{said.open_shards} open {'shard' if said.open_shards == 1 else 'shards'}"
    words = f"{address.name} in {address.region} is {said.status}: {shards}, kept {said.retention_hours} h"
    if said.status not in {"ACTIVE", "UPDATING"}:
        return Step("stream", "failed", words, "wait until it is ACTIVE, or create it anew")
    if said.key and not said.key.endswith("alias/aws/kinesis"):
        fix = f"allow Amplitude's role kms:GenerateDataKey on {said.key}, which encrypts the stream"
        return Step("stream", "warning", words, fix)
    return Step("stream", "ok", words)


def _role(settings: Settings, role: str | None) -> Step:
    if aws.emulated(settings.kinesis.endpoint):
        return Step("role", "not checked", "the stream is an emulator, which knows no roles")
    if role is None:
        fix = "--role arn:aws:iam::ACCOUNT:role/NAME, the one in the form of Amplitude's destination"
        return Step("role", "not checked", "no role is named", fix)
    return role_step(roles.client(settings.kinesis.region), role, summary(settings).arn)


def role_step(iam: Any, role: str, stream_arn: str) -> Step:
    """Whether Amplitude may assume a role, and whether the role may do what Amplitude needs, as IAM says."""
    try:
        if not roles.trusts_amplitude(iam, role):
            words = f"{role} does not let Amplitude's account {roles.AMPLITUDE_ACCOUNTS[0]} in"
            return Step("role", "failed", words, "give it the trust policy deploy/iam/amplitude.trust.json")
        missing = roles.refused(iam, role, stream_arn)
    except StoreError as error:
        fix = "see that it exists, and that you have iam:GetRole and iam:SimulatePrincipalPolicy on it"
        return Step("role", "not checked", f"{AWAY}{error}", fix)
    if missing:
        words = f"{role} may not do {', '.join(missing)}"
        return Step("role", "failed", words, "give it the policy deploy/iam/amplitude.policy.json")
    return Step("role", "ok", f"{role} lets Amplitude in and may do what that needs, by IAM's own simulation")


def _registry(settings: Settings, project_id: int) -> Step:
    projects = Projects(tables(settings)).list()
    project = next((one for one in projects if one.project_id == project_id), None)
    if project is None:
        return Step("registry", "failed", f"project {project_id} is not registered", _ADD)
    last = project.links[-1]
    if last.unlinked_at is not None:
        words = f"project {project_id} is unlinked from {last.notifly_project} since {minute(last.unlinked_at)}"
        return Step("registry", "failed", words, f"amplitude-bridge projects link {project_id}")
    words = f"project {project_id} is linked to {last.notifly_project}"
    if last.linked_at > datetime.now(UTC).replace(tzinfo=None):
        since = f"{words} from {minute(last.linked_at)} on, which is still to come"
        return Step("registry", "failed", since, "wait until then: what is uploaded before is not taken")
    return Step("registry", "ok", words)


def job_step(settings: Settings, flink: str) -> Step:
    """Whether an ingest job of these settings runs, by its lease, or by Flink before its first record.

    Raises StoreError.
    """
    held, now = Leases(tables(settings)).current()
    if held is None:
        return Step("job", "failed", "no ingest job holds the tables", "start it: amplitude-bridge submit")
    seen = f"job {held.job_id} was seen {max(0.0, held.idle(now).total_seconds()):.0f} s ago"
    if held.left(now) < timedelta() and not _is_idle(flink, held):
        fix = 'see what has become of it: docs/operations.md, "The job is RESTARTING"'
        return Step("job", "failed", f"{seen}, longer than its lease lasts", fix)
    if held.stream != settings.kinesis.stream:
        words = f"{seen} and reads stream {held.stream}, not {settings.kinesis.stream}"
        return Step("job", "failed", words, "name the settings that the job was started with: --config")
    if held.left(now) < timedelta():
        return Step("job", "ok", f"{seen} and is RUNNING; its workers renew the lease from the first record on")
    return Step("job", "ok", seen)


def _is_idle(flink: str, held: Lease) -> bool:
    """Whether a job whose lease has run out runs all the same: the workers of an idle job have not begun."""
    try:
        return Flink(flink).job(held.job_id).state == "RUNNING"
    except StoreError:
        return False


def lag_step(settings: Settings, flink: str) -> Step:
    """Whether the job keeps up with the stream, by what its readers tell Flink. Raises StoreError."""
    held, _ = Leases(tables(settings)).current()
    if held is None:
        return Step("lag", "not checked", "no job runs")
    lag = Flink(flink).lag(held.job_id)
    if lag is None:
        return Step("lag", "not checked", "no reader of the stream has told yet how far it is behind")
    words = f"the job reads {lag.total_seconds():.0f} s behind the newest record"
    if lag > BEHIND:
        return Step("lag", "failed", words, 'find what is slow: docs/operations.md, "The lag grows"')
    return Step("lag", "ok", words)


def awaited(settings: Settings, found: Connection, begun: datetime, seconds: float) -> Step:
    """Wait for a record of the project, or for a test record, since `begun`, aware; what became of it.

    A single look is taken where the steps before have found what keeps records away.
    """
    begin = well = time.monotonic()
    patience = 0 if found.failed else seconds
    while True:
        try:
            if arrived := arrival(settings, found.project_id, begun):
                return arrived
            well = time.monotonic()
        except StoreError as error:
            # a catalog that is busy for a moment ends no wait of minutes
            if time.monotonic() - well >= min(patience, _TROUBLE):
                return Step("arrival", "failed", f"{AWAY}{error}", _MEND_LAKE)
        if time.monotonic() - begin >= patience:
            return _nothing(found.failed, seconds)
        time.sleep(_PAUSE)


def looked(settings: Settings, found: Connection, begun: datetime, seconds: float) -> Step | None:
    """One of the looks that `awaited` takes: its answer; None while a record may still come."""
    try:
        arrived = arrival(settings, found.project_id, begun)
    except StoreError as error:
        return Step("arrival", "failed", f"{AWAY}{error}", _MEND_LAKE)
    over = found.failed or datetime.now(UTC) - begun >= timedelta(seconds=seconds)
    return arrived or (_nothing(found.failed, seconds) if over else None)


def _nothing(failed: bool, seconds: float) -> Step:
    so_far = f"nothing was stored in the {_OWN.seconds // 60} min before"
    if failed or not seconds:
        fix = "mend what has failed above" if failed else "test the destination in Amplitude, with --wait 5m here"
        return Step("arrival", "not checked", f"{so_far}, and nothing was waited for", fix)
    return Step("arrival", "failed", f"{so_far}, nor within {seconds:.0f} s", _IN_AMPLITUDE)


def arrival(settings: Settings, project_id: int, begun: datetime) -> Step | None:
    """What is stored of the project, else a test record; None when there is neither. Raises StoreError."""
    lake = Lake(settings.lake_address)
    return next(_arrivals(lake, project_id, begun), None)


def _arrivals(lake: Lake, project_id: int, begun: datetime) -> Iterator[Step]:
    own = [Condition("project_id", "=", project_id), Condition("arrival", ">=", begun - _OWN)]
    for table, noun in _STORED.items():
        for row in lake.rows(table, (*_HANDLE, "arrival", "name"), own, limit=1).to_pylist():
            yield Step("arrival", "ok", f"{noun} {row['name']}, {_at(row)}, is stored in {table}")
    letters = ("kind", "reason", "arrival", *_HANDLE)
    for row in lake.rows(DEAD_LETTERS, letters, own, limit=1).to_pylist():
        yield _refused(row)
    tests = [Condition("reason", "=", Reason.TEST_RECORD), Condition("arrival", ">=", begun - _NAMELESS)]
    for row in lake.rows(DEAD_LETTERS, letters, tests, limit=1).to_pylist():
        words = f"is filed as test_record, which needs nobody. {NAMELESS}"
        yield Step("arrival", "ok", f"Amplitude's test record, {_at(row)}, {words}")


def _refused(row: dict[str, Any]) -> Step:
    words = f"a record of the project, {_at(row)}, is not taken, {row['reason']}: {meaning(row['reason'])}"
    if row["kind"] == Kind.CONTROL:
        return Step("arrival", "ok", words)
    known = REASONS.get(row["reason"])
    return Step("arrival", "failed", words, known.remedy if known else "")


def _at(row: dict[str, Any]) -> str:
    handle = ":".join(str(row[name]) for name in _HANDLE if row[name] is not None)
    return f"arrived {row['arrival']:%Y-%m-%d %H:%M:%S} UTC as {handle}"
