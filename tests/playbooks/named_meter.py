# SPDX-License-Identifier: Apache-2.0
"""The demo meter by short names: the same objects and clients, and an open one with all rights."""

from dataclasses import replace
from typing import Any

from openami.cosem.asking.base_names import BaseNames
from openami.cosem.device import DEFAULT_CONFORMANCE, AssociationPolicy
from openami.cosem.kinds import OCTETS
from openami.cosem.model import InterfaceClass, Method, Refused
from openami.cosem.rights import FULL_ACCESS
from openami.cosem.server import ServerConnection
from openami.cosem.serving.short_names import ShortNames
from openami.dlms.apdu.codes import ActionResult
from openami.dlms.apdu.initiate import Conformance, InitiateRequest
from openami.dlms.association import ApplicationContext, State
from openami.dlms.obis import Obis
from openami.dlms.sap import Sap
from playbooks.demo_meter import DemoMeter, Link, aarq, entropy

OPEN = Sap(48)
"""A client without security that may do everything."""

MIRROR = Obis.parse("0.128.96.0.1.255")

READ_WRITE = (
    Conformance.READ
    | Conformance.WRITE
    | Conformance.UNCONFIRMED_WRITE
    | Conformance.PARAMETERIZED_ACCESS
    | Conformance.MULTIPLE_REFERENCES
    | Conformance.INFORMATION_REPORT
)
BLOCKS = Conformance.BLOCK_TRANSFER_WITH_GET_OR_READ | Conformance.BLOCK_TRANSFER_WITH_SET_OR_WRITE
EVERYTHING = READ_WRITE | BLOCKS


class NamedMirror(InterfaceClass, class_id=40_001, version=0, methods_at=0x08):
    """A class of a manufacturer: gives back what it is given, twice."""

    reflect = Method(1, OCTETS, OCTETS)
    swallow = Method(2, OCTETS)
    unbound = Method(3, OCTETS)


def twice(octets: bytes) -> bytes:
    if octets == b"refuse":
        raise Refused(ActionResult.TEMPORARY_FAILURE)
    return octets * 2


class NamedMeter(DemoMeter):
    """All clients refer by short name."""

    def __init__(self, rows: int = 0, **naming: Any) -> None:
        super().__init__(rows)
        self.names = ShortNames(**naming)
        self.swallowed: list[bytes] = []
        mirror = NamedMirror(MIRROR)
        mirror.bind_method(NamedMirror.reflect, twice)
        mirror.bind_method(NamedMirror.swallow, self.swallowed.append)
        self.add(mirror)
        self.associations[OPEN] = AssociationPolicy(
            client_sap=OPEN,
            grants=FULL_ACCESS,
            conformance=DEFAULT_CONFORMANCE | Conformance.EVENT_NOTIFICATION,
        )
        for policy in list(self.associations.values()):
            self.change(policy.client_sap, short_names=self.names)
        self.names.take(self)

    def change(self, client_sap: int, **fields: Any) -> None:
        """Change a client's policy."""
        self.associations[client_sap] = replace(self.associations[client_sap], **fields)

    def at(self, logical_name: Obis, offset: int = 0x08) -> str:
        """The short name of a row, in hex; attribute 2 unless told."""
        return f"{self.names.base_name(logical_name) + offset:04x}"


class Line:
    """A client made of octets, and the named meter."""

    def __init__(self, meter: NamedMeter | None = None, client_sap: int = OPEN) -> None:
        self.meter = meter or NamedMeter()
        self.client_sap = client_sap
        self.server = ServerConnection(self.meter, entropy=entropy())

    def open(self, conformance: Conformance = EVERYTHING, pdu_octets: int = 1024) -> "Line":
        """Associate without security."""
        request = InitiateRequest(
            proposed_conformance=conformance, client_max_receive_pdu_size=pdu_octets
        )
        answer = self.server.receive(
            self.client_sap,
            aarq(
                application_context_name=ApplicationContext.SN.oid,
                sender_acse_requirements=None,
                mechanism_name=None,
                calling_authentication_value=None,
                user_information=request.encode(),
            ).encode(),
        )
        assert answer is not None
        assert self.server.state(self.client_sap) is State.ASSOCIATED
        return self

    def ask(self, apdu: str) -> str | None:
        """Send octets in hex and return the answer so."""
        answer = self.server.receive(self.client_sap, bytes.fromhex(apdu))
        return answer if answer is None else answer.hex()


def named_link(client_sap: Sap = OPEN, meter: NamedMeter | None = None, **changes: Any) -> Link:
    """A client that refers by short name, and the named meter."""
    changes = {"short_names": BaseNames()} | changes
    return Link(meter or NamedMeter(rows=100), client_sap, **changes)


def associated(client_sap: Sap = OPEN, **terms: Any) -> Link:
    """The same, with its association open."""
    link = named_link(client_sap, **terms)
    link.run(link.client.associate())
    return link
