# SPDX-License-Identifier: Apache-2.0
"""The time over a real uplink: told, asked for, and lived by."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

from click.testing import CliRunner

from chain import CONCENTRATOR, REGION, Chain, row_of, until
from loops import in_loop
from openami.cli.concentrator import concentrator as command
from openami.concentrator.own.objects import CLOCK, CLOCK_OFFSET, own_objects, state
from openami.concentrator.owntime import HostClock
from openami.concentrator.process import THIS_HOST
from openami.cosem.classes.time_event import Clock
from openami.dlms import data as axdr_data
from openami.dlms.datetimes import ClockStatus
from openami.exchange.field import ClockState, NoticeCode, Word, decode_word
from openami.headend import uplinks
from openami.headend.config import CollectionSettings
from openami.runtime.clock import from_us, real_us
from openami.runtime.status import write_status
from openami.store import field

HOUR_US = 3_600_000_000


@asynccontextmanager
async def wrong_by(
    folder: Path, off_us: int, settings: CollectionSettings | None = None
) -> AsyncIterator[Chain]:
    """Start all, the clock of the concentrator's host being off; a short time between questions."""
    chain = Chain(folder, meters=1)
    if settings is not None:
        chain.collection = settings
    chain.host = HostClock(lambda: real_us() + off_us, THIS_HOST.monotonic_us, lambda: False)
    await chain.start_headend()
    chain.headend.sealing._speed = lambda: 7200.0
    config = replace(chain.concentrator_config(), time_every_s=0.05)
    chain.concentrator_config = lambda: config  # type: ignore[method-assign]
    await chain.start_concentrator()
    chain.concentrator.collection.look_s = 0.02
    try:
        await chain.attach()
        yield chain
    finally:
        for meter in chain.meters.values():
            if meter.wire is not None:
                meter.wire.close()
        await chain.concentrator_ends()
        await chain.headend_ends()
        chain.close()


@in_loop
async def test_a_wrong_clock_is_told_and_the_head_end_away_plans_are_kept_all_the_same(
    tmp_path: Path,
) -> None:
    plans = CollectionSettings(every_s=0.4, readings=50, look_s=0.02)
    async with wrong_by(tmp_path, -HOUR_US, plans) as chain:
        running = chain.concentrator
        await until(lambda: running.time.state().past_limit)

        def told() -> ClockState | None:
            heard = field.clocks(chain.engine).get(CONCENTRATOR)
            return None if heard is None else heard.state

        await until(lambda: (clock := told()) is not None and clock.past_limit)
        clock = told()
        assert clock is not None
        assert clock.offset_us is not None
        assert clock.uncertainty_us is not None
        assert (
            abs(clock.offset_us - HOUR_US) <= clock.uncertainty_us + 100_000
        )  # two reads of a clock
        assert (clock.kept, clock.limit_us) == (False, 5_000_000)
        await until(lambda: not running.registry.untold(1))
        (notice,) = [
            each
            for each in field.notices(chain.engine, CONCENTRATOR)
            if each.code == NoticeCode.CLOCK_OFF
        ]
        assert "behind the head-end's" in notice.text
        assert "chrony" in notice.text
        assert abs((notice.at - from_us(real_us())).total_seconds()) < 600  # in the head-end's time
        figures = chain.headend.figures()
        assert figures["concentrator clocks past limit"] == 1
        assert figures["own clock suspect"] == 0
        assert round(float(figures["most concentrator clock offset seconds"])) == 3600

        objects = {each.logical_name: each for each in own_objects("x", running._sources())}
        clock_object = objects[CLOCK]
        assert isinstance(clock_object, Clock)
        reader = clock_object.reader(Clock.status.index)
        assert reader is not None
        assert axdr_data.decode(reader()) == ClockStatus.DOUBTFUL_VALUE
        offset = objects[state(CLOCK_OFFSET)].reader(2)
        assert offset is not None
        assert abs(int(axdr_data.decode(offset())) - HOUR_US) < 1_000_000  # type: ignore[call-overload]

        write_status(chain.layout.run, f"concentrator-{REGION}", running.figures())
        home = str(chain.layout.concentrator(REGION))
        shown = await asyncio.to_thread(CliRunner().invoke, command, ["status", "--home", home])
        found = re.search(r"clock: ([\d.]+) s behind the head-end's, ±", shown.output)
        assert found is not None
        assert abs(float(found[1]) - 3600) < 1
        assert "past its limit, kept by no time daemon that the kernel knows of" in shown.output

        await until(lambda: chain.headend.sealing.plans == 1)
        await chain.headend_ends()
        # By the host's clock none of them would be due within the hour.
        await until(lambda: running.collection.collected >= 2)
        # A new process of the same boot goes on with it, the head-end still away.
        await chain.concentrator_ends()
        await chain.start_concentrator()
        chain.concentrator.collection.look_s = 0.02
        assert chain.concentrator.time.state().offset_us is not None
        await chain.meters[1].connect(chain.meters_url)
        await until(lambda: chain.concentrator.collection.collected >= 1)
        await chain.start_headend()


@in_loop
async def test_a_head_end_that_does_not_know_the_word_confirms_it_and_all_goes_on(
    tmp_path: Path,
) -> None:
    def older(apdu: bytes) -> tuple[int, Word | None]:
        number, word = decode_word(apdu)
        return number, None if isinstance(word, ClockState) else word

    with patch.object(uplinks, "decode_word", older):
        async with wrong_by(tmp_path, 0) as chain:
            await until(lambda: not chain.concentrator.questions.is_answered)
            assert chain.concentrator.questions.answers == 0
            assert chain.concentrator.time.state().offset_us is None
            chain.meters[1].push([row_of(1, 0)])
            await until(lambda: len(chain.stored()) == 1)
            await until(lambda: CONCENTRATOR in field.heartbeats(chain.engine))
            assert field.clocks(chain.engine) == {}
            write_status(chain.layout.run, f"concentrator-{REGION}", chain.concentrator.figures())
            home = str(chain.layout.concentrator(REGION))
            shown = await asyncio.to_thread(CliRunner().invoke, command, ["status", "--home", home])
            assert "clock: not compared with the head-end's yet" in shown.output
