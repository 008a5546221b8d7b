# SPDX-License-Identifier: Apache-2.0
"""Our own server with a push setup of version 2, whose pushes are heard."""

from collections import deque
from dataclasses import dataclass, field, replace

from cosem.conformance.pairs_subject import subject_of
from cosem.conformance.subject import Subject, declaration
from dlmskeys import seeded
from openami.cosem.behaviour.layers import LayerKeys, Layers, envelop
from openami.cosem.behaviour.localtime import SECOND_US
from openami.cosem.behaviour.pushing import NEVER, Pushing, push
from openami.cosem.classes.push import (
    ConfirmationParameters,
    MessageType,
    PushObject,
    PushOperationMethod,
    PushSetupV2,
    RepetitionDelay,
    SendDestinationAndMethod,
    TransportService,
)
from openami.cosem.conformance.case import Case, Need
from openami.cosem.conformance.declaration import Declaration, DeclaredPush
from openami.dlms.apdu.ciphered import GeneralGloCiphering
from openami.dlms.apdu.notification import DataNotification, DataNotificationConfirm
from openami.dlms.hdlc.address import Address
from openami.dlms.hdlc.link import unnumbered_frames
from openami.dlms.hdlc.llc import FROM_SERVER
from openami.dlms.obis import Obis
from openami.dlms.security.suites import SecurityControl
from playbooks.demo_meter import CLIENT_TITLE, LDN, METER_TITLE, NOTE
from playbooks.secure_meter import SecureMeter

PUSH = Obis(0, 0, 25, 9, 0, 255)
WHERE = SendDestinationAndMethod(TransportService.TCP, b"centre:4061", MessageType.A_XDR)


def element(class_id: int, at: Obis, attribute: int) -> PushObject:
    return PushObject(class_id, at, attribute, 0, None, ())


DECLARED = DeclaredPush(setup=PUSH, within_s=5.0, retry_s=40.0)


def with_push(meter: SecureMeter, address_octets: int) -> Declaration:
    return replace(declaration(meter, address_octets), push=DECLARED)


@dataclass
class PushLine:
    """Carries pushes to whoever waits, under the manager's key, and tells that they went out."""

    subject: Subject
    setup: PushSetupV2
    waiting: deque[bytes] = field(default_factory=deque)
    now_us: int = 1_772_000_000 * SECOND_US

    def __post_init__(self) -> None:
        self.pushing = push(
            Pushing(self.setup, self.subject.meter, self, entropy=seeded(9), protect=self.in_layers)
        )

    def in_layers(self, layers: Layers, apdu: bytes) -> bytes:
        meter = self.subject.meter
        keys = LayerKeys(
            own_title=METER_TITLE,
            peer_title=CLIENT_TITLE,
            cipher=meter.ciphering.cipher,
            counters=meter.ciphering.counters,
            credentials=meter.credentials,
        )
        return envelop(keys, layers, apdu)

    def send(self, destination: SendDestinationAndMethod, octets: bytes) -> None:
        assert destination == WHERE
        if octets[0] != DataNotification.TAG:
            self.waiting.append(octets)
            return
        ciphering = self.subject.meter.ciphering
        control = SecurityControl.of(ciphering.cipher.keys.suite)
        counter = ciphering.counters.next()
        sealed = ciphering.cipher.seal(control, counter, METER_TITLE, octets)
        envelope = GeneralGloCiphering(system_title=METER_TITLE, ciphered_service=sealed)
        self.waiting.append(envelope.encode())

    def pushed(self, seconds: float) -> bytes | None:
        end = self.now_us + round(seconds * SECOND_US)
        while not self.waiting:
            due = self.pushing.due_us()
            if due is None or due > end:
                self.now_us = end
                return None
            self.now_us = max(self.now_us, due)
            self.pushing.tick(self.now_us)
        self.pushing.sent(self.now_us)
        return self.waiting.popleft()

    def confirm(self, apdu: bytes) -> None:
        told = DataNotificationConfirm.decode(apdu).long_invoke_id_and_priority
        self.pushing.confirmed(int(told), self.now_us)


def push_subject() -> Subject:
    """A meter that pushes its name and a note."""
    return pushing(Subject(declare=with_push))


def signed_push_subject() -> Subject:
    """The same in suite 1."""
    subject = subject_of()
    subject.declaration = replace(subject.declaration, push=DECLARED)
    return pushing(subject)


def framed(apdu: bytes) -> bytes:
    """How a push crosses a customer port: UI frames of 128 octets at most."""
    client, server = Address.client(1), Address.server(1)
    frames = unnumbered_frames(client, server, FROM_SERVER + apdu, 128, poll_final=True)
    return b"".join(frame.encode() for frame in frames)


def line_push_subject() -> Subject:
    """The same, heard on a line."""
    subject = push_subject()
    declared = replace(DECLARED, on_line=True)
    subject.declaration = replace(subject.declaration, push=declared)
    subject.framed = framed
    return subject


def push_subject_for(case: Case) -> Subject:
    """The meter to which a case applies."""
    if Need.PUSH_LINE in case.needs:
        return line_push_subject()
    return signed_push_subject() if Need.PAIRS in case.needs else push_subject()


def pushing(subject: Subject) -> Subject:
    """Give a meter a push setup whose pushes are heard."""
    setup = PushSetupV2(
        PUSH,
        push_object_list=(element(1, LDN, 2), element(1, NOTE, 2)),
        send_destination_and_method=WHERE,
        communication_window=(),
        randomisation_start_interval=0,
        number_of_retries=0,
        repetition_delay=RepetitionDelay(0, 100, 0),
        port_reference=Obis(0, 0, 25, 0, 0, 255),
        push_client_sap=1,
        push_protection_parameters=(),
        push_operation_method=PushOperationMethod.UNCONFIRMED_RETRY_ON_FAILURE,
        confirmation_parameters=ConfirmationParameters(NEVER, 0),
    )
    subject.meter.add(setup)
    line = PushLine(subject, setup)
    subject.pushed, subject.confirm = line.pushed, line.confirm
    return subject
