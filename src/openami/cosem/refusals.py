# SPDX-License-Identifier: Apache-2.0
"""What a meter refused, as a client tells it: which object, which row, why, and what helps."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from openami.dlms.apdu.acse import (
    AcseServiceUser,
    AssociationResult,
    Diagnostic,
    ReleaseResponseReason,
)
from openami.dlms.apdu.codes import ActionResult, DataAccessResult
from openami.dlms.apdu.faults import ConfirmedServiceError, ServiceError, StateError
from openami.dlms.apdu.initiate import Conformance
from openami.dlms.errors import DlmsError

Result = DataAccessResult | ActionResult

_REMEDIES: Final[Mapping[int, str]] = {
    DataAccessResult.TEMPORARY_FAILURE: "ask again later",
    DataAccessResult.READ_WRITE_DENIED: "this client may not; associate as one that may",
    DataAccessResult.OBJECT_UNDEFINED: "read the object list to see what this client can reach",
    DataAccessResult.OBJECT_CLASS_INCONSISTENT: "read the object list for the object's class",
    DataAccessResult.TYPE_UNMATCHED: "give the value the type that the class declares",
    DataAccessResult.SCOPE_OF_ACCESS_VIOLATED: "ask for columns and a selector that the object has",
}

_GIVING_REMEDIES: Final[Mapping[int, str]] = {
    DataAccessResult.OBJECT_UNDEFINED: (
        "the object, or what the value names (a script, an entry), is not there"
    ),
    DataAccessResult.SCOPE_OF_ACCESS_VIOLATED: "the value is outside of what the object takes",
}
"""What is otherwise where a value or an argument is given."""

_DIAGNOSES: Final[Mapping[Diagnostic, str]] = {
    AcseServiceUser.NO_REASON_GIVEN: "check that the meter knows this client SAP",
    AcseServiceUser.APPLICATION_CONTEXT_NAME_NOT_SUPPORTED: (
        "give keys if the meter ciphers for this client, or leave them out if it does not"
    ),
    AcseServiceUser.CALLING_AP_TITLE_NOT_RECOGNIZED: "check the client's system title",
    AcseServiceUser.CALLING_AE_INVOCATION_IDENTIFIER_NOT_RECOGNIZED: (
        "give the id of a user that is on the meter's list"
    ),
    AcseServiceUser.AUTHENTICATION_MECHANISM_NAME_NOT_RECOGNISED: (
        "check which authentication mechanism this client is to use"
    ),
    AcseServiceUser.AUTHENTICATION_MECHANISM_NAME_REQUIRED: (
        "this client must name an authentication mechanism"
    ),
    AcseServiceUser.AUTHENTICATION_FAILURE: "check the password or secret",
    AcseServiceUser.AUTHENTICATION_REQUIRED: "this client must authenticate",
}


@dataclass(eq=False)
class AccessError(DlmsError):
    """The meter refused to read, write or invoke.

    Attributes:
        service: ``read``, ``write`` or ``invoke``.
        what: The row and its object, as class, index and logical name.
        result: The meter's reason.
    """

    service: str
    what: str
    result: Result

    def __str__(self) -> str:
        giving = {} if self.service == "read" else _GIVING_REMEDIES
        remedy = giving.get(self.result) or _REMEDIES.get(self.result)
        reason = f"{self.result}; {remedy}" if remedy else str(self.result)
        return f"the meter refuses to {self.service} {self.what}: {reason}"


@dataclass(eq=False)
class NoShortNameError(AccessError):
    """The meter lists no short name for what is asked, or nobody knows where a method stands."""

    def __str__(self) -> str:
        return (
            f"{self.what} has no short name that is known: read the object list to see what this"
            " client can reach"
        )


@dataclass(eq=False)
class ServiceRefusedError(DlmsError):
    """The meter answered with a ConfirmedServiceError, as meters with short names do.

    Attributes:
        request: What was asked.
        error: Which service failed, and why.
    """

    request: str
    error: ConfirmedServiceError

    def __str__(self) -> str:
        category = self.error.category.name.lower().replace("_", "-")
        return f"the meter refuses {self.request}: {category}, {self.error.name}"


@dataclass(eq=False)
class AssociationError(DlmsError):
    """The meter refused to associate.

    Attributes:
        result: Permanent or transient.
        diagnostic: What the meter found.
        error: Why the xDLMS context was refused, where that was the reason.
    """

    result: AssociationResult
    diagnostic: Diagnostic
    error: ConfirmedServiceError | None = None

    def __str__(self) -> str:
        words = [str(self.diagnostic)]
        if self.error is not None:
            words.append(self.error.name)
        if self.error is not None and self.error.name == "deciphering-error":
            words.append("check the keys and both system titles")
        elif (remedy := _DIAGNOSES.get(self.diagnostic)) is not None:
            words.append(remedy)
        return f"the meter refuses the association ({self.result}): {'; '.join(words)}"


@dataclass(eq=False)
class AuthenticationError(DlmsError):
    """The meter did not accept our proof in pass 3 of HLS."""

    result: ActionResult

    def __str__(self) -> str:
        return (
            f"the meter refuses our proof of the key ({self.result}): "
            "check the keys or the secret, and both system titles"
        )


@dataclass(eq=False)
class ExceptionResponseError(DlmsError):
    """The meter answered with an exception-response.

    Attributes:
        request: What was asked.
        state_error: Whether the service is not allowed now, or unknown.
        service_error: Why.
        invocation_counter: The counter that the meter expects next, where it tells.
    """

    request: str
    state_error: StateError
    service_error: ServiceError
    invocation_counter: int | None = None

    def __str__(self) -> str:
        reason = f"{self.state_error}, {self.service_error}"
        if self.service_error == ServiceError.INVOCATION_COUNTER_ERROR:
            told = self.invocation_counter
            least = "a higher one" if told is None else f"{told} or more"
            reason = f"{reason}; send an invocation counter of {least}"
        elif self.service_error == ServiceError.DECIPHERING_ERROR:
            reason = f"{reason}; check the keys and both system titles"
        return f"the meter refuses {self.request}: {reason}"


@dataclass(eq=False)
class UnexpectedAnswerError(DlmsError):
    """The meter answered with something that does not belong to the request."""

    request: str
    problem: str

    def __str__(self) -> str:
        return f"the answer to {self.request} is wrong: {self.problem}"


@dataclass(eq=False)
class ReleaseRefusedError(DlmsError):
    """The meter does not release the association, which goes on."""

    reason: ReleaseResponseReason

    def __str__(self) -> str:
        remedy = "release with the protection that the association has, or close the connection"
        return f"the meter does not release the association ({self.reason}): {remedy}"


@dataclass(eq=False)
class NotNegotiatedError(DlmsError):
    """A request needs what this association did not negotiate; nothing was sent."""

    request: str
    missing: Conformance

    def __str__(self) -> str:
        names = [bit.name or "" for bit in Conformance if bit & self.missing]
        words = " and ".join(name.lower().replace("_", "-") for name in names)
        remedy = "propose it when associating; what the meter then does not grant, it cannot do"
        return f"nothing was sent: {self.request} needs {words}, not negotiated here; {remedy}"


@dataclass(eq=False)
class TooLongError(DlmsError):
    """A request is longer than what the meter takes; nothing was sent."""

    request: str
    octets: int
    room_octets: int

    def __str__(self) -> str:
        remedy = "ask for less at a time, or propose block transfer when associating"
        return (
            f"nothing was sent: {self.request} has {self.octets} octets and the meter takes"
            f" {self.room_octets}; {remedy}"
        )
