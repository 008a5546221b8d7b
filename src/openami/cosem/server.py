# SPDX-License-Identifier: Apache-2.0
"""The server of one logical device on one connection, without input or output.

DLMS UA 1000-2 Ed. 10, 9.4.  `ServerConnection.receive` takes the APDU of one client and returns
the answer.  Each client SAP has an association of its own, which runs the state table of
`dlms.association`.  Whatever the octets are, the answer is the standard's and nothing is raised:
what has no place, no permission or no sense is answered with an exception-response.

Protection is asked for in one place (`SecureChannel`, from the policy of the client), rights in
another (`rights.View`).
"""

from collections.abc import Callable, Iterable
from typing import Any, Final

from openami.cosem.device import LogicalDevice
from openami.cosem.model import Attribute
from openami.cosem.serving.association import Around, ServerAssociation
from openami.cosem.serving.faults import (
    MALFORMED,
    NOT_DECIPHERED,
    NOT_POSSIBLE,
    NOT_SUPPORTED,
    TOO_LONG,
)
from openami.cosem.serving.opening import Entropy, Rejected, context_of
from openami.cosem.serving.watching import SecurityWatch
from openami.dlms.apdu.acse import AcseServiceUser
from openami.dlms.apdu.notification import (
    DataNotification,
    DataNotificationConfirm,
    EventNotification,
)
from openami.dlms.apdu.write import InformationReport
from openami.dlms.association import State
from openami.dlms.errors import LocalProtocolError
from openami.dlms.obis import Obis

__all__ = [
    "MALFORMED",
    "NOT_DECIPHERED",
    "NOT_POSSIBLE",
    "NOT_SUPPORTED",
    "TOO_LONG",
    "ServerAssociation",
    "ServerConnection",
]

AARQ: Final = 0x60


class ServerConnection:
    """All associations on one connection to a logical device.

    What a client sends goes to `receive`.  As a rule one APDU answers it; where the answer streams
    in blocks, `following` has the others::

        answer = server.receive(client_sap, apdu)
        while answer is not None:
            send(client_sap, answer)
            answer = server.following()
    """

    __slots__ = ("_around", "_associations", "_device", "_entropy", "_following")

    def __init__(
        self,
        device: LogicalDevice,
        *,
        entropy: Entropy,
        watch: SecurityWatch | None = None,
        notified: Callable[[int, DataNotificationConfirm], None] | None = None,
    ) -> None:
        """Serve `device`.

        Args:
            device: Its objects and who may associate.
            entropy: Gives the challenges.
            watch: Is told of what is refused for the sake of security.
            notified: Is told by which client SAP a data notification was confirmed.
        """
        self._device = device
        self._entropy = entropy
        self._associations: dict[int, ServerAssociation] = {}
        self._following: list[bytes] = []  # seldom any, at most a window: no deque of 700 octets
        self._around = Around(self._following, watch, notified)

    def receive(self, client_sap: int, apdu: bytes) -> bytes | None:
        """Return the answer to one APDU; None where the client wants none."""
        if self._following:
            self._following.clear()
        association = self._associations.get(client_sap) or self._association(client_sap)
        if association is None:
            return _unknown_client(apdu)
        return association.receive(apdu)

    def following(self) -> bytes | None:
        """Return what else goes to the client that was just answered, without being asked."""
        return self._following.pop(0) if self._following else None

    def notify(self, client_sap: int, apdu: EventNotification | DataNotification) -> list[bytes]:
        """Return a notification as it is to travel to a client: one APDU, or its blocks.

        Raises:
            LocalProtocolError: The client has no association, did not negotiate the service, or
                takes no APDU as long as this.
            SecurityError: No invocation counter is left, or a key is missing.
        """
        association = self._associations.get(client_sap) or self._association(client_sap)
        if association is None:
            raise LocalProtocolError(type(apdu).__name__, f"NOT KNOWING CLIENT {client_sap}")
        return association.notify(apdu)

    def information_report(
        self,
        client_sap: int,
        rows: Iterable[tuple[Attribute[Any], Obis]],
        *,
        current_time: bytes | None = None,
    ) -> list[bytes]:
        """Return an InformationReport as it is to travel to a client that refers by short name.

        Args:
            client_sap: Who has associated.
            rows: Attributes and the objects that have them.
            current_time: GeneralizedTime as text.

        Raises:
            LocalProtocolError: The client has no such association, or takes no APDU as long as
                this.
            Refused: It did not negotiate reports, or may not read one of the rows.
            SecurityError: No invocation counter is left, or a key is missing.
        """
        association = self._associations.get(client_sap)
        if association is None:
            raise LocalProtocolError(InformationReport.__name__, State.IDLE.name)
        return association.information_report(rows, current_time)

    def _association(self, client_sap: int) -> ServerAssociation | None:
        policy = self._device.associations.get(client_sap)
        if policy is None:
            return None
        association = ServerAssociation(self._device, policy, self._entropy, self._around)
        self._associations[client_sap] = association
        return association

    def state(self, client_sap: int) -> State:
        """Return how far the association of a client has come."""
        association = self._associations.get(client_sap)
        return association.state if association else State.IDLE

    def lost(self, client_sap: int | None = None) -> None:
        """Forget the association of a client whose link is gone; None for all of them."""
        if client_sap is None:
            self._associations.clear()
        else:
            self._associations.pop(client_sap, None)


def _unknown_client(apdu: bytes) -> bytes | None:
    if apdu[:1] != bytes((AARQ,)):
        return NOT_POSSIBLE
    return Rejected(AcseServiceUser.NO_REASON_GIVEN).aare(context_of(None))
