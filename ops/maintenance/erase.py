"""A user's rows, profile and memberships taken out, beside the running job; the ledger knows how many rows.

What goes is what arrived before a moment: new events of the user are taken. Of a cohort message, which names
others too, only the user's entry goes. Files are exchanged some at a time, and their rows counted before that
(`stores.erased`): a command that was killed is finished by the next one for the same subject.
"""

import secrets
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from itertools import count
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from ops.maintenance.erasable import Part, Target, changed, counted, light_columns
from ops.maintenance.erase_event import Event
from ops.maintenance.erase_property import Property, reduced
from ops.maintenance.erase_users import Users
from ops.maintenance.leader import Leader
from settings import Settings
from stores import erased
from stores.cohorts import CohortMembers, Cohorts
from stores.erasures import Erasure, Erasures, subject_of
from stores.errors import StoreError
from stores.lake import (
    DEAD_LETTERS,
    EVENT_STORE,
    EXPORT_DEAD_LETTERS,
    EXPORT_TABLES,
    USER_UPDATES,
    Condition,
    Lake,
)
from stores.leases import Leases
from stores.profiles import Key, Profiles
from stores.projects import Projects
from stores.rewrite import Attempt, Exchange, Rewriting, committed, forget
from stores.rules import rules_of

_FILES_A_COMMIT: Final = 50
Step = tuple[str, int, int]
"""A table, how many files of it were looked at, and of how many."""
Counts = Counter[tuple[str, str]]
"""Rows by table and what becomes of them: `removed` or `cut`."""


class Erasing:
    """One command: all subjects of it, in one project. Methods raise StoreError."""

    def __init__(self, settings: Settings, project_id: int) -> None:
        self.settings, self.project_id = settings, project_id
        self.lake, tables = Lake(settings.lake_address), settings.tables_address
        Projects(tables).get(project_id)
        self.profiles, self.members, self.receipts = Profiles(tables), CohortMembers(tables), Erasures(tables)
        self.cohorts = [one.cohort_id for one in Cohorts(tables).list() if one.project_id == project_id]
        _, self.before = Leases(tables).current()  # by DynamoDB's clock: this machine's may be wrong
        self.name = f"{self.before:%Y-%m-%dT%H:%M:%SZ}-{secrets.token_hex(3)}"
        self.known = self.receipts.of_project(project_id)
        self.target: Target = Users(project_id, self.before, {}, {})
        self._numbers = count(1)

    def of_users(self, user_ids: Sequence[str]) -> None:
        """Let it be users, by their ids."""
        users = {user: subject_of(self.project_id, user) for user in user_ids}
        self.target = Users(self.project_id, self.before, users, self._nameless(users))

    def of_event(self, name: str) -> None:
        """Let it be an event, by Amplitude's name."""
        self.target = Event(self.project_id, self.before, name)

    def of_property(self, path: str) -> None:
        """Let it be what stands at a path. Raises StoreError when no rule may be about it."""
        rules_of({"field_rules": {path: "drop"}})
        self.target = Property(self.project_id, self.before, path)

    def of_deleted(self, deleted: Mapping[int, date]) -> None:
        """Let it be users whom Amplitude has deleted, by its ids, but those who were erased since that day.

        A user id goes too, unless a row has it with another of Amplitude's ids: then the user has come back.
        """
        done = {one.subject: one.before for one in self.known if one.status == "done"}
        named = {number: subject_of(self.project_id, f"amplitude {number}") for number in deleted}
        subjects = {number: of for number, of in named.items() if done.get(of, "")[:10] <= f"{deleted[number]}"}
        pairs = self._identified("amplitude_id", subjects)
        users = {user: subjects[number] for user, number in pairs if user is not None}
        for user, number in self._identified("user_id", users):
            if number is not None and number not in subjects:
                users.pop(user, None)
        self.target = Users(self.project_id, self.before, users, {}, subjects)

    @property
    def begun(self) -> list[Erasure]:
        """Receipts of the same subjects whose commands were killed."""
        subjects = set(self.target.subjects)
        return [one for one in self.known if one.status == "begun" and one.subject in subjects]

    def _nameless(self, users: Mapping[str, str]) -> dict[int, str]:
        """Amplitude's ids of the users, but those that another user has too: nobody knows whose rows these are."""
        mine = set(users.values())
        found = {number: one.subject for one in self.known if one.subject in mine for number in one.amplitude_ids}
        keys = [Key(self.project_id, user) for user in users]
        found |= {
            one.amplitude_id: users[key.user_id]
            for key, one in self.profiles.of_users(keys).items()
            if one.amplitude_id is not None
        }
        for user, number in self._identified("user_id", users):
            if number is not None:
                found[number] = users[user]
        for user, number in self._identified("amplitude_id", found):
            if user is not None and user not in users:
                found.pop(number, None)
        return found

    def _identified(self, column: str, values: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
        """User id and Amplitude's id of the rows that have one of these values in a column, each pair once."""
        where, columns = [Condition("project_id", "=", self.project_id)], ("user_id", "amplitude_id")
        wanted = list(values)
        for table in (EVENT_STORE, USER_UPDATES):
            for piece in self.lake.pieces(table, columns, where):
                chosen = piece.filter(pc.is_in(piece[column], value_set=pa.array(wanted, piece[column].type)))
                for row in chosen.group_by(list(columns)).aggregate([]).to_pylist():
                    yield row["user_id"], row["amplitude_id"]

    def tally(self) -> Counts:
        """What there is: nothing is changed."""
        counts: Counts = Counter()
        for part in self._parts():
            rewriting = Rewriting(self.lake, part.table, self._where(part))
            for file in rewriting.files:
                counts.update((part.table, hit.change) for hit in part.hits(light_columns(rewriting, file, part)))
        keys = [Key(self.project_id, user) for user in self.target.users]
        counts["profiles", "removed"] = sum(one.version > 0 for one in self.profiles.of_users(keys).values())
        counts["cohort_members", "removed"] = sum(
            self.members.knows(self.project_id, cohort, user)
            for cohort in self.cohorts
            for user in self.target.users
        )
        counts["profiles", "cut"] = self._reduced(write=False)
        return +counts

    def _reduced(self, *, write: bool) -> int:
        """How many profiles have what is to be dropped; with `write` they lose it."""
        if not isinstance(self.target, Property) or (below := self.target.of_profile) is None:
            return 0
        users = {
            user
            for table in (USER_UPDATES, EVENT_STORE)
            for piece in self.lake.pieces(table, ("user_id",), [Condition("project_id", "=", self.project_id)])
            for user in pc.unique(piece["user_id"]).to_pylist()
            if user is not None
        }
        left, done = [Key(self.project_id, user) for user in users], 0
        while left:
            found = [one for one in self.profiles.of_users(left).values() if one.version]
            fewer = [less for one in found if (less := reduced(one, below))]
            left = self.profiles.write(fewer) if write else []
            done += len(fewer) - len(left)
        return done

    def carry_out(self, requested_by: str) -> Iterator[Step]:
        """Erase, and write the receipts; gives how far it is."""
        erased.create(self.lake)
        self.receipts.create()
        of = self.project_id
        with Leader(self.settings, f"erase {of}", f"erases in project {of}") as leader:
            self._settle()
            receipts = [self._begin(subject, requested_by) for subject in self.target.subjects]
            for part in self._parts():
                while not (yield from self._all_files(part, leader)):
                    pass
            for receipt in receipts:
                self._finish(receipt)
            self._forget(receipts)

    def _settle(self) -> None:
        """Drop the counts of what a command that was killed has not committed."""
        for run in {run for one in self.begun for run in (one.erasure, *one.continues)}:
            rows = erased.erased(self.lake, ("table_name", "attempt"), [Condition("erasure", "=", run)])
            made = {(row["table_name"], row["attempt"]) for row in rows}
            last = {table: committed(self.lake, table).get(run, 0) for table, _ in made}
            erased.drop(self.lake, {name for table, name in made if Attempt.named(name).number > last[table]})

    def _begin(self, subject: str, requested_by: str) -> Erasure:
        before = [one for one in self.begun if one.subject == subject]
        receipt = Erasure(
            self.project_id,
            self.name,
            subject,
            "begun",
            self.before.isoformat(),
            requested_by,
            tuple(number for number, of in self.target.nameless.items() if of == subject),
            tuple(run for one in before for run in (*one.continues, one.erasure)),
            sum(one.profiles for one in before),
            sum(one.members for one in before),
            others=tuple({*self._others(subject), *(other for one in before for other in one.others)}),
        )
        self.receipts.write(receipt)
        for one in before:
            self.receipts.remove(one)
        return receipt

    def _others(self, subject: str) -> Iterator[str]:
        """The subject's other ids, hashed as it is."""
        users = (user for user, of in self.target.users.items() if of == subject)
        numbers = (f"amplitude {number}" for number, of in self.target.nameless.items() if of == subject)
        hashes = (subject_of(self.project_id, one) for one in (*users, *numbers))
        return (one for one in hashes if one != subject)

    def _all_files(self, part: Part, leader: Leader) -> Generator[Step, None, bool]:
        """Exchange the files that hold such rows; False when another has exchanged some of them meanwhile."""
        rewriting = Rewriting(self.lake, part.table, self._where(part))
        total, pending, counts = len(rewriting.files), list[Exchange](), list[dict[str, Any]]()
        for number, file in enumerate(rewriting.files, 1):
            light = light_columns(rewriting, file, part)
            if hits := part.hits(light):
                pending.append(rewriting.exchange(file, changed(rewriting.rows(file), hits)))
                counts += counted(light, part.table, self.name, hits)
            yield part.table, number, total
            if pending and (number == total or len(pending) == _FILES_A_COMMIT):
                if not self._commit(rewriting, pending, counts, leader):
                    return False
                pending, counts = [], []
        return True

    def _commit(
        self,
        rewriting: Rewriting,
        pending: Sequence[Exchange],
        counts: Sequence[dict[str, Any]],
        leader: Leader,
    ) -> bool:
        if leader.lost.is_set():
            msg = f"project {self.project_id}: another erasure has begun, as this one was silent for too long"
            raise StoreError(msg)
        attempt = Attempt(self.name, next(self._numbers))
        erased.add(self.lake, [{**one, "attempt": str(attempt)} for one in counts])
        done = rewriting.commit(pending, attempt)
        if not done:
            erased.drop(self.lake, [str(attempt)])
        return done

    def _forget(self, receipts: Sequence[Erasure]) -> None:
        """Let the tables no longer know of what is finished with these receipts."""
        left = {
            run
            for one in self.receipts.of_project(self.project_id)
            if one.status == "begun"
            for run in (one.erasure, *one.continues)
        }
        finished = {run for one in receipts for run in (one.erasure, *one.continues)} - left
        for part in self._parts():
            forget(self.lake, part.table, finished)

    def _parts(self) -> list[Part]:
        """The tables to look at; those of the export job are there once such a job has begun."""
        return [
            one for one in self.target.parts() if one.table not in EXPORT_TABLES or self.lake.exists(one.table)
        ]

    def _where(self, part: Part) -> list[Condition]:
        """Files without such rows are not read."""
        early = Condition("arrival", "<", self.before)
        # a dead letter may name no project
        nobodys = part.table in {DEAD_LETTERS, EXPORT_DEAD_LETTERS}
        return [early] if nobodys else [Condition("project_id", "=", self.project_id), early]

    def _finish(self, receipt: Erasure) -> None:
        users = [user for user, of in self.target.users.items() if of == receipt.subject]
        profiles = self._reduced(write=True) + sum(
            self.profiles.remove(Key(self.project_id, user)) for user in users
        )
        members = sum(
            self.members.remove(self.project_id, cohort, user) for cohort in self.cohorts for user in users
        )
        self.receipts.write(
            receipt._replace(
                status="done",
                amplitude_ids=(),
                profiles=receipt.profiles + profiles,
                members=receipt.members + members,
                done_at=datetime.now(UTC).isoformat(timespec="seconds"),
                query=self._query(receipt.subject),
            )
        )

    def _query(self, subject: str) -> str:
        """A query in Flink's SQL that answers 0 when no row of the subject is left."""
        tables, condition = self.target.proof(subject)
        before = round(self.before.timestamp() * 1000)
        whose = f"project_id = {self.project_id} AND arrival < TO_TIMESTAMP_LTZ({before}, 3) AND {condition}"
        namespace = self.lake.address.namespace
        asked = (f"SELECT project_id FROM {namespace}.{table} WHERE {whose}" for table in tables)  # noqa: S608
        return f"SELECT COUNT(*) FROM ({' UNION ALL '.join(asked)})"  # noqa: S608  only shown
