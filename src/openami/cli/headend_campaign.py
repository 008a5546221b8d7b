# SPDX-License-Identifier: Apache-2.0
"""`openami headend campaign`: new firmware for many meters, in waves that stop by themselves.

The commands write what is wanted and look at what came of it; head-ends do it.
"""

import getpass
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import click
from sqlalchemy import Engine

from openami.access.accounts import record
from openami.cli.headend_campaign_report import report
from openami.cli.headend_campaign_study import study
from openami.cli.headend_store import HOME_OPTION, opened
from openami.cli.image_files import FILE, key_of, octets_of
from openami.cli.progress import Bar, bar
from openami.cli.ranges import FiniteRange
from openami.cli.release_files import image_options, release_of, take_release
from openami.exchange.campaign import ENDED, Act, CampaignState
from openami.exchange.waves import (
    MOST_ROUNDS,
    Plan,
    PlanError,
    Share,
    StopRules,
    Tries,
    Window,
    clock_s,
)
from openami.exchange.words import many
from openami.firmware.keys import public_key
from openami.firmware.verify import Policy
from openami.headend.campaign_report import Report, summary
from openami.headend.planning import for_meters, plan_campaign
from openami.runtime.errors import ExitCode, UserError
from openami.store import campaigns, registry, releases
from openami.store.campaigns import Campaign
from openami.store.registry import Meter
from openami.store.releases import Release

LOOK_S: Final = 0.5
PLAN: Final = Plan()
RULES, TRIES = PLAN.rules, PLAN.tries
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_REASON = click.option("--reason", required=True, help="Why, for the audit trail.")
_ID = click.argument("campaign_id", metavar="CAMPAIGN")
_SECONDS: Final = FiniteRange(0)
_COUNT: Final = click.IntRange(0)


@click.group()
def campaign() -> None:
    """Bring new firmware to many meters: canaries, waves, stop rules, proof, report."""


campaign.add_command(report)
campaign.add_command(study)


@campaign.command()
@HOME_OPTION
@image_options
@_REASON
def release(*, home: Path, reason: str, **given: Any) -> int:  # noqa: ANN401  options
    """Verify an image against trusted keys and take it: campaigns over REST name it."""
    found, octets = _release(given)
    with opened(home) as engine:
        take_release(engine, found, octets, reason)
    return int(ExitCode.DONE)


@campaign.command()
@HOME_OPTION
@image_options
@click.option("--name", help="What people call it.  [name and version of the image]")
@click.option("--region", multiple=True, help="Meters of a region; may be repeated.")
@click.option(
    "--concentrator", multiple=True, help="Meters of a concentrator, by its title in hex."
)
@click.option("--model", multiple=True, help="Whose logical device name begins so.")
@click.option("--meter", "meter_ids", type=int, multiple=True, help="A meter; may be repeated.")
@click.option("--list", "list_file", type=FILE, help="A file with a meter's number on each line.")
@click.option("--all", "everyone", is_flag=True, help="Every meter of the registry.")
@click.option("--from-version", multiple=True, help="Only meters that show this when asked.")
@click.option("--canaries", default="1", show_default=True, help="How many: 5, or 0.1%.")
@click.option("--wave", "waves", multiple=True, help="Size of the next wave: 100, or 10%.")
@click.option(
    "--soak-s", type=_SECONDS, default=PLAN.soak_s, show_default=True, help="After a wave."
)
@click.option(
    "--silence-s",
    type=_SECONDS,
    default=PLAN.silence_s,
    show_default=True,
    help="After its activation, until an unproven meter is in doubt.",
)
@click.option("--window", help="Local hours in which blocks are sent: 22:00-05:00.")
@click.option("--activate-at", help="Local time at which images are started: 02:30.  [at once]")
@click.option(
    "--per-concentrator",
    type=click.IntRange(1),
    default=PLAN.per_concentrator,
    show_default=True,
    help="Transfers at a time.",
)
@click.option(
    "--broadcast",
    type=click.IntRange(0, MOST_ROUNDS),
    default=PLAN.broadcast,
    show_default=True,
    help="How often each block goes to all meters of a concentrator before gaps are filled.",
)
@click.option(
    "--failed-percent",
    type=FiniteRange(0, 100),
    default=RULES.failed_percent,
    show_default=True,
)
@click.option("--reverted-most", type=_COUNT, default=RULES.reverted_most, show_default=True)
@click.option("--in-doubt-most", type=_COUNT, default=RULES.in_doubt_most, show_default=True)
@click.option("--alarms-most", type=_COUNT, default=RULES.alarms_most, show_default=True)
@click.option("--retry-first-s", type=_SECONDS, default=TRIES.first_s, show_default=True)
@click.option("--retry-most-s", type=_SECONDS, default=TRIES.most_s, show_default=True)
@click.option(
    "--attempts-most",
    type=click.IntRange(1),
    default=TRIES.attempts_most,
    show_default=True,
    help="In a row that bring no new block; then the meter has failed.",
)
@click.option(
    "--octets-times",
    type=FiniteRange(1),
    default=TRIES.octets_times,
    show_default=True,
    help="The most that is sent to a meter, in sizes of the image.",
)
@click.option("--shown-as", default="", help="How meters without a hash show the release.")
@_REASON
@_JSON
def plan(*, home: Path, reason: str, as_json: bool, **given: Any) -> int:  # noqa: ANN401  options
    """Verify an image against trusted keys, and plan who gets it when.  Nothing is sent yet."""
    release, octets = _release(given)
    wanted = _plan(given)
    with opened(home) as engine:
        meters = _targets(engine, given)
        releases.add(engine, release, octets)
        planned = plan_campaign(
            engine,
            release_id=release.release_id,
            name=given["name"] or "",
            meters=meters,
            plan=wanted,
            asked_by=getpass.getuser(),
            reason=reason,
        )
        campaign_id, left_out = planned.campaign_id, planned.left_out
        if as_json:
            found = campaigns.campaign(engine, campaign_id)
            click.echo(json.dumps(summary(engine, found) | {"left_out": left_out}, indent=1))
            return int(ExitCode.DONE)
    click.echo(f"campaign {campaign_id} is planned: {planned.name} for {many(planned.meters)}")
    click.echo(
        f"waves of {', '.join(f'{size:,}' for size in planned.waves)}; the first are the canaries"
    )
    if left_out:
        click.echo(f"{many(len(left_out))} left out: they are in a campaign that is not over")
    click.echo(f"start it with `openami headend campaign start {campaign_id} --reason …`")
    return int(ExitCode.DONE)


def _release(given: dict[str, Any]) -> tuple[Release, bytes]:
    keys = tuple(key_of(path, public_key) for path in given["keys"])
    demanded = Policy(keys=keys, counter=given["counter"], judge=for_meters)
    remedy = "plan with an image that `openami image verify` accepts"
    return release_of(given["file"], demanded, remedy)


def _plan(given: dict[str, Any]) -> Plan:
    window, activate = given["window"], given["activate_at"]
    try:
        return Plan(
            waves=tuple(map(Share.parse, (given["canaries"], *given["waves"]))),
            soak_s=given["soak_s"],
            silence_s=given["silence_s"],
            window=None if window is None else Window.parse(window),
            activate_s=None if activate is None else clock_s(activate),
            per_concentrator=given["per_concentrator"],
            broadcast=given["broadcast"],
            from_versions=given["from_version"],
            shown_as=given["shown_as"],
            rules=StopRules(
                failed_percent=given["failed_percent"],
                reverted_most=given["reverted_most"],
                in_doubt_most=given["in_doubt_most"],
                alarms_most=given["alarms_most"],
            ),
            tries=Tries(
                first_s=given["retry_first_s"],
                most_s=given["retry_most_s"],
                attempts_most=given["attempts_most"],
                octets_times=given["octets_times"],
            ),
        )
    except PlanError as error:
        raise UserError(str(error), ExitCode.ASKED_WRONGLY) from None


def _targets(engine: Engine, given: dict[str, Any]) -> list[Meter]:
    """Return the meters of the registry that all options given mean."""
    named = set(given["meter_ids"]) | set(_listed(given["list_file"]))
    groups = (given["region"], given["concentrator"], given["model"], named)
    if any(groups) == given["everyone"]:
        sentence = "say whom you mean by --region, --concentrator, --model, --meter or --list; or"
        raise UserError(f"{sentence} all by --all, and nothing else", ExitCode.ASKED_WRONGLY)
    titles = {title.upper() for title in given["concentrator"]}
    every = registry.meters(engine)
    if unknown := sorted(named - {meter.meter_id for meter in every}):
        numbers = ", ".join(map(str, unknown[:10]))
        sentence = f"the registry has no meter {numbers}: `openami headend meters` lists them"
        raise UserError(sentence)
    found = [
        meter
        for meter in every
        if (not given["region"] or meter.region in given["region"])
        and (not titles or meter.concentrator.hex().upper() in titles)
        and (not given["model"] or meter.ldn.startswith(given["model"]))
        and (not named or meter.meter_id in named)
    ]
    if not found:
        there = ", ".join(sorted({meter.region for meter in every})) or "none"
        raise UserError(f"no meter is all that was asked for: there are the regions {there}")
    return found


def _listed(file: Path | None) -> Sequence[int]:
    if file is None:
        return ()
    found = []
    for number, line in enumerate(octets_of(file).decode("utf-8", "replace").splitlines(), 1):
        text = line.partition("#")[0].strip()
        if text:
            if not text.isdecimal():
                sentence = f"line {number} of {file} is {text!r}: write the number of a meter"
                raise UserError(sentence, ExitCode.ASKED_WRONGLY)
            found.append(int(text))
    return found


@campaign.command()
@HOME_OPTION
@_ID
@_REASON
@click.option("--yes", is_flag=True, help="Ask nothing before.")
@click.option("--follow", is_flag=True, help="Wait until it stands still.")
def start(*, home: Path, campaign_id: str, reason: str, yes: bool, follow: bool) -> int:
    """Start a planned campaign: its canaries first."""
    with opened(home) as engine:
        found = campaigns.campaign(engine, campaign_id)
        if not yes:
            told = summary(engine, found)
            first, whole = told["waves"][0]["meters"], told["meters_in_all"]
            sentence = f"{many(first)} get {found.name} now, {whole} in all. Go on?"
            click.confirm(sentence, abort=True)
    return _act(home, campaign_id, Act.START, reason, follow=follow)


@campaign.command()
@HOME_OPTION
@_ID
@_REASON
def pause(*, home: Path, campaign_id: str, reason: str) -> int:
    """Send nothing more for a while; meters that were told to start the image are followed."""
    return _act(home, campaign_id, Act.PAUSE, reason)


@campaign.command()
@HOME_OPTION
@_ID
@_REASON
@click.option("--follow", is_flag=True, help="Wait until it stands still.")
def resume(*, home: Path, campaign_id: str, reason: str, follow: bool) -> int:
    """Go on after a pause, or after a rule stopped it: what is known by now counts no more."""
    return _act(home, campaign_id, Act.RESUME, reason, follow=follow)


@campaign.command()
@HOME_OPTION
@_ID
@_REASON
def cancel(*, home: Path, campaign_id: str, reason: str) -> int:
    """End a campaign: meters that were not told to start the image never will be."""
    return _act(home, campaign_id, Act.CANCEL, reason)


def _act(home: Path, campaign_id: str, act: Act, reason: str, *, follow: bool = False) -> int:
    login = getpass.getuser()
    with opened(home) as engine:
        found = campaigns.campaign(engine, campaign_id)
        found = campaigns.act(engine, found.campaign_id, act, by=login, reason=reason)
        record(engine, login, f"firmware.{act.value}", f"{found.campaign_id}: {reason}")
        click.echo(f"campaign {found.campaign_id} is {found.state.value}")
        return _shown(engine, found.campaign_id, follow=follow) if follow else int(ExitCode.DONE)


@campaign.command()
@HOME_OPTION
@click.argument("campaign_id", metavar="[CAMPAIGN]", required=False)
@click.option("--follow", is_flag=True, help="Wait until it stands still.")
@_JSON
def status(*, home: Path, campaign_id: str | None, follow: bool, as_json: bool) -> int:
    """Tell how CAMPAIGN stands, or the latest ones; status 1 where a rule stopped it."""
    with opened(home) as engine:
        if campaign_id is not None:
            return _shown(engine, campaign_id, follow=follow, as_json=as_json)
        found = campaigns.campaigns(engine)
        if as_json:
            click.echo(json.dumps([summary(engine, each) for each in found], indent=1))
        for each in [] if as_json else found:
            click.echo(_line(summary(engine, each)))
        if not found and not as_json:
            click.echo("no campaign was ever planned: see `openami headend campaign plan --help`")
        return int(ExitCode.DONE)


def _shown(engine: Engine, campaign_id: str, *, follow: bool, as_json: bool = False) -> int:
    found = campaigns.campaign(engine, campaign_id)
    if follow:
        with bar() as shown:
            while _moves(shown, engine, found):
                time.sleep(LOOK_S)
                found = campaigns.campaign(engine, found.campaign_id)
    told = summary(engine, found)
    if as_json:
        click.echo(json.dumps(told, indent=1))
    else:
        click.echo(_line(told))
        for wave in told["waves"]:
            name = "canaries" if wave["wave"] == 0 else f"wave {wave['wave']}"
            states = ", ".join(f"{count:,} {state}" for state, count in wave["states"].items())
            click.echo(f"  {name:<9} {wave['meters']:>7,}  {states}")
        click.echo(f"  next: {told['next']}")
    return int(ExitCode.REFUSED if told["state"] == "stopped" else ExitCode.DONE)


def _moves(shown: Bar, engine: Engine, found: Campaign) -> bool:
    """Move the bar; tell whether the campaign runs."""
    told = summary(engine, found)
    ended = sum(told["states"].get(state.value, 0) for state in ENDED)
    where = "canaries" if found.wave <= 0 else f"wave {found.wave} of {found.waves - 1}"
    shown.at(ended, told["meters_in_all"], f"{found.name}: {where}")
    return found.state is CampaignState.RUNNING


def _line(told: Report) -> str:
    states = ", ".join(f"{count:,} {state}" for state, count in told["states"].items())
    return f"{told['campaign_id']}  {told['name']}: {told['state']} ({told['note']}); {states}"
