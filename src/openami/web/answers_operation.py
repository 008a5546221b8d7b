# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: D101  a route says what it answers; the fields have the words of the documents
"""What the REST interface answers of keys, stages, concentrators, campaigns and service levels."""

from openami.web.answers import Answer, Json, OpenAnswer


class Rotation(Answer):
    """A change of keys, and how many meters stand where."""

    rotation: str
    asked_by: str
    reason: str
    asked_real_us: int
    meters: dict[str, int]


class RotationAsked(Answer):
    rotation: str | None
    meters: int


class Withdrawn(Answer):
    withdrawn: int


class Closed(Answer):
    closed: int


class Changed(Answer):
    changed: int


class Trusted(Answer):
    workers: list[str]
    until_us: int


class Cell(Answer):
    """A narrow way, and how many meters share it."""

    cell: str
    meters: int


class Place(Answer):
    """Where a meter hangs."""

    meter_id: int
    transformer: str
    feeder: str


class AlarmBit(Answer):
    kind: str
    text: str


class AlarmObjects(Answer):
    """An alarm register of a kind of meter; number 0 is the error register."""

    number: int
    at: str
    filter: str | None
    descriptor: str | None
    bits: dict[str, AlarmBit]


class CompanionProfile(Answer):
    """Where a kind of meter has what, and what its model names begin with."""

    name: str
    title: str
    meters: list[str]
    models: list[str]
    objects: dict[str, str]
    clock_limit_s: int
    clock_settable: bool
    master_key: str
    alarms: list[AlarmObjects]


class GroupChange(Answer):
    """A change of a group's keys for broadcasts; `note` says why it waits, or failed."""

    concentrator: str
    rotation: str
    state: str
    epoch: int | None
    attempts: int
    note: str
    asked_by: str
    reason: str
    correlation: str | None
    asked_real_us: int
    ended_real_us: int | None


class GroupKeys(Answer):
    """The keys of a group for broadcasts: their epoch, and how many of its meters hold it."""

    concentrator: str
    regions: list[str]
    epoch: int
    holders: int
    meters: int
    changed_by: str
    reason: str
    changed_real_us: int
    asked: GroupChange | None


class GroupRotation(Answer):
    """A change of groups' keys, and how many groups stand where."""

    rotation: str
    asked_by: str
    reason: str
    correlation: str | None
    asked_real_us: int
    groups: dict[str, int]


class GroupRotationTold(GroupRotation):
    changes: list[GroupChange]


class GroupRotationAsked(Answer):
    rotation: str | None
    groups: list[str]
    left_out: list[str]


class KeyEpoch(Answer):
    epoch: int
    state: str


class KeyStep(Answer):
    epoch: int
    at_real_us: int
    state: str
    note: str


class MeterKeys(Answer):
    epochs: list[KeyEpoch]
    history: list[KeyStep]


class StageCount(Answer):
    stage: str
    state: str
    meters: int


class Held(Answer):
    meter_id: int
    stage: str
    reason: str


class Commissionings(Answer):
    stages: list[StageCount]
    held: list[Held]


class MetersAsked(Answer):
    meters: int


class StagePassed(Answer):
    at_real_us: int
    stage: str
    note: str


class Commissioning(Answer):
    stage: str
    state: str
    note: str
    history: list[StagePassed]


class Concentrator(OpenAnswer):
    """What a concentrator last said of itself; null where it never said."""

    title: str
    heard_real_us: int
    started_real_us: int
    entries: int
    octets: int
    most_octets: int
    oldest_s: int
    meters: int
    attached: int
    at_quota: int
    refused: int
    alarm: str
    firmware: Json | None
    update: Json | None
    clock: Json | None
    uplink: Json | None


class Link(Answer):
    title: str
    bearer: str
    address: str
    attached: bool
    first_seen_real_us: int
    last_seen_real_us: int
    round_trip_us: int | None
    sent: int
    lost: int


class Notice(Answer):
    number: int
    at_real_us: int
    code: int
    title: str | None
    text: str


class ConcentratorTold(Concentrator):
    links: list[Link]
    notices: list[Notice]


class Wave(OpenAnswer):
    wave: int
    open: bool
    meters: int
    states: dict[str, int]


class Campaign(OpenAnswer):
    """A firmware campaign; its report has more (docs/campaigns.md)."""

    campaign_id: str
    name: str
    state: str
    wave: int
    waves: list[Wave]
    meters_in_all: int
    states: dict[str, int]
    note: str
    next: str
    may: list[str]
    asked_by: str
    asked_at: str | None


class Release(Answer):
    """A signed image that somebody verified."""

    release_id: str
    name: str
    version: str
    size: int
    digest: str
    keyhash: str
    added_by: str
    added_real_us: int


class CampaignPlanned(Answer):
    campaign_id: str
    name: str
    meters: int
    waves: list[int]
    left_out: list[int]


class CampaignMoved(Answer):
    campaign_id: str
    state: str


class UpdatesAsked(Answer):
    version: str
    titles: list[str]


class UpdateCancelled(Answer):
    title: str
    state: str


class LevelWindow(OpenAnswer):
    begins: str
    due: int
    on_time: int
    missing: int
    excluded: int
    kept: bool
    penalty: float | None


class LevelRule(OpenAnswer):
    name: str
    title: str
    percent: float
    within_s: float
    illustrative: bool
    kept: bool | None
    windows: list[LevelWindow]


class ServiceLevels(OpenAnswer):
    days: int
    examples: bool
    rules: list[LevelRule]


class Suspicion(Answer):
    """A head-end whose own clock is suspected, and why."""

    worker: str
    suspected_us: int | None
    sentence: str


class ClockKept(Answer):
    """A meter's clock as it was measured last; seconds, ahead is positive."""

    meter_id: int
    measured_us: int
    deviation_s: float | None
    uncertainty_s: float
    status: int | None
    worker: str
    tolerated_s: float
    within: bool
    drift_s_per_day: float | None
    drift_uncertainty_s_per_day: float | None
    notice: bool
    said: str
    corrected_us: int | None
    command_id: str | None


class ClockMeasured(Answer):
    measured_us: int
    deviation_s: float | None
    uncertainty_s: float
    status: int | None
    after_command: bool
    worker: str


class Clocks(Answer):
    meters: int
    measured: int
    within: int
    noticed: int
    timeless: int
    mean_deviation_s: float | None
    mean_drift_s_per_day: float | None
    oldest_us: int | None
    suspected: list[Suspicion]
    worst: list[ClockKept]


class MeterClock(Answer):
    meter_id: int
    clock: ClockKept | None
    history: list[ClockMeasured]
