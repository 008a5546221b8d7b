# SPDX-License-Identifier: Apache-2.0
"""General block transfer at the server: long requests put together, long responses cut.

DLMS UA 1000-2 Ed. 10, 9.4.6.13.  The rules of the blocks are `dlms.block_transfer`.  A server has
no clock: it answers what comes, and a client that hears nothing asks again.
"""

from collections.abc import Callable
from typing import Final

from openami.cosem.serving.faults import MALFORMED
from openami.cosem.serving.services import LONGEST_RESPONSE_OCTETS, SMALLEST_ROOM_OCTETS
from openami.dlms.apdu.block import GeneralBlockTransfer
from openami.dlms.association import AssociationContext
from openami.dlms.block_transfer import BlockTransfer
from openami.dlms.errors import LocalProtocolError, RemoteProtocolError

LONGEST_REQUEST_OCTETS: Final = 2**17
"""How much a client may send in blocks."""


class ServerBlocks:
    """The transfer that goes on in one association, if any.

    Attributes:
        spoken: Whether the client has sent a block.  There are clients in the field that propose
            general block transfer and cannot do it: until one has shown that it can, an answer
            that can go in the blocks of its own service does.
    """

    __slots__ = ("_context", "_peer_window", "_transfer", "_window", "spoken")

    def __init__(self, context: AssociationContext, window: int) -> None:
        """Serve an association that negotiated general block transfer.

        Args:
            context: What was negotiated.
            window: How many blocks we take in one go.
        """
        self._context = context
        self._window = window
        self._peer_window = 1
        self._transfer: BlockTransfer | None = None
        self.spoken = False

    def room_octets(self, octets: int) -> int:
        """Return how long a plain answer may be where `octets` fit into one APDU.

        What can go in general blocks alone may be longer; see `ServiceContext.goes_whole`.
        """
        return LONGEST_RESPONSE_OCTETS if self.spoken else max(octets, SMALLEST_ROOM_OCTETS)

    def drop(self) -> None:
        """Give up what goes on: the client asks for something else."""
        self._transfer = None

    def begin(self, response: bytes) -> list[bytes]:
        """Return the first block of a response to a request that came in one piece."""
        self._transfer = transfer = self._new(awaits=False)
        try:
            transfer.offer(response)
        except LocalProtocolError:  # more blocks than numbers
            self._transfer = None
            return [MALFORMED]
        return transfer.burst()

    def take(self, octets: bytes, serve: Callable[[bytes], bytes | None]) -> list[bytes]:
        """Take a block of the client and return what to send.

        Args:
            octets: The block.
            serve: Answers the request that all blocks hold.

        Raises:
            DecodeError: It is no block.
        """
        block = GeneralBlockTransfer.decode(octets)
        self.spoken = True
        transfer = self._transfer
        if transfer is None or transfer.begins_anew(block):
            self._transfer = transfer = self._new()
        try:
            request = transfer.take(block)
            if request is not None:
                response = serve(request)
                if response is None:
                    transfer.end()
                else:
                    transfer.offer(response)
            self._peer_window = transfer.peer_window
            return transfer.burst()
        except (RemoteProtocolError, LocalProtocolError):
            self._transfer = None
            return [MALFORMED]

    def _new(self, *, awaits: bool = True) -> BlockTransfer:
        return BlockTransfer(
            peer_pdu_octets=self._context.max_send_pdu_octets,
            window=self._window,
            peer_window=self._peer_window,
            drives=False,
            awaits=awaits,
            max_apdu_octets=LONGEST_REQUEST_OCTETS,
        )
