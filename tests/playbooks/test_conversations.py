# SPDX-License-Identifier: Apache-2.0
"""Conversations of our client with our server, both ends in memory: what works."""

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openami.cosem.classes.access_control import (
    CURRENT_ASSOCIATION,
    AssociationLn,
    AssociationStatus,
    SapAssignment,
)
from openami.cosem.classes.disconnect import ControlState, DisconnectControl
from openami.cosem.classes.measurement import Data, ProfileGeneric, Register, ScalerUnit
from openami.cosem.classes.time_event import Clock
from openami.cosem.client import Client
from openami.cosem.device import AssociationPolicy, LogicalDevice
from openami.cosem.rights import READ_ALL
from openami.cosem.server import ServerConnection
from openami.dlms import data as axdr_data
from openami.dlms.apdu.codes import DataAccessResult
from openami.dlms.apdu.initiate import Conformance
from openami.dlms.apdu.selective import ByEntry
from openami.dlms.association import State
from openami.dlms.data import OctetString
from openami.dlms.hls import Mechanism
from openami.dlms.obis import Obis
from openami.dlms.sap import Sap
from openami.dlms.security.ciphering import Cipher
from openami.dlms.security.counters import CounterBlock
from openami.dlms.security.suites import SecurityPolicy
from playbooks.demo_meter import (
    CLIENT_TITLE,
    CLOCK,
    DISCONNECT,
    ENERGY,
    KEYS,
    LDN,
    LOAD_PROFILE,
    MANAGER,
    METER_TITLE,
    NAME,
    NOTE,
    PERIOD,
    PUBLIC,
    READER,
    SAPS,
    START,
    DemoMeter,
    Link,
    associated,
    entropy,
    parameters,
    row,
)

CLIENTS = (PUBLIC, READER, MANAGER)
MANAGER_FORMS: tuple[dict[str, Any], ...] = (
    {},
    {"general": True},
    {"dedicated_key": bytes(range(32, 48))},
    {"general": True, "dedicated_key": bytes(range(32, 48))},
)


@pytest.mark.parametrize("client_sap", CLIENTS)
def test_associate_read_release_and_again(client_sap: Sap) -> None:
    link = Link(client_sap=client_sap)

    for _ in range(2):
        context = link.run(link.client.associate())
        assert context.conformance & Conformance.GET
        assert link.client.state is link.server.state(client_sap) is State.ASSOCIATED
        assert link.run(link.client.get(Data.value, at=LDN)) == NAME
        link.run(link.client.release())
        assert link.client.state is link.server.state(client_sap) is State.IDLE


@pytest.mark.parametrize("form", MANAGER_FORMS)
def test_every_form_of_protection(form: dict[str, Any]) -> None:
    link = associated(MANAGER, **form)

    assert link.run(link.client.get(Register.value, at=ENERGY)) == 123_456
    octets = link.run(link.client.profile(LOAD_PROFILE, START, START + 99 * PERIOD))
    assert axdr_data.decode(octets) == [row(index) for index in range(100)]
    link.run(link.client.act(DisconnectControl.remote_disconnect, 0, at=DISCONNECT))
    link.run(link.client.release())
    assert link.meter.switch.moves == [ControlState.DISCONNECTED]
    tags = {apdu[0] for apdu in link.wire}
    assert not tags & {0xC0, 0xC1, 0xC3, 0xC4, 0xC5, 0xC7}, "nothing crosses in the clear"
    expected = 0xDB + bool(form.get("dedicated_key")) if form.get("general") else None
    assert expected is None or expected in tags


@pytest.mark.parametrize("mechanism", [Mechanism.HLS_MD5, Mechanism.HLS_SHA1, Mechanism.HLS_SHA256])
@pytest.mark.parametrize("challenge_octets", [8, 16, 64])
def test_hls_with_a_secret(mechanism: Mechanism, challenge_octets: int) -> None:
    meter = DemoMeter()
    meter.associations[READER] = AssociationPolicy(
        client_sap=READER, mechanism=mechanism, secret=b"a secret", grants=READ_ALL
    )
    link = Link(
        meter,
        READER,
        mechanism=mechanism,
        secret=b"a secret",
        system_title=CLIENT_TITLE,
        challenge_octets=challenge_octets,
    )

    link.run(link.client.associate())
    assert link.run(link.client.get(Register.value, at=ENERGY)) == 123_456


def test_gmac_with_authentication_only() -> None:
    meter = DemoMeter()
    meter.ciphering.policy = SecurityPolicy.from_version_0(1)
    link = Link(meter, policy=SecurityPolicy.from_version_0(1))
    link.run(link.client.associate())
    assert link.run(link.client.get(Register.value, at=ENERGY)) == 123_456


def test_typed_values() -> None:
    link = associated()

    assert link.run(link.client.get(Register.scaler_unit, at=ENERGY)) == ScalerUnit(0, 30)
    assert link.run(link.client.get(Clock.time, at=CLOCK)).to_utc() == START
    assert link.run(link.client.get(SapAssignment.sap_assignment_list, at=SAPS)) == ((1, NAME),)
    assert link.run(link.client.get(ProfileGeneric.entries_in_use, at=LOAD_PROFILE)) == 100
    assert link.run(link.client.get_data(8, CLOCK, 3)) == 0


@pytest.mark.parametrize("pdu_octets", [64, 100, 127, 128, 129, 255, 256, 300, 1024, 65535])
@pytest.mark.parametrize("client_sap", [READER, MANAGER])
def test_a_profile_in_blocks_of_any_size(client_sap: Sap, pdu_octets: int) -> None:
    link = associated(client_sap, max_receive_pdu_octets=pdu_octets)
    link.wire.clear()  # the limit is one of xDLMS; ACSE has none

    octets = link.run(link.client.get_raw(7, LOAD_PROFILE, 2))

    assert axdr_data.decode(octets) == [row(index) for index in range(100)]
    assert max(len(answer) for answer in link.wire[1::2]) <= pdu_octets
    blocks = len(octets) // pdu_octets
    assert len(link.wire[1::2]) >= blocks


def test_blocks_use_the_room_they_have() -> None:
    link = associated(READER, max_receive_pdu_octets=200)
    link.wire.clear()
    link.run(link.client.get_raw(7, LOAD_PROFILE, 2))
    assert {len(answer) for answer in link.wire[1:-2:2]} == {200}


@given(st.integers(12, 400))
@settings(max_examples=60, deadline=None)
def test_no_answer_is_longer_than_the_client_takes(pdu_octets: int) -> None:
    link = associated(READER, rows=20, max_receive_pdu_octets=pdu_octets)
    link.wire.clear()
    octets = link.run(link.client.get_raw(7, LOAD_PROFILE, 2))
    assert len(axdr_data.decode(octets)) == 20  # type: ignore[arg-type]
    assert max(len(answer) for answer in link.wire[1::2]) <= pdu_octets


def test_ranges_and_entries_of_the_profile() -> None:
    link = associated()

    octets = link.run(link.client.profile(LOAD_PROFILE, START + 2 * PERIOD, START + 4 * PERIOD))
    assert axdr_data.decode(octets) == [row(2), row(3), row(4)]
    newest = ByEntry(from_entry=99)
    octets = link.run(link.client.get_raw(7, LOAD_PROFILE, 2, selection=newest))
    assert axdr_data.decode(octets) == [row(98), row(99)]


@pytest.mark.parametrize("pdu_octets", [64, 65535])
def test_a_list_of_attributes(pdu_octets: int) -> None:
    link = associated(max_receive_pdu_octets=pdu_octets)
    rows = [(Register.value, ENERGY), (Data.value, LDN), (Register.value, LDN), (Data.value, NOTE)]

    found = link.run(link.client.get_list([*rows, *rows, (Data.value, Obis(9, 9, 9, 9, 9, 9))]))

    assert found[:2] == [123_456, NAME]
    assert found[2] is DataAccessResult.OBJECT_CLASS_INCONSISTENT
    assert found[4:8] == found[:4]
    assert found[8] is DataAccessResult.OBJECT_UNDEFINED
    assert (0xC0, 3) not in {tuple(apdu[:2]) for apdu in link.wire}


def test_a_list_longer_than_the_meters_pdu_is_split() -> None:
    meter = DemoMeter()
    meter.associations[READER] = AssociationPolicy(
        client_sap=READER,
        mechanism=Mechanism.LLS,
        secret=b"12345678",
        grants=READ_ALL,
        max_receive_pdu_octets=64,
    )
    link = Link(meter, READER)
    link.run(link.client.associate())
    link.wire.clear()

    found = link.run(link.client.get_list([(Register.value, ENERGY)] * 20))

    assert found == [123_456] * 20
    assert max(len(request) for request in link.wire[::2]) <= 64
    assert len(link.wire) == 2 * 4


def test_a_list_is_asked_for_one_by_one_where_lists_are_not_negotiated() -> None:
    link = associated(READER, conformance=Conformance.GET)
    found = link.run(link.client.get_list([(Register.value, ENERGY), (Data.value, CLOCK)]))
    assert found == [123_456, DataAccessResult.OBJECT_CLASS_INCONSISTENT]


@pytest.mark.parametrize("length", [0, 1, 400, 1000, 1100, 5000])
@pytest.mark.parametrize("form", [{}, {"general": True}])
def test_writing_short_and_long_values(length: int, form: dict[str, Any]) -> None:
    link = associated(MANAGER, **form)
    note = OctetString(bytes(index & 0xFF for index in range(length)))

    link.run(link.client.set(Data.value, note, at=NOTE))

    assert link.run(link.client.get(Data.value, at=NOTE)) == note
    assert max(map(len, link.wire[::2])) <= 1024


def test_disconnect_and_reconnect() -> None:
    link = associated()
    assert link.run(link.client.get(DisconnectControl.output_state, at=DISCONNECT))

    link.run(link.client.act(DisconnectControl.remote_disconnect, 0, at=DISCONNECT))
    state = link.run(link.client.get(DisconnectControl.control_state, at=DISCONNECT))
    assert state is ControlState.DISCONNECTED
    link.run(link.client.act(DisconnectControl.remote_reconnect, 0, at=DISCONNECT))

    assert link.meter.switch.moves == [ControlState.DISCONNECTED, ControlState.CONNECTED]


@pytest.mark.parametrize("client_sap", CLIENTS)
def test_the_association_describes_itself(client_sap: Sap) -> None:
    link = associated(client_sap)

    partners = link.run(
        link.client.get(AssociationLn.associated_partners_id, at=CURRENT_ASSOCIATION)
    )
    assert partners == (client_sap, 1)
    status = link.run(link.client.get(AssociationLn.association_status, at=CURRENT_ASSOCIATION))
    assert status is AssociationStatus.ASSOCIATED
    mechanism = link.run(
        link.client.get(AssociationLn.authentication_mechanism_name, at=CURRENT_ASSOCIATION)
    )
    assert mechanism == parameters(client_sap).mechanism.oid
    info = link.run(link.client.get(AssociationLn.xdlms_context_info, at=CURRENT_ASSOCIATION))
    assert int.from_bytes(info.conformance.octets) == link.client.context.conformance


@pytest.mark.parametrize("client_sap", CLIENTS)
def test_the_object_list_tells_the_truth(client_sap: Sap) -> None:
    """What the list says may be read can be read, and nothing else can."""
    link = associated(client_sap)
    elements = link.run(link.client.get(AssociationLn.object_list, at=CURRENT_ASSOCIATION))

    assert elements[0].logical_name == CURRENT_ASSOCIATION
    assert {CURRENT_ASSOCIATION, LDN, SAPS, CLOCK} <= {each.logical_name for each in elements}
    assert (ENERGY in {each.logical_name for each in elements}) == (client_sap != PUBLIC)
    for element in elements:
        for access in element.access_rights.attributes:
            request = bytes((0xC0, 0x01, 0xC1)) + element.class_id.to_bytes(2)
            request += bytes(element.logical_name) + bytes((access.attribute_id, 0x00))
            answer = link.run(link.client.exchange(request, "a read request"))
            unset = element.logical_name == CLOCK and access.attribute_id > 4
            readable = bool(access.access_mode & 1) and not unset
            assert (answer[:4] == b"\xc4\x01\xc1\x00" or answer[1] == 2) == readable, element


def test_clients_share_a_connection_without_sharing_rights() -> None:
    meter = DemoMeter()
    server = ServerConnection(meter, entropy=entropy())
    links = {sap: Link(meter, sap) for sap in CLIENTS}
    for link in links.values():
        link.server = server
        link.run(link.client.associate())

    assert all(server.state(sap) is State.ASSOCIATED for sap in CLIENTS)
    links[READER].run(links[READER].client.release())
    assert server.state(READER) is State.IDLE
    assert links[MANAGER].run(links[MANAGER].client.get(Register.value, at=ENERGY)) == 123_456
    server.lost()
    assert all(server.state(sap) is State.IDLE for sap in CLIENTS)


def test_a_client_that_lost_its_state_opens_anew() -> None:
    link = associated()
    again = Client(parameters(MANAGER), entropy=bytes, counters=CounterBlock(5000, 2**32 - 1))
    link.client = again
    link.run(again.associate())
    assert link.run(again.get(Register.value, at=ENERGY)) == 123_456


def test_invoke_ids_go_round() -> None:
    link = associated(READER)
    link.wire.clear()
    for _ in range(20):
        link.run(link.client.get(Register.value, at=ENERGY))
    ids = [request[2] & 0x0F for request in link.wire[::2]]
    assert len(set(ids)) == 16
    assert all(after == (before + 1) % 16 for before, after in itertools.pairwise(ids))


def test_unconfirmed_writes_are_done_and_not_answered() -> None:
    link = associated()
    channel = link.client.channel
    assert channel is not None
    request = bytes.fromhex("c10181 0001".replace(" ", "")) + bytes(NOTE) + b"\x02\x00\x09\x02ab"
    assert link.server.receive(MANAGER, channel.protect(request)) is None
    assert link.run(link.client.get(Data.value, at=NOTE)) == b"ab"


def test_objects_and_views() -> None:
    meter = DemoMeter()
    assert meter[ENERGY].class_id == 3
    assert len(list(meter)) == 7
    with pytest.raises(ValueError, match=r"1\.0\.1\.8\.0\.255 is already <Register"):
        meter.add(Data(ENERGY))
    view = meter.view(meter.associations[READER])
    assert meter.view(meter.associations[READER]) is view
    meter.add(Data(Obis(0, 0, 96, 1, 0, 255), value=OctetString(b"new")))
    assert meter.view(meter.associations[READER]) is not view


def test_a_device_without_clients_serves_nobody() -> None:
    device = LogicalDevice(objects=(), associations=(), system_title=METER_TITLE)
    server = ServerConnection(device, entropy=entropy())
    aarq = next(Client(parameters(PUBLIC), entropy=bytes).associate())
    aare = server.receive(PUBLIC, aarq)
    assert aare is not None
    assert aare[0] == 0x61
    assert Cipher(KEYS).keys is KEYS
