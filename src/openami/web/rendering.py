# SPDX-License-Identifier: Apache-2.0
"""Templates: numbers with their units, times in the utility's zone, files with their hash.

Everything that goes into a page is escaped; a thin space stands between a number and its unit.
"""

import hashlib
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Final

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from openami.exchange.channels import Channel
from openami.exchange.events import event_text
from openami.exchange.field import ClockState
from openami.exchange.words import many
from openami.runtime.clock import from_us
from openami.web import times
from openami.web.context import Context, context_of
from openami.web.sessions import Session
from openami.web.usage import reason_of

HERE: Final = Path(__file__).parent
STATIC: Final = HERE / "static"
THIN: Final = "\u2009"
MINUS: Final = "\u2212"
MISSING: Final = "\u2013"  # an en dash: not known, never a zero


@cache
def environment() -> Environment:
    """Return the templates with their filters."""
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "kwh": kwh,
        "watts": watts,
        "count": count,
        "many": many,
        "percent": percent,
        "seconds": seconds,
        "event": event_text,
        "reason": reason_of,
        "outcome": outcome,
        "channel": channel,
        "span": times.duration,
        "clock": clock_off,
        "hex": lambda octets: octets.hex().upper(),
    }
    made.globals["static"] = static_url
    return made


@cache
def static_url(name: str) -> str:
    """Return the address of a static file, with its hash, so that it may be kept for ever."""
    digest = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]
    return f"/static/{name}?{digest}"


def kwh(wh: int | None, digits: int = 2) -> str:
    """Return an energy in kWh."""
    return MISSING if wh is None else f"{Decimal(wh) / 1000:,.{digits}f}{THIN}kWh"


def watts(power_w: int | None) -> str:
    """Return a power in W, from 1 kW on in kW."""
    if power_w is None:
        return MISSING
    return f"{power_w}{THIN}W" if abs(power_w) < 1000 else f"{power_w / 1000:,.2f}{THIN}kW"


def count(number: int | None) -> str:
    """Return a whole number with thousands set apart."""
    return MISSING if number is None else f"{number:,}"


def percent(part: int, whole: int) -> str:
    """Return a share; it says 100 % only when nothing is missing."""
    if whole <= 0:
        return MISSING
    share = Decimal(100 * part) / whole
    shown = min(share, Decimal("99.9")) if part < whole else Decimal(100)
    return f"{shown:.0f}{THIN}%" if part >= whole else f"{shown:.1f}{THIN}%"


def clock_off(clock: ClockState) -> str:
    """Return how far the clock of a concentrator's host is off, and how surely."""
    if clock.offset_us is None or clock.uncertainty_us is None:
        return "not compared with the head-end's"
    side = "behind" if clock.offset_us >= 0 else "ahead of"
    return (
        f"{_seconds(abs(clock.offset_us))} {side} the head-end's, ±{_seconds(clock.uncertainty_us)}"
    )


def _seconds(us: int) -> str:
    if us < 1_000_000:
        return f"{us / 1000:.0f}{THIN}ms"
    return f"{us / 1_000_000:.1f}{THIN}s" if us < 60_000_000 else times.duration(us)


def seconds(number: float | None, digits: int = 1) -> str:
    """Return signed seconds; nothing has no sign."""
    if number is None:
        return MISSING
    text = f"{number:+.{digits}f}"
    return f"{text.lstrip('+-') if not float(text) else text.replace('-', MINUS)}{THIN}s"


def channel(number: int) -> str:
    """Return in a word or two what a channel measures."""
    return Channel(number).name.removesuffix("_WH").replace("_", " ").lower()


OUTCOMES: Final = {  # what a read on demand answers: divisor, digits, unit
    "power_w": (1, 0, "W"),
    "voltage_dv": (10, 1, "V"),
    "current_ca": (100, 2, "A"),
    "import_wh": (1000, 3, "kWh import"),
    "export_wh": (1000, 3, "kWh export"),
}


def outcome(result: Mapping[str, object]) -> str:
    """Return in words what came of a command."""
    parts = []
    for name, value in result.items():
        if name == "items" and isinstance(value, list):
            parts += [f"{item['kind']} {item['state'] or 'waits'}" for item in value]
            continue
        if name == "alarms" and isinstance(value, list):
            parts += [
                each["text"] or f"register {each['register']}, bit {each['bit']}" for each in value
            ]
            continue
        if name == "registers" and isinstance(value, Mapping):
            parts += [
                f"{_register(number)} {word['register']:08X}" for number, word in value.items()
            ]
            continue
        if name in OUTCOMES and isinstance(value, int):
            divisor, digits, unit = OUTCOMES[name]
            parts.append(f"{Decimal(value) / divisor:,.{digits}f}{THIN}{unit}")
        else:
            parts.append(f"{name.replace('_', ' ')} {value}")
    return " · ".join(parts)


def _register(number: str) -> str:
    return f"alarm register {number}" if number != "0" else "error register"


class Shown:
    """Times and money as one page shows them: its zone, its calendar, its currency."""

    def __init__(self, context: Context, now_us: int) -> None:
        self._calendar = context.calendar
        self._currency = context.prices.currency
        self._now_us = now_us
        self.zone = context.config.zone.key

    def time(self, us: int | None, pattern: str = "%H:%M") -> str:
        """Return a calendar time as a `time` element; the tooltip has date and zone."""
        if us is None:
            return MISSING
        local = self._calendar.local(us)
        return Markup('<time datetime="{}" title="{}">{}</time>').format(
            from_us(us).isoformat(),
            f"{local:%a %d %b %Y %H:%M:%S} {self.zone} ({local:%Z})",
            local.strftime(pattern),
        )

    def plain(self, us: int) -> str:
        """Return a calendar time with its date where no element can stand."""
        return f"{self._calendar.local(us):%d %b %H:%M}"

    def moment(self, us: int | None) -> str:
        """Return a calendar time with as much of its date as is needed."""
        if us is None:
            return MISSING
        same_day = self._calendar.date_of(us) == self._calendar.date_of(self._now_us)
        return self.time(us, "%H:%M" if same_day else "%d %b %H:%M")

    def stretch(self, from_us: int, to_us: int) -> str:
        """Return a stretch of calendar time; a date at its beginning asks for one at its end."""
        begin, end = self._calendar.local(from_us), self._calendar.local(to_us)
        today = self._calendar.date_of(self._now_us)
        pattern = "%H:%M" if begin.date() == end.date() == today else "%d %b %H:%M"
        last = "%H:%M" if begin.date() == end.date() else pattern
        return Markup("{} to {}").format(self.time(from_us, pattern), self.time(to_us, last))

    def real(self, us: int | None, pattern: str = "%H:%M:%S") -> str:
        """Return a time of real life (audit, commands); the tooltip says so."""
        if us is None:
            return MISSING
        local = self._calendar.local(us)
        return Markup('<time datetime="{}" title="{}">{}</time>').format(
            from_us(us).isoformat(),
            f"{local:%a %d %b %Y %H:%M:%S} {self.zone}, real time (not the demo calendar)",
            local.strftime(pattern),
        )

    def ago(self, us: int | None) -> str:
        """Return how long ago a calendar time was."""
        return MISSING if us is None else times.duration(self._now_us - us)

    def day(self, day: date, pattern: str = "%a %d %b") -> str:
        return day.strftime(pattern)

    def money(self, amount: Decimal | None, digits: int = 2) -> str:
        """Return an amount with its currency."""
        return MISSING if amount is None else f"{self._currency}{amount:,.{digits}f}"


def render(
    request: Request,
    name: str,
    *,
    status_code: int = 200,
    now_us: int | None = None,
    shared: Mapping[str, object] | None = None,
    **values: object,
) -> HTMLResponse:
    """Return a page or a fragment of one."""
    context = context_of(request)
    now_us = context.clock.now_us() if now_us is None else now_us
    visitor = getattr(request.state, "visitor", None)
    session = visitor.session if visitor else getattr(request.state, "session", Session.begin())
    text = (
        environment()
        .get_template(name)
        .render(
            account=visitor.account if visitor else None,
            csrf=session.token,
            currency=context.prices.currency,
            now_us=now_us,
            path=request.url.path,
            query=request.query_params,
            shown=Shown(context, now_us),
            speed=context.clock.speed,
            **values,
            **(shared or {}),
        )
    )
    return HTMLResponse(text, status_code=status_code)
