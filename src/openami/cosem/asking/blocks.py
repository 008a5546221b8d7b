# SPDX-License-Identifier: Apache-2.0
"""General block transfer at the client, as conversations (DLMS UA 1000-2 Ed. 10, 9.4.6.13).

The rules of the blocks are `dlms.block_transfer`.  After silence the client asks again, so often
as that allows; who carries the conversation has the clock.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from openami.dlms.apdu.block import GeneralBlockTransfer, cut
from openami.dlms.apdu.unasked import TOLD_BY_TAG
from openami.dlms.block_transfer import BlockTransfer, data_octets
from openami.dlms.conversation import NOTHING, Conversation, OneWay

BLOCK: Final = bytes((GeneralBlockTransfer.TAG,))


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientBlocks:
    """How one association transfers blocks.

    Attributes:
        peer_pdu_octets: The longest APDU that the meter takes.
        window: How many blocks we take in one go.
        max_apdu_octets: A meter that sends more than this is stopped.
        unasked: Takes notifications that arrive between blocks.
    """

    peer_pdu_octets: int
    window: int
    max_apdu_octets: int
    unasked: Callable[[bytes], None]

    def send(self, apdu: bytes, *, answered: bool = True) -> Conversation[bytes]:
        """Send `apdu` in blocks and return what answers it, from blocks or in one piece.

        Without `answered` it is done when all has arrived; it returns `NOTHING` then.
        """
        transfer = self._new()
        transfer.offer(apdu)
        return (yield from self._carry(transfer, transfer.burst(), answered=answered))

    def unconfirmed(self, apdu: bytes) -> list[bytes]:
        """Return the blocks of an APDU that nobody acknowledges."""
        size = data_octets(self.peer_pdu_octets)
        return [block.encode() for block in cut(apdu, size)]

    def receive(self, first: bytes) -> Conversation[bytes]:
        """Return the APDU whose first block came in answer to one in one piece."""
        transfer = self._new()
        transfer.end()
        apdu = transfer.take(GeneralBlockTransfer.decode(first))
        if apdu is not None:
            yield from _farewell(transfer)
            return apdu
        return (yield from self._carry(transfer, transfer.burst()))

    def _new(self) -> BlockTransfer:
        return BlockTransfer(
            peer_pdu_octets=self.peer_pdu_octets,
            window=self.window,
            drives=True,
            max_apdu_octets=self.max_apdu_octets,
        )

    def _carry(
        self, transfer: BlockTransfer, blocks: list[bytes], *, answered: bool = True
    ) -> Conversation[bytes]:
        while True:
            for block in blocks[:-1]:
                yield OneWay(block)
            try:
                octets = yield blocks[-1] if blocks else NOTHING
                while octets[:1] in TOLD_BY_TAG:
                    self.unasked(octets)
                    octets = yield NOTHING
            except TimeoutError:
                blocks = transfer.again()
                if not blocks:
                    raise
                continue
            if octets[:1] != BLOCK:
                return octets  # an answer in one piece, such as an exception-response
            apdu = transfer.take(GeneralBlockTransfer.decode(octets))
            if apdu is not None:
                yield from _farewell(transfer)
                return apdu
            if not answered and transfer.has_arrived:
                return NOTHING
            blocks = transfer.burst()


def _farewell(transfer: BlockTransfer) -> Conversation[None]:
    """Acknowledge the last block, which nothing answers."""
    for block in transfer.burst():
        yield OneWay(block)
