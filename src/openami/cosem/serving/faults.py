# SPDX-License-Identifier: Apache-2.0
"""What a server says to an APDU that it cannot serve (DLMS UA 1000-2 Ed. 10, 9.4.2.2).

All of these are exception-responses; a service that ran and failed answers in its own form.
"""

from typing import Final

from openami.dlms.apdu.faults import ExceptionResponse, ServiceError, StateError
from openami.dlms.errors import DecodeError, ReplayError, SecurityError


class NotNegotiated(Exception):  # noqa: N818  not a failure: it selects the exception-response
    """The client uses a service that conformance negotiation did not grant."""


def _exception(state: StateError, error: ServiceError, counter: int | None = None) -> bytes:
    return ExceptionResponse(
        state_error=state, service_error=error, invocation_counter=counter
    ).encode()


NOT_POSSIBLE: Final = _exception(
    StateError.SERVICE_NOT_ALLOWED, ServiceError.OPERATION_NOT_POSSIBLE
)
"""There is no association, or not yet, or none that allows it."""
NOT_SUPPORTED: Final = _exception(StateError.SERVICE_UNKNOWN, ServiceError.SERVICE_NOT_SUPPORTED)
MALFORMED: Final = _exception(StateError.SERVICE_NOT_ALLOWED, ServiceError.OTHER_REASON)
TOO_LONG: Final = _exception(StateError.SERVICE_NOT_ALLOWED, ServiceError.PDU_TOO_LONG)
NOT_DECIPHERED: Final = _exception(StateError.SERVICE_NOT_ALLOWED, ServiceError.DECIPHERING_ERROR)


def fault(error: DecodeError | SecurityError | NotNegotiated) -> bytes:
    """Return the exception-response to what could not be understood or accepted."""
    if isinstance(error, ReplayError):
        return _exception(
            StateError.SERVICE_NOT_ALLOWED, ServiceError.INVOCATION_COUNTER_ERROR, error.expected
        )
    if isinstance(error, SecurityError):
        return NOT_DECIPHERED
    return NOT_SUPPORTED if isinstance(error, NotNegotiated) else MALFORMED
