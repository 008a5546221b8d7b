# SPDX-License-Identifier: Apache-2.0
"""When a service cannot be served at all: exception-response and confirmed service error.

DLMS UA 1000-2 Ed. 10, 9.4.2.2 and 9.5 (APDU tags D8 and 0E).  A service that ran and failed
answers with a data-access-result or an action-result instead.
"""

from dataclasses import dataclass
from typing import ClassVar, Final, Self

from openami.dlms.apdu.codes import ActionResult, Code, DataAccessResult
from openami.dlms.axdr import Reader

__all__ = [
    "ActionResult",
    "ConfirmedServiceError",
    "DataAccessResult",
    "ErrorCategory",
    "ExceptionResponse",
    "FailedService",
    "InitiateError",
    "ServiceError",
    "StateError",
]


class StateError(Code):
    """state-error of the exception-response."""

    SERVICE_NOT_ALLOWED = 1
    SERVICE_UNKNOWN = 2


class ServiceError(Code):
    """service-error of the exception-response."""

    OPERATION_NOT_POSSIBLE = 1
    SERVICE_NOT_SUPPORTED = 2
    OTHER_REASON = 3
    PDU_TOO_LONG = 4
    DECIPHERING_ERROR = 5
    INVOCATION_COUNTER_ERROR = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class ExceptionResponse:
    """The server cannot serve this APDU now: Exception-Response.

    ======  ===================  =====================================================
    octets  field                value
    ======  ===================  =====================================================
    1       tag                  D8
    1       state_error          1 service not allowed, 2 service unknown
    1       service_error        1 to 6
    0 or 4  invocation_counter   with 6: the counter that the server expects next
    ======  ===================  =====================================================

    Older editions know three octets only, also for 6.
    """

    TAG: ClassVar = 0xD8

    state_error: StateError
    service_error: ServiceError
    invocation_counter: int | None = None

    def encode(self) -> bytes:
        head = bytes((self.TAG, self.state_error, self.service_error))
        counter = self.invocation_counter
        return head if counter is None else head + counter.to_bytes(4)

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        reader = Reader(octets).expect(cls.TAG, "APDU tag")
        state_error = StateError(reader.unsigned(1, "state-error"))
        service_error = ServiceError(reader.unsigned(1, "service-error"))
        counter = None
        if service_error == ServiceError.INVOCATION_COUNTER_ERROR and reader.remaining:
            counter = reader.unsigned(4, "invocation-counter")
        reader.end()
        return cls(state_error=state_error, service_error=service_error, invocation_counter=counter)


class FailedService(Code):
    """Which service failed: the CHOICE of ConfirmedServiceError."""

    INITIATE = 1
    READ = 5
    WRITE = 6


class ErrorCategory(Code):
    """Which table the number is from: the CHOICE of ServiceError."""

    APPLICATION_REFERENCE = 0
    HARDWARE_RESOURCE = 1
    VDE_STATE_ERROR = 2
    SERVICE = 3
    DEFINITION = 4
    ACCESS = 5
    INITIATE = 6
    LOAD_DATA_SET = 7
    CHANGE_SCOPE = 8
    TASK = 9


class InitiateError(Code):
    """The numbers of `ErrorCategory.INITIATE`."""

    OTHER = 0
    DLMS_VERSION_TOO_LOW = 1
    INCOMPATIBLE_CONFORMANCE = 2
    PDU_SIZE_TOO_SHORT = 3
    REFUSED_BY_THE_VDE_HANDLER = 4


_NAMES: Final[dict[ErrorCategory, tuple[str, ...]]] = {
    ErrorCategory.APPLICATION_REFERENCE: (
        "other",
        "time-elapsed",
        "application-unreachable",
        "application-reference-invalid",
        "application-context-unsupported",
        "provider-communication-error",
        "deciphering-error",
    ),
    ErrorCategory.HARDWARE_RESOURCE: (
        "other",
        "memory-unavailable",
        "processor-resource-unavailable",
        "mass-storage-unavailable",
        "other-resource-unavailable",
    ),
    ErrorCategory.VDE_STATE_ERROR: (
        "other",
        "no-dlms-context",
        "loading-data-set",
        "status-nochange",
        "status-inoperable",
    ),
    ErrorCategory.SERVICE: ("other", "pdu-size", "service-unsupported"),
    ErrorCategory.DEFINITION: (
        "other",
        "object-undefined",
        "object-class-inconsistent",
        "object-attribute-inconsistent",
    ),
    ErrorCategory.ACCESS: (
        "other",
        "scope-of-access-violated",
        "object-access-violated",
        "hardware-fault",
        "object-unavailable",
    ),
    ErrorCategory.INITIATE: (
        "other",
        "dlms-version-too-low",
        "incompatible-conformance",
        "pdu-size-too-short",
        "refused-by-the-vde-handler",
    ),
    ErrorCategory.TASK: ("other", "no-remote-control", "ti-stopped", "ti-running", "ti-unusable"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmedServiceError:
    """A service failed before it could answer in its own form: ConfirmedServiceError.

    In an AARE it says why the xDLMS context was refused.

    ======  ==========  ========================================
    octets  field       value
    ======  ==========  ========================================
    1       tag         0E
    1       service     01 initiate, 05 read, 06 write
    1       category    which table
    1       number      which entry of it
    ======  ==========  ========================================
    """

    TAG: ClassVar = 0x0E

    service: FailedService
    category: ErrorCategory
    number: int

    @property
    def name(self) -> str:
        """The words of the standard for `number`."""
        names = _NAMES.get(self.category, ())
        return names[self.number] if self.number < len(names) else f"reserved-{self.number}"

    def encode(self) -> bytes:
        return bytes((self.TAG, self.service, self.category, self.number))

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        reader = Reader(octets).expect(cls.TAG, "APDU tag")
        apdu = cls(
            service=FailedService(reader.unsigned(1, "service")),
            category=ErrorCategory(reader.unsigned(1, "service-error category")),
            number=reader.unsigned(1, "service-error"),
        )
        reader.end()
        return apdu
