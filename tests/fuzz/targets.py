# SPDX-License-Identifier: Apache-2.0
"""What is fuzzed: every decoder that octets from outside reach, each as a function of octets.

A target returns for any octets, or raises a `DlmsError`; anything else is a defect.  Where it
decodes, what it made must encode to octets that say the same again.  `TARGETS` is the table; the
runner is `run`.
"""

import json
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any, Final

from firmware.made import DEVICE, OURS, SIGNS, image_of
from fuzz.link_targets import LINK_TARGETS
from fuzz.psa_targets import PSA_TARGETS
from openami.cli import telegram_json
from openami.coap.errors import CoapError
from openami.coap.message import Message
from openami.coap.numbers import Code
from openami.coap.peer import CoapPeer, PeerSettings, Requested
from openami.dlms import apdu, data
from openami.dlms.apdu.fields import SelectiveAccess
from openami.dlms.apdu.selective import ByEntry, ByRange
from openami.dlms.bulk import columns
from openami.dlms.data import Integer
from openami.dlms.datetimes import CosemDate, CosemDateTime, CosemTime
from openami.dlms.errors import DecodeError, DlmsError
from openami.dlms.gateway import GatewayRequest, GatewayResponse
from openami.dlms.hdlc.address import Station
from openami.dlms.hdlc.frame import Frame
from openami.dlms.hdlc.link import Message as HdlcMessage
from openami.dlms.hdlc.parameters import LinkParameters
from openami.dlms.hdlc.reader import FrameReader
from openami.dlms.hdlc.secondary import SecondaryStation
from openami.dlms.mbus import MbusFrame, MbusReader
from openami.dlms.mode_e import IdentificationMessage, LineReader, OptionSelect, RequestMessage
from openami.dlms.recordings import framings, translate
from openami.dlms.recordings.habits import LENIENT
from openami.dlms.recordings.readings import readings
from openami.dlms.security.certificates import Certificate
from openami.dlms.security.channel import Role, SecureChannel
from openami.dlms.security.ciphering import Cipher
from openami.dlms.security.counters import CounterBlock
from openami.dlms.wrapper import WrapperReader
from openami.dlms.xmlform.document import from_xml, to_xml
from openami.dlms.xmlform.element import NAMESPACE, XmlError
from openami.firmware import cbor
from openami.firmware.errors import FirmwareError
from openami.firmware.image import Image
from openami.firmware.manifest import Envelope, seal
from openami.firmware.manifest_run import Identity, plan
from openami.firmware.revocation import Revocation
from openami.firmware.tlv import Area, decode_area, encode_area
from openami.firmware.verify import Policy, verify
from playbooks import named_meter
from playbooks.demo_meter import (
    CLIENT_TITLE,
    DISCONNECT,
    ENERGY,
    KEYS,
    MANAGER,
    METER_TITLE,
    PUBLIC,
    READER,
    associated,
)

Target = Callable[[bytes], object]

RECORDING_KEYS = translate.TranslationKeys(
    encryption_key=KEYS.encryption_key, system_title=METER_TITLE
)
"""Without an authentication key, so that what is sealed is opened without its tag."""

POLICY: Final = Policy(keys=(OURS,), counter=1, decryption_key=DEVICE)
IMAGE: Final = image_of(octets=40, sw_type="APP", encrypted=True)

LONGEST_STREAM_OCTETS: Final = 400
"""Octet by octet costs their square; faults do not need more."""


def inverse(decode: Callable[[bytes], Any]) -> Target:
    """Return a target: what is decoded must say the same when it is encoded and decoded again."""

    def target(octets: bytes) -> object:
        found = decode(octets)
        again = decode(found.encode())
        assert repr(again) == repr(found), f"{found!r} came back as {again!r}"
        return found

    return target


def stream(reader: Callable[[], Any]) -> Target:
    """Return a target: a stream gives the same frames whether it comes at once or in octets.

    What had to be dropped is told as it comes, so it is not compared.
    """

    def target(octets: bytes) -> object:
        octets = octets[:LONGEST_STREAM_OCTETS]
        found = reader().feed(octets)
        slow = reader()
        pieces = [each for octet in octets for each in slow.feed(bytes((octet,)))]
        assert sound(pieces) == sound(found)
        return found

    def sound(found: list[Any]) -> list[Any]:
        return [each for each in found if not isinstance(each, DecodeError)]

    return target


def wrapper_stream(octets: bytes) -> object:
    # A wrapper stream ends at its first fault, which depends on what came with it: not compared.
    return WrapperReader().feed(octets)


def any_data(octets: bytes) -> object:
    found = data.decode(octets)
    assert data.decode(data.encode(found)) == found or "nan" in repr(found)
    readings(found)
    return found


def profile(octets: bytes) -> object:
    return columns.decode_profile(octets)


def selection(octets: bytes) -> object:
    if len(octets) < 2:
        return None
    access = SelectiveAccess(selector=octets[0], parameters=data.decode(octets[1:]))
    for kind in (ByRange, ByEntry):
        try:
            return kind.from_access(access)
        except ValueError:
            continue
    return None


def described(octets: bytes) -> object:
    keys = translate.TranslationKeys(
        encryption_key=KEYS.encryption_key,
        authentication_key=KEYS.authentication_key,
        system_title=METER_TITLE,
    )
    return translate.describe(octets, keys=keys)


def described_leniently(octets: bytes) -> object:
    """Read with the habits of the field: all that is found must be fit for programs and people."""
    found = translate.describe(octets, keys=RECORDING_KEYS, accept=LENIENT)
    json.dumps(telegram_json.to_json(found), allow_nan=False)
    return list(telegram_json.lines(found))


def written_as_xml(octets: bytes) -> object:
    text = to_xml(octets)
    assert from_xml(text) == octets
    return text


def read_from_xml(octets: bytes) -> object:
    """Any text behind the head of a document, which the fuzzer would not find by itself."""
    text = octets.decode("latin-1")
    with suppress(XmlError):
        return from_xml(f'<openami xmlns="{NAMESPACE}">{text}</openami>')
    return None


def profile_in_blocks(octets: bytes) -> object:
    """Blocks of up to 255 octets, each with its length in front."""
    stream, at = columns.ProfileStream(), 0
    while at < len(octets):
        end = at + 1 + octets[at]
        stream.take(octets[at + 1 : end])
        at = end
    return columns.decode_profile(stream.buffer())


def recorded(octets: bytes) -> object:
    return list(framings.frames(octets) or ())


def opened_by_channel(octets: bytes) -> object:
    channel = SecureChannel(
        cipher=Cipher(KEYS),
        role=Role.SERVER,
        own_title=METER_TITLE,
        peer_title=CLIENT_TITLE,
        counters=CounterBlock(0, 2**32 - 1),
    )
    return channel.unprotect(octets)


def served(octets: bytes) -> object:
    """Give octets to a server, before and behind an association; a server never raises."""
    link = associated(PUBLIC, rows=3)
    for client_sap in (PUBLIC, READER, MANAGER, 99):
        link.server.receive(client_sap, octets)
    return link


def served_protected(octets: bytes) -> object:
    """Give octets to a server inside sound protection: what a client that knows the keys can do."""
    if not octets:
        return None
    link = associated(MANAGER, rows=3)
    assert link.client.channel is not None
    link.server.receive(MANAGER, link.client.channel.protect(octets))
    return link


@cache
def a_named_meter() -> named_meter.NamedMeter:
    """A meter that is built once: building it takes longer than asking it."""
    return named_meter.NamedMeter()


def served_by_short_name(octets: bytes) -> object:
    """The same to a server that is asked by short name, request by request; what it says is sound.

    Each request has its length in front.
    """
    link = named_meter.associated(
        named_meter.OPEN, meter=a_named_meter(), max_receive_pdu_octets=40
    )
    while octets:
        request, octets = octets[1 : 1 + octets[0]], octets[1 + octets[0] :]
        if request[:1] in {b"`", b"b"}:  # AARQ and RLRQ belong to the target above
            continue
        answer = link.server.receive(named_meter.OPEN, request)
        assert answer is None or len(answer) <= 40
        if answer is not None:
            apdu.decode(answer)
    return link


def asked_by_short_name(octets: bytes) -> object:
    """Give answers to a client that asks by short name; each has its length in front."""
    link = named_meter.associated(named_meter.OPEN, meter=a_named_meter())
    pieces = []
    while octets:
        piece, octets = octets[1 : 1 + octets[0]], octets[1 + octets[0] :]
        pieces.append(piece)
    for ask in (
        link.client.object_list(),
        link.client.get_data(3, ENERGY, 2),
        link.client.act_data(70, DISCONNECT, 1, Integer(0)),
    ):
        left = list(pieces)
        with suppress(DlmsError, StopIteration):
            next(ask)
            while left:
                ask.send(left.pop(0))
        ask.close()
    return link


def coap_message(octets: bytes) -> object:
    with suppress(CoapError):
        return inverse(Message.decode)(octets)
    return None


def coap_peer(octets: bytes) -> object:
    """Give datagrams to a peer that answers; each has its length in front."""
    peer = CoapPeer(PeerSettings(longest_payload_octets=2000), bytes)
    peer.request(Code.POST, (), bytes(1500), 0.0)
    now = 0.0
    while octets:
        datagram, octets = octets[1 : 1 + octets[0]], octets[1 + octets[0] :]
        now += 1.0
        for event in (*peer.receive(datagram, now), *peer.tick(now)):
            if isinstance(event, Requested):
                peer.respond(event.handle, Code.CHANGED, event.message.payload * 3, now)
        for sent in peer.data_to_send():
            Message.decode(sent)
    return peer


def hdlc_station(octets: bytes) -> object:
    """Give octets to a station that answers; what it says are sound frames."""
    station = SecondaryStation(Station.of([1], 17))
    now = 0.0
    while octets:
        part, octets = octets[1 : 1 + octets[0]], octets[1 + octets[0] :]
        now += 0.3
        for event in (*station.receive(part, now), *station.tick(now)):
            if isinstance(event, HdlcMessage):
                station.answer(event.pair, event.apdu, now)
        found = FrameReader().feed(station.data_to_send())
        assert all(isinstance(each, Frame) for each in found)
    return station


def firmware_image(octets: bytes) -> object:
    """Read an image, judge it, and write it again; each time the first octets may be sound."""
    front = IMAGE.encode()
    for end in (0, 4, 32, IMAGE.header.payload_end, len(front)):
        with suppress(FirmwareError):
            found = Image.decode(front[:end] + octets)
            assert found.encode() == front[:end] + octets
            verify(found, POLICY)
    return None


def firmware_tlvs(octets: bytes) -> object:
    for area in Area:
        with suppress(FirmwareError):
            found, end = decode_area(area.value.to_bytes(2, "little") + octets, 0, area)
            assert encode_area(area, found) == (area.value.to_bytes(2, "little") + octets)[:end]
    return None


def firmware_revocation(octets: bytes) -> object:
    with suppress(FirmwareError):
        assert Revocation.decode(octets).encode() == octets
    with suppress(FirmwareError):
        Revocation.decode(b"OARV" + octets).is_signed_by(POLICY.keys[0])
    return None


def firmware_cbor(octets: bytes) -> object:
    with suppress(FirmwareError):
        assert cbor.encode(cbor.decode(octets)) == octets
    return None


def firmware_manifest(octets: bytes) -> object:
    """Read an envelope, and run what a signer of ours might have written."""
    with suppress(FirmwareError):
        Envelope.decode(octets)
    with suppress(FirmwareError):
        common = cbor.encode({2: [[b"\x00"]], 4: octets})
        envelope = Envelope.decode(seal({1: 1, 2: 0, 3: common, 20: octets}, SIGNS))
        return plan(envelope.manifest(), Identity(slot=1))
    return None


def certificate(octets: bytes) -> object:
    return Certificate.decode(octets)


TARGETS: Final[dict[str, Target]] = {
    "apdu": inverse(apdu.decode),
    "data": any_data,
    "profile-columns": profile,
    "selective-access": selection,
    "date-time": inverse(CosemDateTime.decode),
    "date": inverse(CosemDate.decode),
    "time": inverse(CosemTime.decode),
    "gateway-request": inverse(GatewayRequest.decode),
    "gateway-response": inverse(GatewayResponse.decode),
    "hdlc-frame": inverse(Frame.decode),
    "hdlc-stream": stream(FrameReader),
    "hdlc-parameters": inverse(LinkParameters.decode),
    "wrapper-stream": wrapper_stream,
    "mbus-frame": inverse(MbusFrame.decode),
    "mbus-stream": stream(MbusReader),
    "mode-e-request": inverse(RequestMessage.decode),
    "mode-e-identification": inverse(IdentificationMessage.decode),
    "mode-e-option": inverse(OptionSelect.decode),
    "mode-e-lines": stream(lambda: LineReader(b"/")),
    "certificate": certificate,
    "secure-channel": opened_by_channel,
    "server": served,
    "server-protected": served_protected,
    "server-short-names": served_by_short_name,
    "client-short-names": asked_by_short_name,
    "coap-message": coap_message,
    "coap-peer": coap_peer,
    "hdlc-station": hdlc_station,
    "recording": recorded,
    "decode": described,
    "decode-leniently": described_leniently,
    "xml": written_as_xml,
    "xml-text": read_from_xml,
    "profile-blocks": profile_in_blocks,
    "firmware-image": firmware_image,
    "firmware-tlvs": firmware_tlvs,
    "firmware-cbor": firmware_cbor,
    "firmware-revocation": firmware_revocation,
    "firmware-manifest": firmware_manifest,
    **PSA_TARGETS,
    **LINK_TARGETS,
}
