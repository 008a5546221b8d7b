# SPDX-License-Identifier: Apache-2.0
"""A campaign on models of bearers: how long, how many octets, how far a bad image gets.

Waves, rules and tries are the product's own (`exchange.waves`).  Modelled are the links, block by
block: request and answer, losses, sleep, outages, and that meters share a medium.  Meters of a
medium are taken a few at a time.  Where a bearer is one shared wire, blocks may be broadcast to all
meters of the wave first, unacknowledged, and what a meter missed is sent to it alone.  The
product does so through its concentrators (`headend.broadcasting`).
"""

import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from openami.exchange.campaign import MeterState
from openami.exchange.waves import Next, Plan, Standing, Window, decide, sizes
from openami.runtime.errors import ExitCode, UserError
from openami.transport.bearers.link import STREAM_HEADER_OCTETS, Link
from openami.transport.bearers.medium import DAY_S, HOUR_S, Medium, Way, seeded
from openami.transport.bearers.parameters import Bearer

REQUEST_OCTETS: Final = 62  # a protected ACTION with a block, beside the block's own octets
ANSWER_OCTETS: Final = 40
SPEAKS_FIRST_OCTETS: Final = 120  # a meter that sleeps is heard before it is spoken to
WIRES: Final = frozenset({"plc-prime", "plc-g3", "rs485"})
"""Bearers on which every meter of a medium hears what is sent once."""
STARTS_S: Final = 180.0  # restart, self-tests, and reading back


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """What is modelled.

    Attributes:
        bearer: Between meters and their concentrator, or base station.
        plan: Waves, rules, window, tries; `per_concentrator` meters of a medium at a time.
        meters: How many in all.
        together: How many share a medium.
        image_octets: Of the release.
        block_octets: Of a block.
        rounds: How often blocks are broadcast before gaps are filled; 0: not at all.
        bad_percent: Meters that revert the image, of all.
        hour: Of the day at which the campaign is started.
        seed: Decides all that is drawn.
    """

    bearer: Bearer
    plan: Plan
    meters: int = 10_000
    together: int = 100
    image_octets: int = 153_685
    block_octets: int = 1024
    rounds: int = 0
    bad_percent: float = 0.0
    hour: float = 20.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.rounds and not may_broadcast(self.bearer):
            sentence = f"{self.bearer.name} is no wire that all meters hear: leave --broadcast out"
            raise UserError(sentence, ExitCode.ASKED_WRONGLY)

    @property
    def blocks(self) -> int:
        return -(-self.image_octets // self.block_octets)


@dataclass(slots=True)
class Studied:
    """What came of it; seconds count from the start of the campaign.

    Attributes:
        confirmed_s: When each meter that runs the image was confirmed, rising.
        waves_s: Start and end of each wave that was opened.
        sizes: Meters of each wave of the plan.
        states: Meters by what they came to.
        octets: Of packets both ways, with headers; a link's own repeats are in the time.
        broadcast_octets: Of them, broadcast.
        stopped: Which rule stopped it; empty if none did.
    """

    confirmed_s: list[float] = field(default_factory=list)
    waves_s: list[tuple[float, float]] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    states: dict[MeterState, int] = field(default_factory=dict)
    octets: int = 0
    broadcast_octets: int = 0
    stopped: str = ""


@dataclass(slots=True)
class _Transfer:
    """One meter's blocks."""

    meter: int
    missing: list[int]
    link: Link
    attempts: int = 0
    up: bool = False  # its answer is under way
    awake: bool = False


def may_broadcast(bearer: Bearer) -> bool:
    """Tell whether all meters of a medium hear what is sent once."""
    return bearer.name in WIRES


def studied(study: Study, told: Callable[[int, int], None] = lambda _done, _all: None) -> Studied:
    """Return what comes of a campaign.

    Args:
        study: What is modelled.
        told: Hears how many meters are done, of how many.
    """
    found = Studied(sizes=sizes(study.plan.waves, study.meters))
    media: dict[int, Medium] = {}
    # Meters are numbered so that each wave has some of every medium.
    count = -(-study.meters // study.together)
    first, now_s, done = 0, 0.0, 0
    draw = seeded(f"{study.seed} self-tests")
    while len(found.waves_s) < len(found.sizes):
        number = len(found.waves_s)
        size = found.sizes[number]
        groups: dict[int, list[int]] = {}
        for meter in range(first, first + size):
            groups.setdefault(meter % count, []).append(meter)
        end_s, states = now_s, dict.fromkeys(MeterState, 0)
        for place, meters in groups.items():
            medium = media.setdefault(
                place, Medium(study.bearer, study.seed * 1_000_003 + place, study.hour)
            )
            for moment_s in _medium(study, medium, meters, now_s, found):
                state = MeterState.FAILED
                if moment_s is not None:
                    bad = 100 * draw.random() < study.bad_percent
                    state = MeterState.REVERTED if bad else MeterState.CONFIRMED
                    end_s = max(end_s, moment_s)
                    if not bad:
                        found.confirmed_s.append(moment_s)
                states[state] += 1
            done += len(meters)
            told(done, study.meters)
        for state, meters_there in states.items():
            found.states[state] = found.states.get(state, 0) + meters_there
        found.waves_s.append((now_s, end_s))
        first += size
        failed = states[MeterState.FAILED]
        standing = Standing(
            states=found.states, judged=states, excused=failed, quiet_s=study.plan.soak_s
        )
        decision = decide(study.plan, standing, len(found.sizes) - number - 1)
        if decision.next is Next.STOP:
            found.stopped = decision.why
            break
        now_s = end_s + study.plan.soak_s
    found.confirmed_s.sort()
    return found


def _medium(
    study: Study, medium: Medium, meters: Sequence[int], begins_s: float, found: Studied
) -> list[float | None]:
    """Return when each meter of one medium was confirmed; None where it was given up."""
    window, tries = study.plan.window, study.plan.tries
    missing = {meter: list(range(study.blocks)) for meter in meters}
    now_s = begins_s
    if len(meters) > study.rounds > 0:  # to fewer it costs more than to speak with each
        now_s = _broadcast(study, medium, missing, begins_s, found)
    waiting = [
        _Transfer(meter, missing[meter][::-1], Link(medium, f"meter {meter}")) for meter in meters
    ]
    waiting.reverse()
    queue: list[tuple[float, int, _Transfer]] = []
    outcome: list[float | None] = []

    def next_meter(at_s: float) -> None:
        if waiting:
            transfer = waiting.pop()
            heapq.heappush(queue, (at_s, transfer.meter, transfer))

    for _ in range(study.plan.per_concentrator):
        next_meter(now_s)
    while queue:
        now_s, _, transfer = heapq.heappop(queue)
        if not transfer.missing:
            outcome.append(now_s + STARTS_S)
            next_meter(now_s)
            continue
        opens_s = _open_s(window, study.hour, now_s)
        if opens_s > now_s:
            heapq.heappush(queue, (opens_s, transfer.meter, transfer))
            continue
        again_s = _exchange(study, transfer, now_s, found)
        if again_s is None:
            transfer.attempts += 1
            if transfer.attempts > tries.attempts_most:
                outcome.append(None)
                next_meter(now_s)
                continue
            again_s = now_s + tries.pause_s(transfer.attempts - 1)
        heapq.heappush(queue, (again_s, transfer.meter, transfer))
    return outcome


def _exchange(study: Study, transfer: _Transfer, now_s: float, found: Studied) -> float | None:
    """Send the next packet of a transfer; return when it goes on, or None if it was lost."""
    bearer = study.bearer
    if bearer.sleep_s and not transfer.awake:
        octets, way = SPEAKS_FIRST_OCTETS + STREAM_HEADER_OCTETS, Way.UP
    elif transfer.up:
        octets, way = ANSWER_OCTETS + STREAM_HEADER_OCTETS, Way.UP
    else:
        block = _block_octets(study, transfer.missing[-1])
        octets, way = REQUEST_OCTETS + block + STREAM_HEADER_OCTETS, Way.DOWN
    arrival_s = now_s
    for packet in _packets(octets, bearer.mtu_octets):
        fate = transfer.link.send(way, packet, arrival_s, acknowledged=True)
        if fate.again_s is not None:
            return fate.again_s
        found.octets += packet
        if fate.arrival_s is None:
            transfer.up = transfer.awake = False
            return None
        arrival_s = fate.arrival_s
    if bearer.sleep_s and not transfer.awake:
        transfer.awake = True
    elif transfer.up:
        transfer.missing.pop()
        transfer.up, transfer.attempts = False, 0
    else:
        transfer.up = True
    return arrival_s


def _broadcast(
    study: Study,
    medium: Medium,
    missing: Mapping[int, list[int]],
    begins_s: float,
    found: Studied,
) -> float:
    """Send all blocks to all meters of a medium; each hears each frame or does not.

    Returns:
        When the last round is over.
    """
    bearer, window = study.bearer, study.plan.window
    draw = seeded(f"{medium.seed} broadcast {begins_s}")
    size = bearer.frame_octets or bearer.mtu_octets
    now_s = begins_s
    for _ in range(study.rounds):
        for number in range(study.blocks):
            if not any(number in blocks for blocks in missing.values()):
                continue
            now_s = medium.back_s(_open_s(window, study.hour, now_s))
            octets = REQUEST_OCTETS + _block_octets(study, number)
            frames = -(-octets // size)
            airtime_s = (
                8 * (octets + frames * bearer.overhead_octets) / medium.rate_bit_s(Way.DOWN, now_s)
            )
            heard = (1 - medium.loss(now_s)) ** frames
            now_s = medium.occupy(Way.DOWN, now_s, airtime_s)
            found.octets += octets
            found.broadcast_octets += octets
            for blocks in missing.values():
                if number in blocks and draw.random() < heard:
                    blocks.remove(number)
    return now_s


def _block_octets(study: Study, number: int) -> int:
    return min(study.block_octets, study.image_octets - number * study.block_octets)


def _packets(octets: int, most: int) -> list[int]:
    """Return the sizes of the packets that so many octets need."""
    whole, rest = divmod(octets, most)
    return [most] * whole + ([rest] if rest else [])


def _open_s(window: Window | None, hour: float, now_s: float) -> float:
    """Return when something may be sent: now, or when the window opens."""
    if window is None:
        return now_s
    second = int(hour * HOUR_S + now_s) % DAY_S
    if window.is_open(second):
        return now_s
    return now_s + (window.begins_s - second) % DAY_S
