# SPDX-License-Identifier: Apache-2.0
"""The services of an association that refers by short name: which APDU is answered by what.

DLMS UA 1000-2 Ed. 10, 9.3.14 to 9.3.17.  The answers themselves are in `reading_names` and
`writing_names`.  A service that is wrong or not allowed is answered in its own form, as
data-access-error; only services that have no place among short names, such as GET, get a
ConfirmedServiceError.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final

from openami.cosem.device import AssociationPolicy, LogicalDevice
from openami.cosem.model import Attribute, Refused
from openami.cosem.rights import Exchange, readable
from openami.cosem.serving.faults import TOO_LONG
from openami.cosem.serving.opening import Opened
from openami.cosem.serving.own_association_sn import Actions, OwnAssociation
from openami.cosem.serving.reading_names import READ, ReadService
from openami.cosem.serving.referencing import Handler, Replied, unsupported_service
from openami.cosem.serving.short_name_terms import ShortNameTerms
from openami.cosem.serving.short_names import CURRENT_ASSOCIATION_NAME, STEP
from openami.cosem.serving.writing_names import UNCONFIRMED_WRITE, WRITE, WriteService
from openami.dlms import data as axdr_data
from openami.dlms.apdu.codes import DataAccessResult
from openami.dlms.apdu.initiate import Conformance
from openami.dlms.apdu.read import ReadRequest
from openami.dlms.apdu.variables import ParameterizedAccess, VariableName
from openami.dlms.apdu.write import InformationReport, WriteRequest
from openami.dlms.errors import DecodeError
from openami.dlms.obis import Obis

REPLY_TO_HLS_NAME: Final = CURRENT_ASSOCIATION_NAME + 0x58
"""Short name of reply_to_HLS_authentication, in every version of class 12."""

_SUCCESS: Final = 0
_RESULT_AT: Final = 2
"""Where the choice of the only result stands in a response."""


class ShortNameServices:
    """Answers Read, Write and UnconfirmedWrite.

    Attributes:
        terms: What is fixed while the association lasts, and what is told of each request.
        handlers: What answers an APDU, by its tag.
        unknown: What answers all others: a ConfirmedServiceError.
        quick: The hot path; see `ReadService.quick`.
    """

    __slots__ = ("_own", "_read", "_write", "handlers", "quick", "terms", "unknown")

    def __init__(
        self,
        device: LogicalDevice,
        policy: AssociationPolicy,
        opened: Opened,
        actions: Actions,
    ) -> None:
        """Serve one association.

        Args:
            device: Its objects get base names here, where they have none yet.
            policy: Of the client; it refers by short name.
            opened: What was negotiated.
            actions: What the association itself does.
        """
        names = policy.short_names
        if names is None:
            raise ValueError(f"client {policy.client_sap} refers by logical name")
        names.take(device)
        view, exchange = device.view(policy), Exchange()
        self._own = OwnAssociation(policy, names, view, exchange, actions)
        self.terms = ShortNameTerms(
            view=view,
            names=names,
            association=self._own.thing,
            association_rights=self._own.pending if opened.handshake else self._own.associated,
            conformance=Conformance(opened.context.conformance),
            room_octets=opened.context.max_send_pdu_octets,
            exchange=exchange,
        )
        self._read = ReadService(self.terms)
        self._write = WriteService(self.terms)
        self.quick = self._read.quick
        self.unknown: Handler = unsupported_service
        self.handlers: dict[int, Handler] = {
            READ: self._read.answer,
            WRITE: self._write.answer,
            UNCONFIRMED_WRITE: self._write.unconfirmed,
        }

    def is_confirmed(self, apdu: bytes) -> bool:
        """Tell whether a request wants an answer; all but UnconfirmedWrite do."""
        return apdu[:1] != bytes((UNCONFIRMED_WRITE,))

    def reply_to_hls(self, apdu: bytes) -> Replied | None:
        """Answer pass 3 of HLS; None where the APDU is anything else.

        A client reads the method with its proof as parameter, and is given ours; or writes the
        proof, and learns only that it was right.
        """
        try:
            handler = self._handler_of_reply(apdu)
        except DecodeError:
            return None
        if handler is None:
            return None
        # Conformance was negotiated for the services that follow; the proof belongs to opening.
        terms, negotiated = self.terms, self.terms.conformance
        terms.conformance = negotiated | Conformance.READ | Conformance.WRITE
        terms.conformance |= Conformance.PARAMETERIZED_ACCESS
        response = handler(apdu)
        terms.conformance = negotiated
        if response[1:2] != b"\x01" or response[_RESULT_AT] > 1:  # no blocks before pass 4
            return Replied(TOO_LONG, accepted=False)
        accepted = response[_RESULT_AT] == _SUCCESS
        if accepted:
            terms.association_rights = self._own.associated
        return Replied(response, accepted)

    def _handler_of_reply(self, apdu: bytes) -> Callable[[bytes], bytes] | None:
        if apdu[:1] == bytes((READ,)):
            match ReadRequest.decode(apdu).variables:
                case (ParameterizedAccess(name=name),) if name == REPLY_TO_HLS_NAME:
                    return self._read.answer
        elif apdu[:1] == bytes((WRITE,)):
            match WriteRequest.decode(apdu).variables:
                case (VariableName(name=name),) if name == REPLY_TO_HLS_NAME:
                    return self._write.answer
        return None

    def information_report(
        self, rows: Iterable[tuple[Attribute[Any], Obis]], current_time: bytes | None = None
    ) -> bytes:
        """Return the plain InformationReport of attributes that the client may read.

        Args:
            rows: Attributes and the objects that have them.
            current_time: GeneralizedTime as text.

        Raises:
            Refused: The client did not negotiate reports, or may not read one of the rows.
        """
        terms = self.terms
        terms.require(Conformance.INFORMATION_REPORT)
        variables, values = [], []
        for attribute, at in rows:
            if at not in terms.names:
                raise Refused(DataAccessResult.OBJECT_UNDEFINED)
            name = terms.names.base_name(at) + STEP * (attribute.index - 1)
            found = terms.find(name)
            read = readable(found.thing, found.rights, attribute.index, terms.exchange)
            variables.append(VariableName(name=name))
            values.append(axdr_data.decode(read()))
        return InformationReport(
            current_time=current_time, variables=tuple(variables), values=tuple(values)
        ).encode()
