# SPDX-License-Identifier: Apache-2.0
"""How DLMS/COSEM's protections and refusals cross the wall; both sides use this module.

Errors are turned by one table::

    ReplayError    ALREADY_EXISTS     the place is the counter that is expected
    SecurityError  INVALID_SIGNATURE  problem and place
    DecodeError    DATA_INVALID       the problem; the place is the offset
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from openami.device.secure.codec import Value
from openami.dlms.errors import DecodeError, ReplayError, SecurityError
from openami.dlms.security.counters import InvocationCounter
from openami.dlms.security.credentials import KeyScheme
from openami.dlms.security.envelopes import Envelope, Protection, Signature
from openami.dlms.security.suites import SecurityControl
from openami.psa.status import PsaError, Status

CLAUSE: Final = "DLMS UA 1000-2 Ed. 10, 9.2.7.2"
UNASKED: Final = Protection(SecurityControl(0), Envelope.NONE, b"", InvocationCounter(0), b"\xff")
"""Stands where an APDU is nobody's answer: no request has such a transaction-id without form."""

LENGTH_OCTETS: Final = 2
TRANSFERRED: Final = ("encryption", "authentication", "master")
"""Secrets that a key transfer may replace, in the order in which they travel."""


def told(protection: Protection) -> tuple[Value, ...]:
    """Return how an APDU arrived, as it travels."""
    return (
        int(protection.control),
        protection.envelope.value,
        protection.system_title,
        int(protection.invocation_counter),
        protection.transaction_id,
        protection.scheme.value,
        protection.signature.value,
    )


def heard(values: tuple[Value, ...]) -> Protection:
    """Return what `told` told.

    Raises:
        PsaError: INVALID_ARGUMENT, no such protection is known.
    """
    control, envelope, title, counter, transaction_id, scheme, signature = values
    try:
        return Protection(
            SecurityControl(control),  # type: ignore[arg-type]  # the table says what each is
            Envelope(envelope),
            title,  # type: ignore[arg-type]
            InvocationCounter(counter),  # type: ignore[arg-type]
            transaction_id,  # type: ignore[arg-type]
            KeyScheme(scheme),
            Signature(signature),
        )
    except ValueError as error:
        raise PsaError(Status.INVALID_ARGUMENT, str(error), "protection") from None


@contextmanager
def refusals() -> Iterator[None]:
    """Turn what DLMS/COSEM security refuses into what travels."""
    try:
        yield
    except ReplayError as error:
        raise PsaError(Status.ALREADY_EXISTS, error.problem, str(error.expected)) from None
    except SecurityError as error:
        raise PsaError(Status.INVALID_SIGNATURE, error.problem, error.place) from None
    except DecodeError as error:
        raise PsaError(Status.DATA_INVALID, error.problem, str(error.offset)) from None


@contextmanager
def refused(octets: bytes = b"") -> Iterator[None]:
    """Turn it back; anything else says that the secure world cannot do it now."""
    try:
        yield
    except PsaError as error:
        problem, place = error.problem, error.place
        match error.status:
            case Status.ALREADY_EXISTS:
                counter = "invocation counter"
                raise ReplayError(problem, counter, CLAUSE, int(place)) from None
            case Status.DATA_INVALID if place.isdecimal():
                raise DecodeError(problem, octets, int(place), CLAUSE) from None
            case _:
                raise SecurityError(problem, place, CLAUSE) from None


def joined(certificates: Iterable[bytes]) -> bytes:
    """Return certificates as they are kept and travel: each behind its length, big-endian."""
    return b"".join(len(each).to_bytes(LENGTH_OCTETS) + each for each in certificates)


def parted(octets: bytes) -> list[bytes]:
    """Return what `joined` joined."""
    found = []
    while octets:
        end = LENGTH_OCTETS + int.from_bytes(octets[:LENGTH_OCTETS])
        found.append(octets[LENGTH_OCTETS:end])
        octets = octets[end:]
    return found
