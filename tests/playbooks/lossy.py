# SPDX-License-Identifier: Apache-2.0
"""A link that loses and doubles APDUs by their number, with a client that has no patience."""

from collections import deque
from typing import TypeVar

from openami.cosem.client import Steps
from openami.dlms.conversation import drive
from playbooks.demo_meter import Link

T = TypeVar("T")


class Lossy:
    """Drives conversations of `link` over a line that is told what to do with each APDU."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.lost: range | frozenset[int] = frozenset()
        self.doubled: frozenset[int] = frozenset()
        self.crossed = 0

    def run(self, steps: Steps[T]) -> T:
        """Hold a conversation; after silence the client is told of it."""
        incoming: deque[bytes] = deque()

        def copies() -> int:
            number, self.crossed = self.crossed, self.crossed + 1
            return 0 if number in self.lost else 2 if number in self.doubled else 1

        def send(apdu: bytes) -> None:
            for _ in range(copies()):
                answer = self.link.server.receive(self.link.client_sap, apdu)
                while answer is not None:
                    incoming.extend([answer] * copies())
                    answer = self.link.server.following()

        return drive(steps, send, lambda: incoming.popleft() if incoming else None)
