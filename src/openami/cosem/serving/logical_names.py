# SPDX-License-Identifier: Apache-2.0
"""The services of an association that refers by logical name: which APDU is answered by what.

DLMS UA 1000-2 Ed. 10, 9.3.6 to 9.3.9.  The answers themselves are in `services` (GET), `writing`
(SET and ACTION), and `accessing` (ACCESS).
"""

from collections.abc import Callable
from typing import Final

from openami.cosem.classes.access_control import CURRENT_ASSOCIATION, AssociationLn
from openami.cosem.serving.accessing import AccessService
from openami.cosem.serving.faults import NOT_SUPPORTED, TOO_LONG
from openami.cosem.serving.reading import GetService
from openami.cosem.serving.referencing import Handler, Replied
from openami.cosem.serving.services import ServiceContext
from openami.cosem.serving.writing import ActionService, SetService
from openami.dlms.apdu.action import ActionRequestNormal, ActionResponseNormal
from openami.dlms.apdu.codes import ActionResult
from openami.dlms.apdu.initiate import Conformance
from openami.dlms.apdu.notification import DataNotificationConfirm

GET: Final = 0xC0
SET: Final = 0xC1
ACTION: Final = 0xC3
ACCESS: Final = 0xD9
CONFIRMED: Final = 0x40
"""Bit of the invoke-id-and-priority: an answer is wanted."""
INVOKE_ID_AT: Final = {GET: 2, SET: 2, ACTION: 2, ACCESS: 1}
"""Where that octet stands, or the first of the long one, by the tag of the request."""

Notified = Callable[[DataNotificationConfirm], None]

REPLY_TO_HLS: Final = (
    AssociationLn.class_id.to_bytes(2)
    + CURRENT_ASSOCIATION.encode()
    + bytes((AssociationLn.reply_to_hls_authentication.index,))
)


class LogicalNameServices:
    """Answers GET, SET, ACTION and ACCESS.

    Attributes:
        terms: What is fixed while the association lasts, and what is told of each request.
        handlers: What answers an APDU, by its tag.
        get: Answers GET.
        quick: Its hot path; see `GetService.quick`.
    """

    __slots__ = ("_access", "_action", "_notified", "_set", "get", "handlers", "quick", "terms")

    def __init__(self, terms: ServiceContext, notified: Notified | None = None) -> None:
        """Serve an association.

        Args:
            terms: Its own.
            notified: Learns of the client's confirmations of data notifications.
        """
        self.terms = terms
        self._notified = notified
        self.get = get = GetService(terms)
        self._set = SetService(terms)
        self._action = ActionService(terms)
        self._access = AccessService(terms)
        self.quick = get.quick
        self.handlers: dict[int, Handler] = {
            GET: get.answer,
            SET: self._answer_set,
            ACTION: self._answer_action,
            ACCESS: self._answer_access,
            DataNotificationConfirm.TAG: self._note_confirmation,
        }

    def is_confirmed(self, apdu: bytes) -> bool:
        """Tell whether a request wants an answer; what is no request of ours counts as one."""
        place = INVOKE_ID_AT.get(apdu[0] if apdu else -1)
        return place is None or bool(apdu[place : place + 1] and apdu[place] & CONFIRMED)

    @staticmethod
    def unknown(_apdu: bytes) -> bytes:
        """Answer what no handler knows."""
        return NOT_SUPPORTED

    def reply_to_hls(self, apdu: bytes) -> Replied | None:
        """Answer pass 3 of HLS; None where the APDU is anything else."""
        if apdu[:2] != b"\xc3\x01" or apdu[3:12] != REPLY_TO_HLS:
            return None
        ActionRequestNormal.decode(apdu)
        # Conformance was negotiated for the services that follow; the proof belongs to opening.
        negotiated = self.terms.conformance
        self.terms.conformance = negotiated | Conformance.ACTION
        response = ActionService(self.terms).answer(apdu)
        self.terms.conformance = negotiated
        if response[1] != ActionResponseNormal.CHOICE:  # blocks have no place before pass 4
            return Replied(TOO_LONG, accepted=False)
        accepted = response[3] == ActionResult.SUCCESS
        if accepted:
            self.terms.association_rights = self.terms.associated_rights
        return Replied(response, accepted)

    def _note_confirmation(self, apdu: bytes) -> None:
        self.terms.require(Conformance.DATA_NOTIFICATION)
        confirmation = DataNotificationConfirm.decode(apdu)
        if self._notified is not None:
            self._notified(confirmation)

    # Invoke-id-and-priority stands third in every request that was understood, second in ACCESS.

    def _answer_set(self, apdu: bytes) -> bytes | None:
        response = self._set.answer(apdu)
        return response if apdu[2] & CONFIRMED else None

    def _answer_action(self, apdu: bytes) -> bytes | None:
        response = self._action.answer(apdu)
        return response if apdu[2] & CONFIRMED else None

    def _answer_access(self, apdu: bytes) -> bytes | None:
        response = self._access.answer(apdu)
        if not apdu[1] & CONFIRMED:
            return None
        return response if self.terms.goes_whole(len(response), Conformance(0)) else TOO_LONG
