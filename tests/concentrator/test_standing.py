# SPDX-License-Identifier: Apache-2.0
"""What the concentrator tells of itself: to the head-end, and to whoever looks at its files."""

import asyncio
import json
import logging
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from chain import CONCENTRATOR, REGION, Chain, closed, row_of, running_chain, until
from loops import in_loop
from openami.cli.concentrator import concentrator as command
from openami.concentrator.config import ConcentratorConfig
from openami.concentrator.process import Concentrator
from openami.exchange.field import NoticeCode
from openami.runtime.clock import to_us
from openami.runtime.errors import ConfigurationError
from openami.store import field


@in_loop
async def test_the_head_end_learns_how_the_concentrator_and_its_links_are(tmp_path: Path) -> None:
    chain = Chain(tmp_path, meters=2)
    await chain.start_headend()
    config = replace(
        chain.concentrator_config(), uplink=chain.uplink_url, heartbeat_s=0.1, quota_per_meter=2
    )
    chain.concentrator_config = lambda: config  # type: ignore[method-assign]
    await chain.start_concentrator()
    await chain.attach()
    await chain.concentrator.observer.look()
    titles = {meter.title for meter in chain.meters.values()}

    def links_are_known() -> bool:
        return {link.title for link in field.links(chain.engine, CONCENTRATOR)} == titles

    await until(links_are_known)
    for link in field.links(chain.engine, CONCENTRATOR):
        assert (link.bearer, link.attached) == ("tls", True)
        assert link.round_trip_us
        assert link.sent
    await until(lambda: CONCENTRATOR in field.heartbeats(chain.engine))
    await until(lambda: field.heartbeats(chain.engine)[CONCENTRATOR]["attached"] == 2)
    await until(lambda: not chain.concentrator.registry.untold(1))
    codes = [notice.code for notice in field.notices(chain.engine, CONCENTRATOR)]
    assert sorted(codes) == [
        NoticeCode.STARTED,
        NoticeCode.METER_FOUND,
        NoticeCode.METER_FOUND,
    ]
    assert chain.concentrator.words.round_trip_s is not None
    for meter in chain.meters.values():
        assert meter.wire is not None
        await closed(meter.wire)
    await chain.concentrator_ends()
    await chain.headend_ends()
    chain.close()


@in_loop
async def test_a_quota_used_up_in_an_outage_is_told_once_the_head_end_is_back(
    tmp_path: Path,
) -> None:
    chain = Chain(tmp_path, meters=1)
    chain.uplink_url = replace(chain.uplink_url, port=9)  # nobody there
    config = replace(chain.concentrator_config(), quota_per_meter=1, heartbeat_s=0.1)
    chain.concentrator_config = lambda: config  # type: ignore[method-assign]
    await chain.start_concentrator()
    meter = chain.meters[1]
    await meter.connect(chain.meters_url)
    for index in range(3):
        meter.push([row_of(1, index)])
    await until(lambda: chain.concentrator.relay.tally.full == 2)
    assert meter.wire is not None
    await closed(meter.wire)
    await chain.concentrator_ends()

    chain.uplink_url = replace(chain.uplink_url, port=0)
    await chain.start_headend()
    config = replace(config, uplink=chain.uplink_url)
    await chain.start_concentrator()
    await until(lambda: chain.concentrator.registry.untold(1) == [])
    notices = field.notices(chain.engine, CONCENTRATOR)
    assert [n.title for n in notices if n.code == NoticeCode.QUOTA_FULL] == [meter.title]
    assert NoticeCode.STOPPED in {n.code for n in notices}
    await chain.concentrator_ends()
    await chain.headend_ends()
    chain.close()


@in_loop
async def test_one_that_is_stopped_says_so_before_it_goes(tmp_path: Path) -> None:
    chain = Chain(tmp_path, meters=1)
    await chain.start_headend()
    await chain.start_concentrator()
    await until(lambda: CONCENTRATOR in field.reaches(chain.engine))
    await chain.concentrator_ends()
    last = field.notices(chain.engine, CONCENTRATOR)[0]
    assert last.code == NoticeCode.STOPPED
    await until(lambda: not field.reaches(chain.engine)[CONCENTRATOR].up)
    assert field.reaches(chain.engine)[CONCENTRATOR].stopped_real_us == to_us(last.at)
    await chain.headend_ends()
    chain.close()


@in_loop
async def test_an_uplink_that_stays_silent_is_dialled_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with running_chain(tmp_path, meters=1) as chain:
        chain.headend.uplinks.on_word = lambda _title, _word, _confirm: None  # never confirms
        chain.concentrator.words.heartbeat_s = 0.05
        await until(lambda: caplog.text.count("the head-end has confirmed nothing") >= 1)
        await until(lambda: caplog.text.count("entries wait") >= 2)


@in_loop
async def test_the_status_shows_meters_journal_and_notices(tmp_path: Path) -> None:
    chain = Chain(tmp_path, meters=1)
    home = chain.layout.concentrator(REGION)
    result = CliRunner().invoke(command, ["status", "--home", str(home)])
    assert isinstance(result.exception, ConfigurationError)  # it was never started

    chain.uplink_url = replace(chain.uplink_url, port=9)
    config = replace(
        ConcentratorConfig.load(home), uplink=chain.uplink_url, meters_listen=chain.meters_url
    )
    service = Concentrator(config)
    stop = asyncio.Event()
    task = asyncio.create_task(service.run(stop, chain.layout.run))
    await until(lambda: service.listener is not None)
    assert service.listener is not None
    meter = chain.meters[1]
    await meter.connect(service.listener.url)
    meter.push([row_of(1, 0)])
    await until(lambda: not meter.outbox)
    await service.registry.flush()
    await until((chain.layout.run / f"concentrator-{REGION}.json").exists)

    result = CliRunner().invoke(command, ["status", "--home", str(home), "--json"])
    assert result.exit_code == 0, result.output
    said = json.loads(result.output)
    (row,) = said["meters"]
    assert said["runs"]
    assert said["journal"]["entries"] == 1
    assert (row["title"], row["attached"], row["waiting"]) == (meter.title.hex().upper(), True, 1)
    assert [n["told"] for n in said["notices"]] == [False] * 2

    assert meter.wire is not None
    await closed(meter.wire)
    stop.set()
    await task
    result = CliRunner().invoke(command, ["status", "--home", str(home)])
    assert "1 entries wait" in result.output
    assert f"{meter.title.hex().upper()}  " in result.output
    assert "the concentrator was stopped in order, not told yet" in result.output
    chain.close()
