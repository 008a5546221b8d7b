# SPDX-License-Identifier: Apache-2.0
"""Errors of the DLMS/COSEM protocol core.

Every error says what was refused, where, and by which clause::

    DlmsError
    ├── DecodeError                octets that break an encoding rule
    ├── ProtocolError              a sound APDU in a state that has no place for it
    │   ├── LocalProtocolError         our caller asked for it
    │   └── RemoteProtocolError        the peer sent it
    └── SecurityError              protection missing or wrong
        └── ReplayError                sound protection that was accepted before
"""

from dataclasses import dataclass, fields, is_dataclass


def in_octets(count: int) -> str:
    """Return ``1 octet`` or ``2 octets``, for the sentences of errors."""
    return "1 octet" if count == 1 else f"{count} octets"


class DlmsError(Exception):
    """Anything that the protocol core refuses."""

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        """Travel between processes however the error was built, by name or by position."""
        if not is_dataclass(self):
            return type(self), self.args
        return type(self), tuple(getattr(self, field.name) for field in fields(self))


@dataclass(eq=False)
class DecodeError(DlmsError):
    """Octets from the peer break an encoding rule.

    Attributes:
        problem: What is wrong, in the words of the standard.
        octets: The whole input.
        offset: Index in `octets` of the first octet that cannot be accepted.
        clause: The rule that is broken, as document and clause.
    """

    problem: str
    octets: bytes
    offset: int
    clause: str

    def __str__(self) -> str:
        near = self.octets[max(0, self.offset - 4) : self.offset + 4].hex(" ")
        place = f"octet {self.offset} of {len(self.octets)} [{near}]"
        return f"{self.problem}, at {place} ({self.clause})"


@dataclass(eq=False)
class ProtocolError(DlmsError):
    """A sound APDU in a state that has no place for it."""

    apdu: str
    state: str

    def __str__(self) -> str:
        return f"{self.apdu} has no place in state {self.state}"


class LocalProtocolError(ProtocolError):
    """Our own caller asked for it; nothing was sent."""


class RemoteProtocolError(ProtocolError):
    """The peer sent it; the association is to be aborted."""


@dataclass(eq=False)
class SecurityError(DlmsError):
    """Protection is missing, weaker than the policy asks, or wrong.

    Attributes:
        problem: What was refused; never shows a key.
        place: The APDU, association or key that it concerns.
        clause: The rule that refuses it, as document and clause.
    """

    problem: str
    place: str
    clause: str

    def __str__(self) -> str:
        return f"{self.problem}, at {self.place} ({self.clause})"


@dataclass(eq=False)
class ReplayError(SecurityError):
    """The invocation counter is not above the last one that was accepted.

    Attributes:
        expected: The lowest counter that is accepted next; an exception-response tells the peer.
    """

    expected: int = 0
