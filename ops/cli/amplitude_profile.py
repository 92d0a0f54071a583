"""`amplitude-bridge amplitude-profile`: what Amplitude knows of a user, by its User Profile API."""

import asyncio
import json
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.table import Table

from ops.answers.amplitude_profiles import profiles_of
from ops.cli.key_file import sealed_key
from ops.cli.terminal import PROJECT_ID, WithDefault, as_json_option, cell, echo_fields, example, waiting
from settings import load
from stores.amplitude.http import AmplitudeError
from stores.amplitude.user_profile import AmplitudeProfile, User, Wanted
from stores.profile_limits import ProfileLimits
from stores.profile_sources import ProfileSource, ProfileSources


@click.group(
    "amplitude-profile",
    cls=WithDefault,
    default="get",
    subcommand_metavar="PROJECT_ID USER_ID | set PROJECT_ID | show",
    context_settings={"ignore_unknown_options": True},
    epilog=example(
        "amplitude-profile set 434735 --secret-key-file key.txt", "amplitude-profile 434735 mina@example.com"
    ),
)
def amplitude_profile() -> None:
    """Show what Amplitude knows of a user: properties, computations, cohorts, and more by their ids.

    It needs the project's secret key, which is sealed before it is stored and never shown. Without a command's
    name: the same as `get`. What this product knows of a user: `amplitude-bridge profile`.
    """


@amplitude_profile.command(
    "get",
    epilog=example(
        "amplitude-profile get 434735 mina@example.com --json",
        "amplitude-profile get 434735 4289c8b4-7afe-49ed-8814-51c5fc770000 --device --recommendation s234ssg",
    ),
)
@click.argument("project_id", type=PROJECT_ID)
@click.argument("user_id")
@click.option("--device", is_flag=True, help="USER_ID is a device id.")
@click.option("--recommendation", "recommendations", multiple=True, metavar="ID", help="And what this recommends.")
@click.option("--prediction", "predictions", multiple=True, metavar="ID", help="And how probable this is.")
@click.option(
    "--deadline", type=click.FloatRange(0, min_open=True), default=5.0, show_default=True, help="In seconds."
)
@as_json_option
@click.pass_obj
def get(  # noqa: PLR0913  one of each option
    config: Path, /, project_id: int, user_id: str, *, device: bool, deadline: float, as_json: bool, **ids: Any
) -> None:
    """Show what Amplitude knows of USER_ID in PROJECT_ID."""
    user = User(device_id=user_id) if device else User(user_id=user_id)
    profiles = profiles_of(load(config))
    try:
        with waiting("asking Amplitude"):
            found = asyncio.run(profiles.get(project_id, user, deadline=deadline, wanted=Wanted(**ids)))
    finally:
        profiles.close()
    if as_json:
        click.echo(json.dumps(msgspec.to_builtins(found.profile), indent=2, ensure_ascii=False))
    elif found.profile is None:
        click.echo(f"Amplitude has not seen this {'device' if device else 'user'} in project {project_id}")
    else:
        _print(found.profile)


def _print(profile: AmplitudeProfile) -> None:
    cohorts = "not asked" if profile.cohort_ids is None else ", ".join(profile.cohort_ids) or "none"
    echo_fields(
        [
            ("user id", profile.user_id or ""),
            ("device id", profile.device_id or ""),
            ("cohorts", cohorts),
            *((f"recommended by {one.rec_id}", _recommended(one)) for one in profile.recommendations or ()),
            *((f"{one.prop_type} of {one.pred_id}", str(one.prop)) for one in profile.propensities or ()),
        ]
    )
    table = Table("property or computation", "value")
    for name, value in sorted((profile.amp_props or {}).items()):
        table.add_row(cell(name), cell(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)))
    Console().print(table)


def _recommended(one: Any) -> str:
    return ", ".join(map(str, one.items)) + (" (of the control group)" if one.is_control else "")


@amplitude_profile.command("set", epilog=example("amplitude-profile set 434735 --secret-key-file key.txt"))
@click.argument("project_id", type=PROJECT_ID)
@click.option("--region", type=click.Choice(("us", "eu")), default="us", show_default=True, help="Amplitude's.")
@click.option(
    "--secret-key-file", required=True, type=click.Path(allow_dash=True),
    help="Holds the project's secret key; - reads it from stdin.",
)  # fmt: skip
@click.option(
    "--organisation", metavar="NAME", help="Projects of one share its limit. [default: the project's id]"
)
@click.pass_obj
def set_source(
    config: Path, /, project_id: int, region: str, secret_key_file: str, organisation: str | None
) -> None:
    """Keep the secret key of PROJECT_ID, which must be registered; replaces what was set before."""
    if region == "eu":
        msg = "Amplitude has no User Profile API for organisations whose data is in the EU"
        raise AmplitudeError(msg)
    settings = load(config)
    sealed, end = sealed_key(settings, project_id, secret_key_file, "secret key")
    table = ProfileSources(settings.tables_address)
    table.create()
    ProfileLimits(settings.tables_address, settings.amplitude_profiles.requests_per_minute).create()
    table.set(ProfileSource(project_id, sealed, end, organisation or str(project_id)))
    click.echo(f"Amplitude's profiles of project {project_id} are asked for with key …{end}")


@amplitude_profile.command("show", epilog=example("amplitude-profile show --json"))
@as_json_option
@click.pass_obj
def show(config: Path, /, *, as_json: bool) -> None:
    """Show whose profiles may be asked for."""
    found = [
        {
            "project_id": one.project_id,
            "key_end": f"…{one.key_end}",
            "organisation": one.organisation,
            "since": one.since,
        }
        for one in ProfileSources(load(config).tables_address).list()
    ]
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    shown = Table("project", "key", "organisation", "since")
    for one in found:
        shown.add_row(*map(cell, one.values()))
    Console().print(shown)
