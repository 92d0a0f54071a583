"""Amplitude's User Profile API: what Amplitude knows of one user, one request each (docs/amplitude.md §6)."""

from collections.abc import Iterator
from typing import Any, Final, Literal, NamedTuple

import msgspec
import urllib3

from stores.amplitude.http import AmplitudeError, pool

HOST: Final = "https://profile-api.amplitude.com"
"""The only one: organisations whose data is in the EU have no User Profile API."""
PATH: Final = "/v1/userprofile"
_UNKNOWN: Final = "User id and device id not seen before"
_TOO_MANY: Final = "Number of requests per minute exceeds"


class KeyRefusedError(AmplitudeError):
    """Amplitude does not know the secret key, or no longer."""


class ThrottledError(AmplitudeError):
    """The organisation has made all the requests that it may make in a minute."""


class UnavailableError(AmplitudeError):
    """Amplitude has no answer, none in time, or an error of its own."""


class User(NamedTuple):
    """Whom to ask for: by one of the ids, or by both."""

    user_id: str | None = None
    device_id: str | None = None


class Wanted(NamedTuple):
    """What to ask for; ids are those in the addresses of Amplitude's pages."""

    properties: bool = True
    cohorts: bool = True
    computations: bool | tuple[str, ...] = True
    """all, none, or those of these ids"""
    recommendations: tuple[str, ...] = ()
    predictions: tuple[str, ...] = ()
    propensity: Literal["score", "pct"] = "score"
    """the probability itself, or the percentage of users who are less probable"""


class Recommendation(msgspec.Struct, frozen=True):
    """What Amplitude recommends to the user."""

    rec_id: str
    items: tuple[Any, ...] = ()
    is_control: bool = False
    """of the control group: such users get what they would get without recommendations"""
    child_rec_id: str | None = None
    recommendation_source: str | None = None
    last_updated: int | None = None
    """seconds since 1970"""


class Propensity(msgspec.Struct, frozen=True):
    """How probable it is that the user does what a prediction is about."""

    pred_id: str
    prop: float | None = None
    prop_type: str | None = None


class AmplitudeProfile(msgspec.Struct, frozen=True):
    """A user as Amplitude knows it; what was not asked for, or is not there, is None."""

    user_id: str | None = None
    device_id: str | None = None
    amp_props: dict[str, Any] | None = None
    """properties and computations: Amplitude puts both here, by name"""
    cohort_ids: tuple[str, ...] | None = None
    """of the cohorts alone that are synchronised to this API"""
    recommendations: tuple[Recommendation, ...] | None = None
    propensities: tuple[Propensity, ...] | None = None


class _Answer(msgspec.Struct):
    userData: AmplitudeProfile | None = None  # noqa: N815  Amplitude's name
    error: str = ""


def parameters(user: User, wanted: Wanted) -> Iterator[tuple[str, str]]:
    """The request as Amplitude has it."""
    yield from ((name, one) for name, one in user._asdict().items() if one is not None)
    if wanted.properties:
        yield "get_amp_props", "true"
    if wanted.cohorts:
        yield "get_cohort_ids", "true"
    if wanted.computations is True:
        yield "get_computations", "true"
    elif wanted.computations:
        yield "comp_id", ",".join(wanted.computations)
    if wanted.recommendations:
        yield from (("get_recs", "true"), ("rec_id", ",".join(wanted.recommendations)))
    if wanted.predictions:
        yield from (("get_propensity", "true"), ("prediction_id", ",".join(wanted.predictions)))
        yield "propensity_type", wanted.propensity


def read(status: int, body: bytes, project_id: int) -> AmplitudeProfile | None:
    """The profile of an answer; None for a user whom Amplitude has not seen in this project.

    Raises KeyRefusedError, ThrottledError, UnavailableError, or AmplitudeError for what is nobody's bad luck. The
    words of "not seen before" and of the limit are documented, their status is not: the words decide.
    """
    said = _said(body)
    if said.error.startswith(_UNKNOWN):
        return None
    if status == 429 or said.error.startswith(_TOO_MANY):
        msg = f"the organisation of project {project_id} has used up its requests to Amplitude of this minute"
        raise ThrottledError(msg)
    if status in {401, 403}:
        msg = (
            f"Amplitude refuses the secret key of project {project_id} (HTTP {status}): copy it from the settings "
            "of the project at Amplitude, then `amplitude-profile set` it anew"
        )
        raise KeyRefusedError(msg)
    if status >= 500:
        msg = f"Amplitude's User Profile API has failed (HTTP {status}): try again"
        raise UnavailableError(msg)
    if status != 200 or said.userData is None:
        msg = f"what answers is not Amplitude's User Profile API (HTTP {status}): is the address right?"
        raise AmplitudeError(msg)
    return said.userData


def _said(body: bytes) -> _Answer:
    try:
        return msgspec.json.decode(body, type=_Answer)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return _Answer()


class UserProfileApi:
    """Asks for profiles, each in a thread of its caller; thread-safe."""

    def __init__(self, endpoint: str | None, seconds: float, connections: int) -> None:
        """With an endpoint everything goes there, as to a stand-in of Amplitude."""
        self._url = (endpoint or HOST) + PATH
        self._pool = pool(urllib3.Timeout(total=seconds), connections)

    def __call__(self, project_id: int, secret_key: str, user: User, wanted: Wanted) -> AmplitudeProfile | None:
        """What Amplitude knows of a user; None where it has not seen the user. Raises as `read` does."""
        try:
            answer = self._pool.request(
                "GET",
                self._url,
                fields=dict(parameters(user, wanted)),
                headers={"authorization": f"Api-Key {secret_key}"},
                redirect=False,  # it would carry the key elsewhere
            )
        except urllib3.exceptions.HTTPError as error:
            msg = f"Amplitude's User Profile API does not answer ({type(error).__name__}): try again"
            raise UnavailableError(msg) from None
        return read(answer.status, answer.data, project_id)
