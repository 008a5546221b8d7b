# SPDX-License-Identifier: Apache-2.0
"""What every page has at hand: configuration, stores, clock, sessions."""

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Final

from fastapi import Depends, Request
from sqlalchemy import Engine

from openami.runtime.clock import Clock
from openami.store.data_quality import RegionCoverage
from openami.store.severity import FILE as SEVERITIES
from openami.store.severity import Severities
from openami.web.config import WebConfig
from openami.web.money import Prices
from openami.web.readings import Readings
from openami.web.remembered import Remembered
from openami.web.sessions import Cookies, FailureLimit
from openami.web.tailer import Tailer
from openami.web.times import MINUTE_US, LocalCalendar

if TYPE_CHECKING:
    from openami.web.outageview import State

PIPELINE_REAL_S: Final = 12.0  # what an interval may need from its end to the store, real seconds
PAST_DAYS_S: Final = 60.0  # how old the first page's figures of days before yesterday may be
PIPELINE_US: Final = 5 * MINUTE_US  # the same on a calendar that runs in real time


@dataclass(slots=True, kw_only=True)
class Context:
    """One web process."""

    config: WebConfig
    engine: Engine
    clock: Clock
    readings: Readings
    prices: Prices
    cookies: Cookies = field(init=False)
    tailer: Tailer = field(init=False)
    calendar: LocalCalendar = field(init=False)
    login_limit: FailureLimit = field(init=False)
    address_limit: FailureLimit = field(init=False)
    severities: Severities = field(init=False)
    past_days: Remembered[list[RegionCoverage]] = field(init=False)
    customers: Remembered[dict[str, int]] = field(
        default_factory=lambda: Remembered(most_s=PAST_DAYS_S)
    )
    outage_state: "Remembered[State]" = field(default_factory=Remembered)

    def __post_init__(self) -> None:
        self.cookies = Cookies(self.config.session_key)
        self.tailer = Tailer(self.engine)
        self.calendar = LocalCalendar(self.config.zone)
        self.severities = Severities.load(self.config.severities or SEVERITIES)
        self.past_days = Remembered(PAST_DAYS_S)
        self.login_limit = FailureLimit(most=5, window_s=300.0, monotonic_s=time.monotonic)
        self.address_limit = FailureLimit(most=50, window_s=300.0, monotonic_s=time.monotonic)

    def settled_us(self, now_us: int) -> int:
        """Return the moment before whose end an interval should be in the store."""
        return now_us - max(PIPELINE_US, round(PIPELINE_REAL_S * self.clock.speed * 1_000_000))


def context_of(request: Request) -> Context:
    """Return the context of the application that a request came to."""
    context = request.app.state.context
    if not isinstance(context, Context):
        raise TypeError("the application was made without a Context: use create_app")
    return context


At = Annotated[Context, Depends(context_of)]
