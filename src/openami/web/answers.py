# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: D101  a route says what it answers; the fields have the words of the documents
"""What the REST interface answers, as its OpenAPI document says it.

Routes return the plain objects of JSON; these models are held to each answer, so that a field that
is missing, or that nobody wrote down here, fails where it is made.  Times that end in `_us` are
microseconds UTC of the calendar, in `_real_us` of real life, in `_s` seconds for charts.
"""

from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

Json = dict[str, Any]


class Answer(BaseModel):
    """An answer with exactly these fields."""

    model_config = ConfigDict(extra="forbid")


class OpenAnswer(BaseModel):
    """An answer with these fields and those that a part adds of itself."""

    model_config = ConfigDict(extra="allow")


class Problem(Answer):
    """Why a request was refused, in one sentence."""

    error: str


REFUSALS: Final[dict[int | str, dict[str, Any]]] = {
    401: {"model": Problem, "description": "Nobody has signed in."},
    403: {"model": Problem, "description": "The account may not, or the token is not its own."},
    404: {"model": Problem, "description": "There is no such thing."},
    409: {"model": Problem, "description": "Not possible as things stand."},
    422: {"model": Problem, "description": "The request cannot be understood."},
    500: {"model": Problem, "description": "A fault of ours; the sentence has a reference."},
    503: {"model": Problem, "description": "Not now: the store does not answer."},
}


class Health(Answer):
    status: str


class Readiness(Answer):
    status: str
    reason: str | None = None


class Clock(Answer):
    now_us: int
    speed: float
    zone: str


class Cause(Answer):
    cause: str
    sentence: str


class Fleet(Answer):
    meters: int
    attached: int
    expected: int
    actual: int
    estimated: int
    gaps_open: int
    gap_intervals: int
    inbox: int
    commands_open: int
    disconnected: int
    alarms: list[Cause]


class LoadColumns(Answer):
    """One column entry an interval; null where too few homes have told it."""

    start_s: list[int]
    power_w: list[int | None]
    meters: list[int]
    homes: int
    installed_s: int


class RegionLoad(Answer):
    region: str
    day: str
    homes: int
    minimum_homes: int
    hidden: bool
    now_w: int | None
    now_end_s: int | None
    today: LoadColumns
    before: LoadColumns


class MeterLine(Answer):
    meter_id: int
    title: str
    region: str
    attached: bool | None
    breaker: int | None
    last_end_us: int | None
    expected: int
    actual: int
    gaps: int
    source: str


class MeterFacts(Answer):
    meter_id: int
    title: str
    ldn: str
    region: str
    concentrator: str
    installed_us: int
    capture_period_s: int
    source: str
    breaker: int | None
    breaker_us: int | None
    last_seen_us: int | None


class DaySlots(Answer):
    """Slots of a local day; `state` has a letter a slot."""

    meter_id: int
    day: str
    unit: str
    now_s: int
    period_s: int
    start_s: list[int]
    value: list[int | None]
    state: str
    quality: list[int]
    version: list[int]
    total: int
    last_end_s: int | None


class DayBars(Answer):
    meter_id: int
    span: str
    now_s: int
    day: list[str]
    start_s: list[int]
    measured: list[int]
    estimated: list[int]
    missing: list[int]
    finished: list[bool]
    empty: list[bool]
    total: int


class UsualDay(Answer):
    so_far_wh: int
    until_us: int | None
    cost: str
    currency: str
    usual_wh: int | None
    usual_so_far_wh: int | None
    usual_days: int
    unmeasured: int


class ValueVersion(Answer):
    version: int
    value: int
    state: str
    quality: int
    reason: str
    received_us: int
    message_id: int


class LoggedEvent(Answer):
    at_us: int
    code: int
    text: str


class BookedEvent(Answer):
    event_id: int
    meter_id: int
    region: str
    at_us: int
    received_us: int
    code: int
    text: str
    kind: str
    severity: str
    acknowledged_by: str | None
    acknowledged_real_us: int | None
    note: str | None


class Acknowledged(Answer):
    acknowledged: int


class MeterAlarm(Answer):
    meter_id: int
    number: int = Field(alias="register", description="0 is the error register.")
    bit: int
    kind: str
    text: str
    state: str
    since_us: int
    ended_us: int | None
    cleared_us: int | None
    cleared_by: str | None


class OpenAlarm(MeterAlarm):
    region: str


class MeterAlarms(Answer):
    meter_id: int
    as_of_us: int | None
    registers: dict[int, dict[str, int]]
    alarms: list[MeterAlarm]


class CommandAsked(Answer):
    command_id: str


class CommandsAsked(Answer):
    """Ids of the commands, and why meters were left out, both by meter."""

    commands: dict[int, str]
    left_out: dict[int, str]


class CommandTold(Answer):
    command_id: str
    correlation: str
    meter_id: int
    kind: str
    argument: Json
    state: str
    priority: str
    reason: str
    asked_by: str
    asked_real_us: int
    valid_from_real_us: int
    valid_until_real_us: int
    attempts: int
    result: Json | None


class Step(Answer):
    at_real_us: int
    state: str
    note: str


class CommandHistory(CommandTold):
    history: list[Step]


class Gap(Answer):
    meter_id: int
    from_us: int
    to_us: int
    state: str
    attempts: int
    last_error: str | None


class Gaps(Answer):
    """Gaps, and how many there are in each state."""

    states: dict[str, int]
    gaps: list[Gap]


class Finding(Answer):
    meter_id: int
    channel: int
    start_us: int
    code: str
    numbers: Json
    found_us: int


class Member(Answer):
    meter_id: int
    lost_us: int
    returned_us: int | None
    evidence: str


class OutageNote(Answer):
    at_real_us: int
    note: str


class Outage(Answer):
    outage_id: int
    scope: str
    place: str
    region: str
    parent_id: int | None
    began_us: int
    found_real_us: int
    ended_us: int | None
    verified: bool
    sentence: str
    acknowledged_by: str | None
    note: str | None


class OutageTold(Outage):
    parts: list[int]
    dark: int
    back: int
    meters: list[Member]
    history: list[OutageNote]


class Reliability(Answer):
    feeder: str
    customers: int
    sustained: int
    momentary: int
    saifi: float | None
    saidi_min: float | None
    caidi_min: float | None


class SupplyTold(Answer):
    meter_id: int
    supplied: bool
    lost_us: int | None
    returned_us: int | None
    evidence: str | None = None
    outage_id: int | None = None
