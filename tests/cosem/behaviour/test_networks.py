# SPDX-License-Identifier: Apache-2.0
from typing import Any

import pytest

from cosem.behaviour.life import at
from openami.cosem.behaviour.networks import (
    CoapCounters,
    Diagnosis,
    MbusCounters,
    applied,
    ipv4_setup,
    ipv6_setup,
    ntp_setup,
)
from openami.cosem.classes.cellular import (
    AdjacentCell,
    GsmDiagnosticV1,
    LteMonitoring,
    LteNetworkParameters,
    RegistrationStatus,
)
from openami.cosem.classes.internet import (
    CoapBlockTransfers,
    CoapDiagnostic,
    Ipv4Setup,
    Ipv6AddressType,
    Ipv6Setup,
    NtpKey,
    NtpSetup,
    TcpUdpSetup,
)
from openami.cosem.classes.mbus import LinkStatus, MBusDiagnostic, MBusMasterPortSetup
from openami.cosem.classes.references import Baud
from openami.cosem.kinds import LONG_UNSIGNED
from openami.cosem.model import Refused
from openami.dlms.apdu.codes import ActionResult, DataAccessResult
from openami.dlms.data import (
    Array,
    DoubleLongUnsigned,
    Enum,
    OctetString,
    Structure,
    Unsigned,
)
from openami.dlms.obis import Obis

NAME = Obis(0, 0, 25, 0, 0, 255)
NOW = at("2026-03-02T10:00")
GROUP = 0xE0000001
ADDRESS = OctetString(bytes(15) + b"\x01")


def refused(thing: Any, method: int, argument: Any) -> ActionResult:
    with pytest.raises(Refused) as caught:
        thing.invocations[method](argument)
    assert isinstance(caught.value.result, ActionResult)
    return caught.value.result


def test_multicast_addresses() -> None:
    changes: list[int] = []
    thing = ipv4_setup(Ipv4Setup(NAME), lambda row: changes.append(row.index))
    for _ in range(2):
        thing.invocations[1](GROUP)
    assert thing.multicast_ip_address == (GROUP,)
    assert thing.invocations[3](0) == 1
    assert refused(thing, 1, 0x7F000001) == ActionResult.SCOPE_OF_ACCESS_VIOLATED
    thing.invocations[2](GROUP)
    assert refused(thing, 2, GROUP) == ActionResult.OBJECT_UNDEFINED
    assert thing.invocations[3](0) == 0
    assert changes == [4, 4]


@pytest.mark.parametrize("kind", Ipv6AddressType)
def test_ipv6_addresses(kind: Ipv6AddressType) -> None:
    changes: list[int] = []
    thing = ipv6_setup(Ipv6Setup(NAME), lambda row: changes.append(row.index))
    argument = Structure((Enum(kind), ADDRESS))
    for _ in range(2):
        thing.invocations[1](argument)
    lists = (
        thing.unicast_ipv6_addresses,
        thing.multicast_ipv6_addresses,
        thing.gateway_ipv6_addresses,
    )
    assert [len(each) for each in lists if isinstance(each, Array)] == [
        int(index == kind) for index in range(3)
    ]
    thing.invocations[2](argument)
    assert refused(thing, 2, argument) == ActionResult.OBJECT_UNDEFINED
    assert changes == [4 + kind] * 2


def test_arguments_that_are_no_ipv6_addresses() -> None:
    thing = ipv6_setup(Ipv6Setup(NAME))
    for argument, result in (
        (Structure((Enum(3), ADDRESS)), ActionResult.SCOPE_OF_ACCESS_VIOLATED),
        (Structure((Enum(0), OctetString(b"4"))), ActionResult.SCOPE_OF_ACCESS_VIOLATED),
        (Unsigned(1), ActionResult.TYPE_UNMATCHED),
    ):
        assert refused(thing, 1, argument) == result


class Server:
    def __init__(self) -> None:
        self.asked: list[bytes] = []

    def synchronize(self, setup: NtpSetup) -> None:
        self.asked.append(setup.server_address)


def test_a_time_server_and_its_keys() -> None:
    server = Server()
    thing = ntp_setup(NtpSetup(NAME, activated=False, server_address=b"ntp"), server)
    assert refused(thing, 1, 0) == ActionResult.READ_WRITE_DENIED
    thing.activated = True
    thing.invocations[1](0)
    assert server.asked == [b"ntp"]
    for key in (b"old", b"new"):
        thing.invocations[2](Structure((DoubleLongUnsigned(7), OctetString(key))))
    assert thing.authentication_keys == (NtpKey(7, b"new"),)
    del thing.values[NtpSetup.server_address.index]
    assert refused(thing, 1, 0) == ActionResult.OBJECT_UNAVAILABLE
    assert server.asked == [b"ntp"]
    assert refused(thing, 3, DoubleLongUnsigned(8)) == ActionResult.OBJECT_UNDEFINED
    assert refused(thing, 3, OctetString(b"7")) == ActionResult.TYPE_UNMATCHED
    thing.invocations[3](DoubleLongUnsigned(7))
    assert thing.authentication_keys == ()


def test_a_host_hears_what_a_client_writes() -> None:
    heard: list[tuple[str, Any]] = []

    def apply(row: Any, value: Any) -> None:
        if value == 0:
            raise Refused(DataAccessResult.OTHER_REASON)
        heard.append((row.name, value))

    thing = TcpUdpSetup(NAME, tcp_udp_port=4059)
    applied(thing, apply)
    thing.write(TcpUdpSetup.tcp_udp_port, LONG_UNSIGNED.to_data(4060))
    assert thing.tcp_udp_port == 4060
    with pytest.raises(Refused):
        thing.write(TcpUdpSetup.tcp_udp_port, LONG_UNSIGNED.to_data(0))
    assert thing.tcp_udp_port == 4060
    assert heard == [("tcp_udp_port", 4060)]
    assert TcpUdpSetup.nb_of_sim_conn.index not in thing.sinks
    port = MBusMasterPortSetup(NAME, comm_speed=Baud.BAUD_2400)
    applied(port, apply)
    port.write(MBusMasterPortSetup.comm_speed, Enum(Baud.BAUD_9600))
    assert heard[-1] == ("comm_speed", Baud.BAUD_9600)


def test_what_a_modem_sees() -> None:
    thing = GsmDiagnosticV1(NAME)
    modem = Diagnosis(thing)
    modem.tell(NOW, status=RegistrationStatus.ROAMING, adjacent_cells=(AdjacentCell(5, 20),))
    assert thing.status is RegistrationStatus.ROAMING
    assert thing.capture_time.hour == 10
    with pytest.raises(TypeError, match="no attribute 'speed'"):
        modem.tell(NOW, speed=1)
    with pytest.raises(TypeError, match="is no adjacent_cells"):
        modem.tell(NOW, adjacent_cells=(AdjacentCell(5, 300),))
    lte = LteMonitoring(NAME)
    Diagnosis(lte).tell(NOW, lte_network_parameters=LteNetworkParameters(1, 2, 3, 4, -5))
    assert lte.lte_network_parameters.q_rx_lev_min == -5


def test_what_an_m_bus_port_counts() -> None:
    thing = MBusDiagnostic(NAME)
    port = MbusCounters(thing)
    assert thing.capture_time.attribute_id == 0
    port.heard(NOW, intact=True, signal=77, channel=3)
    assert (thing.received_signal_strength, thing.channel_id) == (77, 3)
    port.heard(NOW, intact=False)
    port.transmitted(NOW)
    for client in (1, 2, 1):
        port.broadcast(client, NOW)
    assert (thing.fcs_ok_frames_counter, thing.fcs_nok_frames_counter) == (1, 1)
    assert thing.transmissions_counter == 1
    counts = {each.client_id: each.counter for each in thing.broadcast_frames_counter}
    assert counts == {1: 2, 2: 1}
    assert thing.capture_time.attribute_id == 5
    port.link(LinkStatus.NORMAL, NOW)
    assert thing.link_status is LinkStatus.NORMAL
    assert thing.capture_time.attribute_id == 4
    thing.invocations[1](0)
    assert thing.fcs_ok_frames_counter == thing.transmissions_counter == 0
    assert thing.broadcast_frames_counter == ()
    assert thing.capture_time.attribute_id == 0
    thing.fcs_ok_frames_counter = 2**32 - 1
    port.heard(NOW, intact=True)
    assert thing.fcs_ok_frames_counter == 2**32 - 1


def test_what_coap_counts() -> None:
    thing = CoapDiagnostic(NAME)
    counters = CoapCounters(thing)
    for name in ("tx", "tx", "rx_response", "block_wise_timeout"):
        counters.count(name, NOW)
    assert thing.messages_counter.tx == 2
    assert thing.request_response_counter.rx_response == 1
    assert thing.bt_counter == CoapBlockTransfers(0, 0, 1)
    assert thing.capture_time.attribute_id == 4
    with pytest.raises(TypeError, match="no CoAP counter"):
        counters.count("lost", NOW)
    thing.invocations[1](0)
    assert thing.messages_counter.tx == 0
    assert thing.capture_time.attribute_id == 0
    for index in range(2, 6):
        assert thing.reader(index) is not None
