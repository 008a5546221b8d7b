# SPDX-License-Identifier: Apache-2.0
"""Our own server in memory as the meter under test, with a clock that is told."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

from dlmskeys import SUITE_0, keys, master_key, seeded
from openami.cosem.classes.references import AttributeReference
from openami.cosem.classes.tariff import RegisterMonitor
from openami.cosem.conformance.case import (
    Ask,
    Beside,
    Confirm,
    Connect,
    Exchange,
    Hangup,
    Hear,
    Line,
    LineLost,
    Pushed,
    Script,
    Send,
    Wait,
)
from openami.cosem.conformance.declaration import (
    Declaration,
    DeclaredAssociation,
    DeclaredLink,
    Row,
)
from openami.cosem.conformance.runner import Result, attempt
from openami.cosem.conformance.suite import BY_ID
from openami.cosem.device import DEFAULT_CONFORMANCE, SECURITY_SETUP, AssociationPolicy, Ciphering
from openami.cosem.rights import ALL, Grant
from openami.cosem.server import ServerConnection
from openami.cosem.serving.opening import referencing_of
from openami.cosem.serving.short_names import ShortNames
from openami.dlms.apdu.initiate import Conformance
from openami.dlms.data import DoubleLongUnsigned
from openami.dlms.errors import DecodeError
from openami.dlms.hdlc.address import Station
from openami.dlms.hdlc.frame import Frame
from openami.dlms.hdlc.link import Disconnected, LinkTimings, Message
from openami.dlms.hdlc.parameters import LinkParameters
from openami.dlms.hdlc.reader import FrameReader
from openami.dlms.hdlc.secondary import SecondaryStation
from openami.dlms.hls import Mechanism
from openami.dlms.obis import Obis
from openami.dlms.security.ciphering import Cipher
from openami.dlms.security.counters import CounterBlock
from openami.dlms.security.suites import AUTHENTICATED_AND_ENCRYPTED, SecurityPolicy
from playbooks.demo_meter import (
    CLIENT_TITLE,
    ENERGY,
    LOAD_PROFILE,
    MANAGER,
    NOTE,
    PASSWORD,
    PUBLIC,
    READER,
    entropy,
)
from playbooks.secure_meter import SecureMeter

T = TypeVar("T")

HASHED = 48
HASH_SECRET = b"a secret of HLS"
PHYSICAL = 17
INACTIVITY_S = 120.0
RESPONSE_S = 3.0
TIMINGS = LinkTimings(inactivity_s=INACTIVITY_S)
SETTLED = LinkParameters.symmetric(200, 3)


def sound_meter(policy: SecurityPolicy = AUTHENTICATED_AND_ENCRYPTED) -> SecureMeter:
    """The demo meter with a security setup, a client that writes and one with a hash."""
    meter = SecureMeter(SUITE_0, policy=policy)
    reader = meter.associations[READER]
    writes = Grant(at=NOTE, write=ALL)
    meter.associations[READER] = replace(reader, grants=(*reader.grants, writes))
    meter.associations[HASHED] = AssociationPolicy(
        client_sap=HASHED,
        mechanism=Mechanism.HLS_SHA1,
        secret=HASH_SECRET,
        grants=(Grant(read=ALL),),
    )
    meter.add(
        RegisterMonitor(
            MONITOR,
            thresholds=(DoubleLongUnsigned(100), DoubleLongUnsigned(200)),
            monitored_value=AttributeReference(3, ENERGY, 2),
            actions=(),
        )
    )
    names = ShortNames()
    for sap, like in ((NAMED, READER), (NAMED_HASHED, HASHED)):
        meter.associations[sap] = replace(
            meter.associations[like],
            client_sap=sap,
            short_names=names,
            conformance=DEFAULT_CONFORMANCE | BY_NAME,
        )
    ciphering = Ciphering(
        cipher=Cipher(keys(SUITE_0)), counters=CounterBlock(1, 2**32 - 1), policy=policy
    )
    meter.associations[NAMED_MANAGER] = replace(
        meter.associations[MANAGER],
        client_sap=NAMED_MANAGER,
        short_names=names,
        ciphering=ciphering,
        conformance=DEFAULT_CONFORMANCE | BY_NAME,
    )
    return meter


MONITOR = Obis(0, 0, 16, 0, 0, 255)
NAMED, NAMED_HASHED, NAMED_MANAGER = 33, 49, 65
"""Clients that refer by short name."""


def declaration(meter: SecureMeter, address_octets: int = 2) -> Declaration:
    """What `sound_meter` may claim."""

    def declared(name: str, sap: int, **more: object) -> DeclaredAssociation:
        policy = meter.associations[sap]
        given = {
            "name": name,
            "client_sap": sap,
            "mechanism": policy.mechanism,
            "secret": policy.secret,
            "conformance": referencing_of(policy).offered(policy.conformance),
            "short_names": policy.short_names is not None,
        }
        return DeclaredAssociation(**(given | more))  # type: ignore[arg-type]

    return Declaration(
        name="demo meter",
        link=DeclaredLink(
            physical=PHYSICAL if address_octets > 1 else 0,
            address_octets=address_octets,
            client=PUBLIC,
            inactivity_s=INACTIVITY_S,
            inter_octet_s=TIMINGS.inter_octet_s,
        ),
        associations=(
            declared("public", PUBLIC),
            declared("reader", READER, secret=PASSWORD),
            declared("hashed", HASHED),
            declared("named", NAMED),
            declared("named-hashed", NAMED_HASHED),
            declared(
                "named-manager",
                NAMED_MANAGER,
                keys=keys(SUITE_0),
                client_title=CLIENT_TITLE,
                policy=meter.ciphering.policy,
            ),
            declared(
                "manager",
                MANAGER,
                keys=keys(SUITE_0),
                master_key=master_key(SUITE_0),
                client_title=CLIENT_TITLE,
                policy=meter.ciphering.policy,
                security_setup=SECURITY_SETUP,
            ),
        ),
        test_attribute=Row(class_id=1, logical_name=NOTE, attribute=2),
        profile=LOAD_PROFILE,
    )


BY_NAME = (
    Conformance.READ
    | Conformance.WRITE
    | Conformance.UNCONFIRMED_WRITE
    | Conformance.PARAMETERIZED_ACCESS
)


Serve = Callable[["Subject", int, bytes], bytes | None]
Octets = Callable[[bytes], bytes]
Heard = Callable[[bytes, bytes], bytes]


def honest(subject: "Subject", client: int, apdu: bytes) -> bytes | None:
    return subject.server.receive(client, apdu)


@dataclass
class Subject:
    """A meter behind a line and a wire in memory.

    `serve` may spoil what it answers to an APDU; `before` what its HDLC station hears, and `after`
    what is heard of it, given what it was asked.
    """

    meter: SecureMeter = field(default_factory=sound_meter)
    address_octets: int = 2
    serve: Serve = honest
    before: Octets = lambda octets: octets
    after: Heard = lambda _, octets: octets
    declare: Callable[[SecureMeter, int], Declaration] = declaration
    now: float = 0.0
    client: int = 0
    heard_apdus: deque[bytes] = field(default_factory=deque)
    pushed: Callable[[float], bytes | None] = lambda _seconds: None
    framed: Octets = lambda apdu: apdu
    confirm: Callable[[bytes], None] = lambda _apdu: None

    def __post_init__(self) -> None:
        self.declaration = self.declare(self.meter, self.address_octets)
        self.server = ServerConnection(self.meter, entropy=entropy())
        link = self.declaration.link or DeclaredLink()
        own = Station.of([link.logical], link.physical, link.address_octets)
        self.station = SecondaryStation(own, SETTLED, TIMINGS)
        self.second = (ServerConnection(self.meter, entropy=entropy()), 0, deque[bytes]())

    def run(self, script: Script[T]) -> T:
        """Drive a script to its end."""
        try:
            ask = next(script)
            while True:
                try:
                    answer = self.answer(ask)
                except LineLost as lost:
                    ask = script.throw(lost)
                else:
                    ask = script.send(answer)
        except StopIteration as stop:
            result: T = stop.value
            return result

    def answer(self, ask: Ask) -> bytes | None:
        if isinstance(ask, Exchange | Send | Hear):
            return self.exchange(ask)
        match ask:
            case Beside(inner):
                self.change_over()
                answer = self.answer(inner)
                self.change_over()
                return answer
            case Connect(client_sap):
                self.server.lost()
                self.client = client_sap
            case Hangup():
                self.server.lost()
            case Pushed(seconds, framed):
                found = self.pushed(seconds)
                return self.framed(found) if framed and found is not None else found
            case Confirm(apdu):
                self.confirm(apdu)
            case Line(octets):
                return self.line(octets)
            case Wait(seconds):
                self.pass_time(self.now + seconds)
        return None

    def change_over(self) -> None:
        """Go to the other of two connections."""
        here = (self.server, self.client, self.heard_apdus)
        (self.server, self.client, self.heard_apdus), self.second = self.second, here

    def exchange(self, ask: Exchange | Send | Hear) -> bytes | None:
        heard = self.heard_apdus
        if isinstance(ask, Exchange):
            heard.clear()  # what came unasked is no answer
        if not isinstance(ask, Hear):
            answer = self.serve(self, self.client, ask.apdu)
            while answer is not None:
                heard.append(answer)
                answer = self.server.following()
        return heard.popleft() if heard and not isinstance(ask, Send) else None

    def line(self, octets: bytes) -> bytes:
        """Put octets on the line; return what comes until F = 1 or the response time-out."""
        return self.after(octets, self.heard(self.before(octets)))

    def heard(self, octets: bytes) -> bytes:
        self.take(self.station.receive(octets, self.now))
        end, heard = self.now + RESPONSE_S, self.station.data_to_send()
        while not ends_with_final(heard):
            due = self.station.deadline
            if due is None or due > end:
                self.now = end
                break
            self.now = max(self.now, due)
            self.take(self.station.tick(self.now))
            heard += self.station.data_to_send()
        return heard

    def pass_time(self, until: float) -> None:
        while (due := self.station.deadline) is not None and due <= until:
            self.now = max(self.now, due)
            self.take(self.station.tick(self.now))
        self.now = until

    def take(self, events: list[object]) -> None:
        for event in events:
            match event:
                case Message(pair, apdu):
                    client = pair.client.upper
                    self.station.answer(pair, self.serve(self, client, apdu), self.now)
                case Disconnected(pair, _):
                    self.server.lost(pair.client.upper)

    def association(self, name: str) -> DeclaredAssociation | None:
        return next((aa for aa in self.declaration.associations if aa.name == name), None)

    def judge(self, case: str, association: str = "") -> Result:
        """Run one case at one association."""
        script = attempt(BY_ID[case], self.declaration, self.association(association), seeded(0x5E))
        return self.run(script)


def ends_with_final(octets: bytes) -> bool:
    frames = FrameReader().feed(octets)
    last = frames[-1] if frames else None
    return isinstance(last, Frame) and last.control.poll_final and not isinstance(last, DecodeError)
