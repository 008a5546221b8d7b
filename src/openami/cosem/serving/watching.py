# SPDX-License-Identifier: Apache-2.0
"""What a server tells whoever keeps watch over its security.

DLMS UA 1000-2 Ed. 10, 9.2.7 asks that refused counters are reported as an event.  The server
answers the client in the words of the standard, which tell little on purpose; the watch is told
all of it.
"""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

from openami.dlms.errors import ReplayError, SecurityError


class SecurityIncident(Enum):
    """What was refused."""

    COUNTER_REFUSED = auto()
    """An invocation counter that was used before: a replay, or a client that lost its state."""
    NOT_DECIPHERED = auto()
    """Protection is missing, weaker than asked for, or wrong."""
    AUTHENTICATION_FAILED = auto()
    """A wrong password or secret, or a certificate that is not trusted."""
    USER_REFUSED = auto()
    """A user that is not on the list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityReport:
    """One incident.

    Attributes:
        incident: What was refused.
        client_sap: Who, as far as the address tells.
        detail: A sentence; it shows no key and no secret.
        expected_counter: With a refused counter, the lowest that is accepted.
        is_opening: Whether it was an AARQ, or pass 3 of HLS.
    """

    incident: SecurityIncident
    client_sap: int
    detail: str
    expected_counter: int | None = None
    is_opening: bool = False


class SecurityWatch(Protocol):
    """Who is told; a port that the device binds."""

    def report(self, report: SecurityReport) -> None:
        """Take note; what it raises reaches whoever handed the APDU to the server."""


def refusal(client_sap: int, error: SecurityError) -> SecurityReport:
    """Return the report on an APDU that its protection does not let in."""
    replayed = isinstance(error, ReplayError)
    return SecurityReport(
        incident=SecurityIncident.COUNTER_REFUSED if replayed else SecurityIncident.NOT_DECIPHERED,
        client_sap=client_sap,
        detail=str(error),
        expected_counter=error.expected if isinstance(error, ReplayError) else None,
    )
