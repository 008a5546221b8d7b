# SPDX-License-Identifier: Apache-2.0
"""A session of a link: frames sealed with AES-128-CCM, each with a counter of its own.

The nonce is made of a part that belongs to the direction and of the frame's counter, so that a
message that is sent again, with another acknowledgement, is sealed under another nonce.  A frame is
opened if its counter is above every counter that was opened before: neither a replayed frame nor
one that was overtaken is taken, and the layer above has it sent again.
"""

from dataclasses import dataclass, field, replace
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESCCM

from openami.device.frame import COUNTER_OCTETS, TAG_OCTETS, Frame

KEY_OCTETS: Final = 16
SALT_OCTETS: Final = 13 - COUNTER_OCTETS  # a nonce of CCM has 13 octets where lengths have two
MOST_FRAMES: Final = 2 ** (8 * COUNTER_OCTETS) - 1


@dataclass(frozen=True, slots=True)
class Direction:
    """What protects the frames of one direction."""

    key: bytes = field(repr=False)
    salt: bytes = field(repr=False)

    def nonce(self, counter: int) -> bytes:
        return self.salt + counter.to_bytes(COUNTER_OCTETS)


class Session:
    """One end's keys and counters of a session.

    Attributes:
        number: Names the session on the line; no secret, and nothing is trusted for it.
    """

    __slots__ = ("_in", "_open", "_out", "_received", "_seal", "_sent", "number")

    def __init__(self, number: int, sending: Direction, receiving: Direction) -> None:
        self.number = number
        self._out, self._seal = sending, AESCCM(sending.key, TAG_OCTETS)
        self._in, self._open = receiving, AESCCM(receiving.key, TAG_OCTETS)
        self._sent = self._received = 0

    def seal(self, kind: int, payload: bytes, *, sequence: int, ack: int) -> Frame:
        """Return a frame that only the peer can open, and once.

        Raises:
            OverflowError: All counters of the session are used, after 2**48 frames.
        """
        if self._sent == MOST_FRAMES:
            raise OverflowError("a session has 2**48 frames and no more: open another")
        self._sent += 1
        clear = Frame(
            kind=kind, session=self.number, counter=self._sent, sequence=sequence, ack=ack
        )
        sealed = self._seal.encrypt(self._out.nonce(self._sent), payload, clear.head)
        return replace(clear, payload=sealed)

    def open(self, frame: Frame) -> bytes | None:
        """Return what a frame says; None if it is not the peer's, or an old one."""
        if frame.counter <= self._received or len(frame.payload) < TAG_OCTETS:
            return None
        try:
            payload = self._open.decrypt(self._in.nonce(frame.counter), frame.payload, frame.head)
        except InvalidTag:
            return None
        self._received = frame.counter
        return payload
