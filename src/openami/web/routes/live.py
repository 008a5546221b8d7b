# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: FAST003  the dependency VisibleMeter takes meter_id
"""Live pages: server-sent events from the feed.

An open page of a meter asks the head-end for live values by a row in `watches`, which this module
renews while the page stays open and lets expire when it is gone.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import APIRouter, Header
from fastapi.responses import StreamingResponse

from openami.access.accounts import account
from openami.exchange.channels import Channel
from openami.runtime.clock import real_us
from openami.runtime.errors import UserError
from openami.store import live
from openami.web.context import At, Context
from openami.web.guards import AnyVisitor, UtilityVisitor, VisibleMeter, Visitor
from openami.web.tailer import Wanted

router = APIRouter(prefix="/api", tags=["live"])

HEARTBEAT_S: Final = 10.0
WATCH_S: Final = 25.0  # longer than the heartbeat that renews it
RETRY_MS: Final = 2000
CHANNELS: Final = {
    Channel.POWER: "power_w",
    Channel.VOLTAGE: "voltage_dv",
    Channel.CURRENT: "current_ca",
    Channel.IMPORT_REGISTER: "register_wh",
}

LastId = Annotated[str | None, Header(alias="Last-Event-ID")]


@router.get("/meters/{meter_id}/live", response_class=StreamingResponse)
async def meter_live(
    meter: VisibleMeter, at: At, visitor: AnyVisitor, last_event_id: LastId = None
) -> StreamingResponse:
    """Stream a meter: `live` values each second, and what else happens to it."""
    number = meter.meter_id

    def wanted(entry: live.Entry) -> bool:
        return entry.meter_id == number

    return _stream(_follow(_Page(at, visitor, number), wanted, _number(last_event_id)))


@router.get("/stream", response_class=StreamingResponse)
async def fleet_stream(
    visitor: UtilityVisitor, at: At, last_event_id: LastId = None
) -> StreamingResponse:
    """Stream what happens in the fleet, live values left out."""

    def wanted(entry: live.Entry) -> bool:
        return entry.kind != "live"

    return _stream(_follow(_Page(at, visitor, None), wanted, _number(last_event_id)))


async def _follow(page: "_Page", wanted: Wanted, after: int | None) -> AsyncIterator[str]:
    at, meter_id = page.at, page.meter_id
    yield f"retry: {RETRY_MS}\n\n"
    async with at.tailer.subscribe(wanted, after) as subscription:
        due_s = 0.0  # the first round renews at once
        if meter_id is not None:
            yield _event("live", await asyncio.to_thread(momentary, at, meter_id))
        while True:
            if time.monotonic() >= due_s:
                if not await asyncio.to_thread(page.renew):
                    return
                due_s = time.monotonic() + HEARTBEAT_S
                yield ": here\n\n"
            try:
                wait_s = max(0.0, due_s - time.monotonic())
                entry = await asyncio.wait_for(subscription.queue.get(), wait_s)
            except TimeoutError:
                continue
            if entry is None:
                return
            body: object = {"meter_id": entry.meter_id, "at_us": entry.at_us, **entry.body}
            if entry.kind == "live" and meter_id is not None:
                body = await asyncio.to_thread(momentary, at, meter_id)
            yield _event(entry.kind, body, entry.feed_id)


@dataclass(frozen=True, slots=True)
class _Page:
    """An open page: whose it is, and the meter it watches."""

    at: Context
    visitor: Visitor
    meter_id: int | None

    def renew(self) -> bool:
        """Go on watching; False when the session has ended since."""
        known = account(self.at.engine, self.visitor.account.login)
        if known is None or known.session_epoch != self.visitor.session.epoch:
            return False
        if self.meter_id is not None:
            until_us = real_us() + round(WATCH_S * 1_000_000)
            with suppress(UserError):  # the store cannot be written now: show what is there
                live.watch(self.at.engine, self.meter_id, until_us)
        return True


def momentary(at: Context, meter_id: int) -> dict[str, int | str | None]:
    """Return a meter's live values, their age and what the present power costs an hour."""
    values = {
        value.channel: value
        for value in live.latest(at.engine, meter_ids=[meter_id], channels=list(CHANNELS))
    }
    body: dict[str, int | str | None] = dict.fromkeys(CHANNELS.values())
    body |= {CHANNELS[Channel(number)]: value.value for number, value in values.items()}
    power = values.get(Channel.POWER)
    now_us = at.clock.now_us()
    body["at_us"] = power.start_us if power else None
    body["now_us"] = now_us
    if power:
        cost = at.prices.at(now_us).price_per_kwh * power.value / 1000
        body["cost_per_hour"] = f"{cost:.2f}"
    return body


def _event(kind: str, body: object, feed_id: int | None = None) -> str:
    number = "" if feed_id is None else f"id: {feed_id}\n"
    return f"{number}event: {kind}\ndata: {json.dumps(body, separators=(',', ':'))}\n\n"


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() else None


def _stream(events: AsyncIterator[str]) -> StreamingResponse:
    return StreamingResponse(
        events,
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )
