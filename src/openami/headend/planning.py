# SPDX-License-Identifier: Apache-2.0
"""Firmware as people ask for it, on the command line or over REST: who gets which release when."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import Engine

from openami.access.accounts import record
from openami.device.payload.identity import CONCENTRATOR_CLASS_ID
from openami.exchange.waves import Plan, sizes, spread
from openami.exchange.words import many
from openami.firmware.errors import ImageError, Reason
from openami.firmware.image import Image
from openami.firmware.tlv import TlvType
from openami.runtime.errors import UserError
from openami.store import campaigns, concentrator_devices, releases
from openami.store.registry import Meter
from openami.store.releases import Release


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A campaign that nobody has started.

    Attributes:
        waves: Sizes; the first are the canaries.
        left_out: Meters that are in a campaign that is not over.
    """

    campaign_id: str
    name: str
    meters: int
    waves: Sequence[int]
    left_out: Sequence[int]


def for_meters(image: Image) -> None:
    """Refuse what no meter runs; a maker's own classes are the meters' to judge.

    Raises:
        ImageError: It is a concentrator's.
    """
    if image.one(TlvType.UUID_CID) == CONCENTRATOR_CLASS_ID.bytes:
        detail = "it is a concentrator's: `openami headend concentrator update` brings it"
        raise ImageError(Reason.IMAGE_CLASS, detail, TlvType.UUID_CID.name)


def for_concentrators(image: Image) -> None:
    """Refuse what no concentrator runs.

    Raises:
        ImageError: It is none of a concentrator.
    """
    if image.one(TlvType.UUID_CID) != CONCENTRATOR_CLASS_ID.bytes:
        detail = "it is no concentrator's: `openami image build --concentrator` makes one"
        raise ImageError(Reason.IMAGE_CLASS, detail, TlvType.UUID_CID.name)


def release_for(engine: Engine, release_id: str, judge: Callable[[Image], None]) -> Release:
    """Return a release that the store has.

    Raises:
        UserError: There is none of that id, or `judge` refuses its image.
    """
    release = releases.release(engine, release_id)
    try:
        judge(Image.decode(releases.octets_of(engine, release_id)))
    except ImageError as error:
        sentence = f"release {release.name} {release.version} cannot run there ({error})"
        raise UserError(f"{sentence}: name another") from None
    return release


def update_concentrators(
    engine: Engine, titles: Sequence[bytes], release: Release, *, asked_by: str, reason: str
) -> None:
    """Ask for updates of concentrators, one after another, and write down who did.

    Args:
        engine: The store.
        titles: Of the concentrators, in their turn; each once.
        release: One of the store, for concentrators.
        asked_by: Who asks.
        reason: Why.

    Raises:
        UserError: One has an update under way, or never brought its keys: nothing is asked for.
    """
    for title in titles:
        concentrator_devices.keys_of(engine, title)
    concentrator_devices.want_each(engine, titles, release.release_id, by=asked_by, why=reason)
    for title in titles:
        subject = f"{title.hex().upper()} {release.version}: {reason}"
        record(engine, asked_by, "concentrator.update", subject)


def cancel_update(engine: Engine, title: bytes, *, asked_by: str, reason: str) -> None:
    """Give up an update that the concentrator was not told to start, and write down who did.

    Raises:
        UserError: There is none, or it was.
    """
    concentrator_devices.cancel(engine, title, reason)
    record(engine, asked_by, "concentrator.cancel", f"{title.hex().upper()}: {reason}")


def plan_campaign(  # noqa: PLR0913  a campaign has these fields
    engine: Engine,
    *,
    release_id: str,
    name: str,
    meters: Sequence[Meter],
    plan: Plan,
    asked_by: str,
    reason: str,
) -> Planned:
    """Plan a campaign with a release that the store has, and write down who did.

    Each wave has some meters of every concentrator, cell and maker.

    Args:
        engine: The store.
        release_id: Of the release.
        name: What people call it; name and version of the release if empty.
        meters: Whom it concerns.
        plan: How it goes.
        asked_by: Who plans it.
        reason: Why.

    Raises:
        UserError: There is no such release, it is a concentrator's, or no meter is left.
    """
    release = release_for(engine, release_id, for_meters)
    name = name or f"{release.name} {release.version}"
    ids = spread(
        (meter.meter_id, (meter.concentrator, meter.cell, meter.ldn[:3])) for meter in meters
    )
    campaign_id, left_out = campaigns.plan_campaign(
        engine,
        name=name,
        release_id=release_id,
        meter_ids=ids,
        plan=plan,
        asked_by=asked_by,
        reason=reason,
    )
    count = len(ids) - len(left_out)
    record(engine, asked_by, "firmware.plan", f"{campaign_id}: {name}, {many(count)}: {reason}")
    return Planned(
        campaign_id=campaign_id,
        name=name,
        meters=count,
        waves=sizes(plan.waves, count),
        left_out=left_out,
    )
