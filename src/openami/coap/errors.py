# SPDX-License-Identifier: Apache-2.0
"""Errors of CoAP: what was refused, where, by which clause."""

from dataclasses import dataclass


class CoapError(Exception):
    """Anything that this room refuses."""


@dataclass(eq=False)
class MessageFormatError(CoapError):
    """Octets from the peer break a rule of the message format.

    Attributes:
        problem: What is wrong.
        octets: The whole datagram, or the value of the option.
        offset: Index of the first octet that cannot be accepted.
        clause: The rule that is broken.
    """

    problem: str
    octets: bytes
    offset: int
    clause: str = "RFC 7252, 3"

    def __str__(self) -> str:
        near = self.octets[max(0, self.offset - 4) : self.offset + 4].hex(" ")
        place = f"octet {self.offset} of {len(self.octets)} [{near}]"
        return f"{self.problem}, at {place} ({self.clause})"
