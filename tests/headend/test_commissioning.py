# SPDX-License-Identifier: Apache-2.0
"""From a shipment and a certificate to an operating meter, and what holds one up."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from chain import NOW, Chain, running_chain, until
from chainparts import CLOCK
from headend.test_key_changes import agree, states
from loops import in_loop
from openami.cosem.classes.measurement import Data
from openami.cosem.classes.time_event import Clock
from openami.dlms.data import OctetString
from openami.dlms.datetimes import CosemDateTime
from openami.dlms.obis import Obis
from openami.headend.device_certificate import verify_device_certificate
from openami.lifecycle.authority import Authority
from openami.lifecycle.plan import meter_title
from openami.runtime.errors import UserError
from openami.store import commissioning, key_changes
from openami.store.commissioning import NEXT, Stage, State
from openami.store.key_changes import ChangeState
from openami.store.keys import KeyState
from openami.transport.tls import Role

LDN = Obis(0, 0, 42, 0, 0, 255)


def ask(chain: Chain, *meter_ids: int) -> None:
    certificates = {1: "ab" * 32}
    count = commissioning.ask(
        chain.engine, meter_ids, asked_by="utility", reason="new", certificates=certificates
    )
    assert count == len(meter_ids)


def state(chain: Chain, meter_id: int = 1) -> State:
    return commissioning.commissioning(chain.engine, meter_id).state


def set_clock(chain: Chain, moment: datetime) -> None:
    clock = chain.meters[1].device[CLOCK]
    assert isinstance(clock, Clock)
    clock.sinks[Clock.time.index](CosemDateTime.from_utc(moment))


@in_loop
async def test_meters_of_a_shipment_come_into_operation(tmp_path: Path) -> None:
    async with running_chain(tmp_path) as chain:
        await chain.attach()
        set_clock(chain, NOW - timedelta(hours=2))
        ask(chain, 1, 2, 3)
        await until(lambda: all(state(chain, n) is State.OPERATING for n in (1, 2, 3)))
        for meter_id in chain.meters:
            assert agree(chain, meter_id)
            assert states(chain, meter_id) == [KeyState.ACTIVE, KeyState.RETIRED]
        passed = commissioning.history(chain.engine, 1)
        assert [each.stage for each in passed] == [Stage.IDENTITY, *NEXT]
        notes = {each.stage: each.note for each in passed}
        assert "proven under key epoch 1" in notes[Stage.IDENTITY]
        assert "device certificate abababab" in notes[Stage.IDENTITY]
        assert notes[Stage.KEYS] == "key epoch 2 holds, the factory's keys are retired"
        assert notes[Stage.CLOCK] == "its clock was -7200 s off and is set"
        assert notes[Stage.PROFILE] == "6 columns every 1800 s"
        assert "5 registers, load profile and event log until" in notes[Stage.FIRST_READ]
        assert any(message.kind == "profile" for message in chain.stored())


@in_loop
async def test_a_head_end_that_stops_half_way_goes_on(tmp_path: Path) -> None:
    async with running_chain(tmp_path, meters=1) as chain:
        await chain.attach()
        chain.meters[1].silence_at_command(arrives=True, for_good=True)  # at the key transfer
        ask(chain, 1)
        await until(lambda: KeyState.SENT in states(chain))
        await chain.headend_ends()
        chain.meters[1].speak_again()
        before = len(commissioning.history(chain.engine, 1))
        await chain.start_headend()
        await chain.attach()
        await until(lambda: state(chain) is State.OPERATING)
        passed = [each.stage for each in commissioning.history(chain.engine, 1)]
        assert passed == [Stage.IDENTITY, *NEXT]
        assert before == 2
        assert agree(chain)


@in_loop
async def test_another_meter_than_shipped_is_held(tmp_path: Path) -> None:
    async with running_chain(tmp_path, meters=1) as chain:
        await chain.attach()
        name = chain.meters[1].device[LDN]
        assert isinstance(name, Data)
        shipped, name.value = name.value, OctetString(b"OAM0000000000009")
        ask(chain, 1)
        await until(lambda: state(chain) is State.HELD)
        held = commissioning.commissioning(chain.engine, 1)
        assert held.stage is Stage.IDENTITY
        assert "'OAM0000000000009', the shipment says" in held.note
        assert states(chain) == [KeyState.ACTIVE]  # no key was sent to it
        name.value = shipped
        ask(chain, 1)
        await until(lambda: state(chain) is State.OPERATING)


@in_loop
async def test_a_meter_that_refuses_new_keys_is_held(tmp_path: Path) -> None:
    async with running_chain(tmp_path, meters=1) as chain:
        await chain.attach()
        meter = chain.meters[1]
        kek, meter.master_key.octets = meter.master_key.octets, bytes(16)
        ask(chain, 1)
        await until(lambda: state(chain) is State.HELD)
        assert commissioning.commissioning(chain.engine, 1).note.startswith(
            "its keys stay the factory's: "
        )
        meter.master_key.octets = kek
        ask(chain, 1)
        await until(lambda: state(chain) is State.OPERATING)


@in_loop
async def test_keys_that_were_changed_without_the_master_key_are_changed_again(
    tmp_path: Path,
) -> None:
    async with running_chain(tmp_path, meters=1) as chain:
        await chain.attach()
        shipped = chain.meters[1].master_key.octets
        rotation, _ = key_changes.ask(chain.engine, [1], asked_by="u", reason="early")
        ask(chain, 1)
        await until(lambda: state(chain) is State.OPERATING)
        (early,) = key_changes.changes(chain.engine, rotation)
        assert early.state is ChangeState.CHANGED
        assert chain.meters[1].master_key.octets != shipped
        assert agree(chain)


@in_loop
async def test_a_meter_that_is_away_is_waited_for(tmp_path: Path) -> None:
    async with running_chain(tmp_path, meters=2) as chain:
        await chain.attach(2)
        ask(chain, 1, 2)
        await until(lambda: state(chain, 2) is State.OPERATING)
        await asyncio.sleep(0)
        assert state(chain, 1) is State.OPEN
        await chain.attach(1)
        await until(lambda: state(chain, 1) is State.OPERATING)


def test_device_certificates_are_verified(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    ours, other = Authority.create(tmp_path / "ours"), Authority.create(tmp_path / "other")
    title = meter_title(1)

    def verdict(authority: Authority, role: Role, at: datetime = now) -> bytes:
        path = tmp_path / "meter.crt"
        path.write_bytes(authority.issue(title, role, now=now).certificate)
        return verify_device_certificate(path, tmp_path / "ours" / "ca.crt", at).title

    assert verdict(ours, Role.METER) == title
    with pytest.raises(UserError, match="was not issued by the authority"):
        verdict(other, Role.METER)
    with pytest.raises(UserError, match="which is no meter"):
        verdict(ours, Role.CONCENTRATOR)
    with pytest.raises(UserError, match="not now"):
        verdict(ours, Role.METER, now + timedelta(days=365 * 30))
    (tmp_path / "no.crt").write_text("nothing")
    with pytest.raises(UserError, match="is no certificate"):
        verify_device_certificate(tmp_path / "no.crt", tmp_path / "ours" / "ca.crt", now)
    with pytest.raises(UserError, match="cannot be read"):
        verify_device_certificate(tmp_path / "gone.crt", tmp_path / "ours" / "ca.crt", now)
