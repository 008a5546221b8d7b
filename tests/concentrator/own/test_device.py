# SPDX-License-Identifier: Apache-2.0
"""The concentrator's own objects: read by the head-end over the uplink, and by `openami read`."""

import asyncio
import errno
import json
import os
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import TypeVar, cast

import pytest
from click.testing import CliRunner

from chain import CONCENTRATOR, REGION, Chain, row_of, running_chain, until
from concentrator.test_words import BEAT
from loops import in_loop
from openami.cli.main import openami
from openami.concentrator.own.device import OwnConnection, OwnDevice
from openami.concentrator.own.keys import BLOCK, FORMAT, OwnCounters, load_keys
from openami.concentrator.own.objects import (
    CLOCK,
    COLLECTED,
    EVENT_LOG,
    FIRMWARE,
    LDN,
    LINK_COLUMNS,
    LINKS,
    STATE,
    UPLINK_UP,
    Sources,
    state,
)
from openami.cosem.asking.association import Steps
from openami.cosem.classes.measurement import Data, ProfileGeneric
from openami.cosem.classes.time_event import Clock
from openami.cosem.client import Client, ClientParameters
from openami.cosem.refusals import AccessError
from openami.dlms import data as axdr_data
from openami.dlms.data import Array, Structure, Unsigned
from openami.dlms.errors import DlmsError
from openami.dlms.hls import Mechanism
from openami.dlms.security.ciphering import Cipher
from openami.dlms.security.counters import CounterBlock
from openami.dlms.security.keyset import KeySet
from openami.exchange.field import ClockState, NoticeCode
from openami.lifecycle.plan import HEAD_END_TITLE
from openami.runtime.errors import ConfigurationError, UserError
from openami.transport.session import DlmsSession
from openami.transport.url import Url
from openami.transport.wire import WireError

T = TypeVar("T")


def parameters(keys: KeySet, client_sap: int = 1) -> ClientParameters:
    if client_sap != 1:
        return ClientParameters(client_sap=client_sap)
    return ClientParameters(
        client_sap=1,
        mechanism=Mechanism.HLS_GMAC,
        cipher=Cipher(keys),
        system_title=HEAD_END_TITLE,
        server_title=CONCENTRATOR,
    )


class Session:
    """A head-end's session with the concentrator itself."""

    def __init__(self, chain: Chain, parameters: ClientParameters, first_counter: int = 1) -> None:
        self.session = DlmsSession(lambda apdu: send(apdu), "the concentrator", 30.0)  # noqa: PLW0108
        uplinks = chain.headend.uplinks
        sap = parameters.client_sap
        send = uplinks.open_session(CONCENTRATOR, sap, self.session.feed, self.session.detach)
        counters = CounterBlock(first_counter, first_counter + 1000)
        self.client = Client(parameters, entropy=os.urandom, counters=counters)


def keys_of(chain: Chain) -> KeySet:
    found = load_keys(chain.layout.concentrator(REGION) / "keys.json", CONCENTRATOR)
    assert found is not None
    return found


@in_loop
async def test_the_head_end_reads_the_concentrator_over_the_uplink(tmp_path: Path) -> None:
    async with running_chain(tmp_path, meters=2) as chain:
        await chain.attach()
        one = Session(chain, parameters(keys_of(chain)))
        run, client = one.session.run, one.client
        await run(client.associate())
        assert await run(client.get(Data.value, at=LDN)) == f"OAM{REGION}".encode()
        version = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))["project"]["version"]
        assert str(await run(client.get(Data.value, at=FIRMWARE))) == f"openami {version}"
        clock = await run(client.get(Clock.time, at=CLOCK))
        assert abs((clock.to_utc() - chain.concentrator.heartbeat().at).total_seconds()) < 60
        values = [await run(client.get(Data.value, at=state(n))) for n in range(COLLECTED + 1)]
        assert values[1:4] == [2, 2, 0]
        assert values[5] == chain.concentrator.config.most_octets
        assert values[UPLINK_UP] is True
        links = axdr_data.decode(await run(client.get_raw(7, LINKS, 2)))
        assert isinstance(links, Array)
        rows = [row for row in links if isinstance(row, Structure)]
        assert {bytes(row[0]) for row in rows} == {m.title for m in chain.meters.values()}  # type: ignore[arg-type]
        assert all(len(row) == len(LINK_COLUMNS) for row in rows)
        columns = await run(client.get(ProfileGeneric.capture_objects, at=LINKS))
        assert len(columns) == len(LINK_COLUMNS)
        await chain.concentrator.registry.flush()
        log = axdr_data.decode(await run(client.get_raw(7, EVENT_LOG, 2)))
        assert isinstance(log, Array)
        codes = [int(row[1]) for row in log if isinstance(row, Structure)]  # type: ignore[arg-type]
        assert codes == [NoticeCode.STARTED, NoticeCode.METER_FOUND, NoticeCode.METER_FOUND]
        with pytest.raises(AccessError):  # nothing can be written
            await run(client.set(Data.value, Unsigned(7), at=state(1)))
        chain.meters[1].push([row_of(1, 0)])  # beside it everything goes on
        await until(lambda: len(chain.stored()) == 1)
        await run(client.release())


@in_loop
async def test_without_keys_only_the_nameplate_is_shown(tmp_path: Path) -> None:
    async with running_chain(tmp_path, meters=1) as chain:
        await until(lambda: chain.headend.uplinks.up == 1)
        public = Session(chain, parameters(keys_of(chain), client_sap=16))
        await public.session.run(public.client.associate())
        assert await public.session.run(public.client.get(Data.value, at=LDN))
        with pytest.raises(AccessError):
            await public.session.run(public.client.get(Data.value, at=state(1)))
        stranger = KeySet(encryption_key=bytes(16), authentication_key=bytes(16))
        other = Session(chain, parameters(stranger))
        with pytest.raises(DlmsError):
            await other.session.run(other.client.associate())


@in_loop
async def test_a_session_ends_with_the_uplink_and_a_restart_takes_no_counter_twice(
    tmp_path: Path,
) -> None:
    async with running_chain(tmp_path, meters=1) as chain:
        await until(lambda: chain.headend.uplinks.up == 1)
        one = Session(chain, parameters(keys_of(chain)))
        await one.session.run(one.client.associate())
        await chain.concentrator_ends()
        with pytest.raises(WireError):
            await one.session.run(one.client.get(Data.value, at=LDN))
        await until(lambda: chain.headend.uplinks.up == 0)
        await chain.start_concentrator()
        await until(lambda: chain.headend.uplinks.up == 1)
        again = Session(chain, parameters(keys_of(chain)))  # with the counters of before
        with pytest.raises(DlmsError):
            await again.session.run(again.client.associate())
        higher = Session(chain, parameters(keys_of(chain)), 2 * BLOCK)
        await higher.session.run(higher.client.associate())
        assert await higher.session.run(higher.client.get(Data.value, at=LDN))


@in_loop
async def test_openami_read_reads_it_at_the_port_for_tools(tmp_path: Path) -> None:
    chain = Chain(tmp_path, meters=1)
    config = replace(chain.concentrator_config(), own_listen=Url("tcp", "127.0.0.1", 0))
    chain.concentrator_config = lambda: config  # type: ignore[method-assign]
    await chain.start_concentrator()
    assert chain.concentrator.tools is not None
    url = str(chain.concentrator.tools.url)
    keys = str(chain.layout.concentrator(REGION) / "keys.json")
    asked = ["read", url, "--client", "1", "--keys", keys, str(state(5)), str(LINKS)]
    result = await asyncio.to_thread(CliRunner().invoke, openami, asked)
    assert result.exit_code == 0, result.output
    assert str(config.most_octets) in result.output.replace(",", "").replace(" ", "")
    await chain.concentrator_ends()
    chain.close()


def test_every_row_of_the_state_has_a_name_of_its_own_in_the_document() -> None:
    text = Path("docs/concentrator.md").read_text(encoding="utf-8")
    for number, (meaning, _) in enumerate(STATE):
        assert f"| `{'.'.join(str(part) for part in state(number))}` | {meaning} |" in text


def test_counters_are_durable_before_they_are_used(tmp_path: Path) -> None:
    path = tmp_path / "counters.json"
    first = OwnCounters(path)
    assert first.reserve(10) == 1
    first.follow(40)
    after = OwnCounters(path)  # killed in between
    assert after.reserve(10) == 11
    assert after.accepted == 40 + BLOCK
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="holds no counters"):
        OwnCounters(path)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{}", "holds no keys"),
        ('{"format": "x", "title": "4F414DC000000001", "guek": "", "gak": ""}', "is not of this"),
    ],
)
def test_damaged_keys_are_one_sentence(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "keys.json"
    assert load_keys(path, CONCENTRATOR) is None
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=problem):
        load_keys(path, CONCENTRATOR)


def client_of(keys: KeySet, counters: CounterBlock) -> Client:
    return Client(parameters(keys), entropy=os.urandom, counters=counters)


def ask(way: OwnConnection, asking: Steps[T]) -> T:
    """Run what a client asks over a way to the device."""
    request = next(asking)
    try:
        while True:
            request = asking.send(way.answers(1, cast("bytes", request))[0])
    except StopIteration as done:
        return cast("T", done.value)


def sources() -> Sources:
    """Return a device of which nothing but its name is asked."""
    return Sources(
        heartbeat=lambda: BEAT,
        links=list,
        notices=lambda _newest: [],
        is_up=lambda: True,
        collected=lambda: 0,
        window_expected=lambda: 0,
        clock=lambda: ClockState(limit_us=1, past_limit=False),
    )


def test_a_full_disk_is_answered_as_a_failure_and_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    octets = {"guek": "11" * 16, "gak": "22" * 16}
    file = tmp_path / "keys.json"
    file.write_text(json.dumps({"format": FORMAT, "title": CONCENTRATOR.hex(), **octets}))
    keys = load_keys(file, CONCENTRATOR)
    assert keys is not None
    device = OwnDevice("north", CONCENTRATOR, file, sources())
    told: list[str] = []
    device.on_failing = told.append
    counters = CounterBlock(1, 5000)
    way, client = OwnConnection(device), client_of(keys, counters)
    ask(way, client.associate())
    before = (tmp_path / "counters.json").read_bytes()
    with monkeypatch.context() as full:
        full.setattr(os, "fsync", no_room)
        counters.following += 2 * BLOCK  # above what was made durable in advance
        for _ in range(2):
            with pytest.raises(DlmsError):
                ask(way, client.get(Data.value, at=LDN))
    assert (tmp_path / "counters.json").read_bytes() == before
    assert len(told) == 1
    assert "cannot be written (No space left on device)" in told[0]
    again = client_of(keys, counters)  # nothing was lost: the next association counts on
    ask(way, again.associate())
    assert ask(way, again.get(Data.value, at=LDN)) == b"OAMnorth"
    assert told[1:] == [""]
    assert OwnCounters(tmp_path / "counters.json").accepted > counters.following


def test_counters_for_answers_that_cannot_be_reserved_are_a_failure_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counters = OwnCounters(tmp_path / "counters.json")
    with monkeypatch.context() as full:
        full.setattr(os, "fsync", no_room)
        for _ in range(3):
            with pytest.raises(UserError, match="No space left"):
                counters.reserve(BLOCK)
    assert counters.reserve(BLOCK) == 1  # and none was skipped


def no_room(_descriptor: int) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
