# SPDX-License-Identifier: Apache-2.0
"""A fleet's plain port: each meter at its own address of the loopback, and nobody else."""

import asyncio
from pathlib import Path

import pytest

from loops import in_loop
from meter.house import DAY_S, INSTALLED_S, config_in, expected_wh, parameters
from openami.cosem.classes.measurement import Data
from openami.dlms.bulk.columns import decode_profile
from openami.dlms.security.counters import CounterBlock
from openami.meter.config import FleetConfig
from openami.meter.fleet import Fleet
from openami.meter.fleet_listener import address_of, listen_plain
from openami.meter.load import INTERVAL_S
from openami.meter.objects import LDN, LOAD_PROFILE
from openami.meter.replay import ReplayedLoad
from openami.runtime.clock import FixedClock, from_us
from openami.runtime.errors import ConfigurationError, UserError
from openami.transport.client import open_session
from openami.transport.url import Url
from openami.transport.wire import WireError

BASE = Url("tcp", "127.0.0.0", 0)
NUMBERS = (1, 300, 70_000)


def fleet_in(folder: Path) -> Fleet:
    clock = FixedClock((INSTALLED_S + DAY_S) * 10**6)
    configs = [config_in(folder / str(number), number) for number in NUMBERS]
    fleet = Fleet(folder / "fleet", configs, clock)
    fleet.step(0.0)
    return fleet


@in_loop
async def test_each_meter_answers_at_its_own_address(tmp_path: Path) -> None:
    fleet = fleet_in(tmp_path)
    listener = await listen_plain(fleet.managements, BASE)
    base = Url("tcp", BASE.host, listener.url.port)

    async def read(number: int) -> None:
        asked = parameters(1, server_title=b"OAM" + number.to_bytes(5))
        counters = CounterBlock(1, 1000)
        async with open_session(address_of(base, number), asked, counters=counters) as session:
            client = session.client
            name = await session.run(client.get(Data.value, at=LDN))
            assert bytes(name) == b"OAM%013d" % number
            span = from_us((INSTALLED_S + INTERVAL_S) * 10**6), from_us(fleet._clock.now_us())
            rows = await session.run(client.profile(LOAD_PROFILE, *span))
        wh = decode_profile(rows).values[2].tolist()
        assert wh == expected_wh(1, 48, ReplayedLoad(number, 1))

    await asyncio.gather(*map(read, NUMBERS))
    with pytest.raises(WireError):
        await read(2)  # nobody of this fleet
    await listener.close()
    fleet.close()


def test_a_meter_s_address_is_the_base_and_its_id() -> None:
    base = Url("tcp", "127.0.0.0", 4059)

    assert [str(address_of(base, number)) for number in (1, 256, 2**24 - 1)] == [
        "tcp://127.0.0.1:4059",
        "tcp://127.0.1.0:4059",
        "tcp://127.255.255.255:4059",
    ]


@pytest.mark.parametrize(
    ("host", "number"),
    [("127.0.0.1", 2**24 - 1), ("10.0.0.0", 1), ("localhost", 1), ("126.255.255.255", 1)],
)
def test_what_is_not_the_loopback_is_refused(host: str, number: int) -> None:
    with pytest.raises(UserError, match=r"no address of the loopback.*write tcp://127"):
        address_of(Url("tcp", host, 4059), number)


def test_the_port_stands_in_the_fleet_s_configuration(tmp_path: Path) -> None:
    home = tmp_path / "fleet"
    home.mkdir()
    text = '[fleet]\nmeters = ["4F414D0000000002"]\n'
    (home / "config.toml").write_text(text)
    assert FleetConfig.load(home).plain is None

    (home / "config.toml").write_text(text + 'plain = "tcp://127.0.0.0:4059"\n')
    assert FleetConfig.load(home).plain == Url("tcp", "127.0.0.0", 4059)

    (home / "config.toml").write_text(text + 'plain = "tls://127.0.0.0:4059"\n')
    with pytest.raises((ConfigurationError, UserError), match="unknown scheme tls"):
        FleetConfig.load(home)
