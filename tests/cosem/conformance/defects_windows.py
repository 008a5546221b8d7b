# SPDX-License-Identifier: Apache-2.0
"""Broken windows and streaming of general block transfer."""

from dataclasses import replace
from typing import Any

from cosem.conformance.defects import Damage, Defect, asked, patched
from openami.dlms.apdu.block import GeneralBlockTransfer
from openami.dlms.block_transfer import BlockTransfer

BLOCK = b"\xe0"

_take, _block = BlockTransfer.take, BlockTransfer._block


def _twice_the_window(self: BlockTransfer, block: GeneralBlockTransfer) -> bytes | None:
    return _take(self, replace(block, window=2 * block.window))


def _never_streams(self: BlockTransfer, number: int, *, streaming: bool) -> bytes:
    del streaming
    return _block(self, number, streaming=False)


def _drops_what_streams(self: BlockTransfer, block: GeneralBlockTransfer) -> Any:
    return None if block.streaming else _take(self, block)


def _sees_no_gap(self: BlockTransfer, block: GeneralBlockTransfer) -> Any:
    number = self._received + 1 if block.block_data else block.block_number
    return _take(self, replace(block, block_number=number))


def _had_them_all(apdu: bytes) -> bytes:
    """The server sees an acknowledgement of all that it sent in one go: nothing is sent again."""
    if apdu[:1] != BLOCK:
        return apdu
    block = GeneralBlockTransfer.decode(apdu)
    return replace(block, block_number_ack=5).encode() if block.block_number_ack == 2 else apdu


def blocks(case: str, what: str, damage: Damage) -> Defect:
    return Defect(f"APPL_DATA_LN_GENERAL_BLOCKS_{case}", what, damage, "manager")


DEFECTS = (
    blocks("P4", "sends more than the window", patched(BlockTransfer, "take", _twice_the_window)),
    blocks("P4", "never says that it streams", patched(BlockTransfer, "_block", _never_streams)),
    blocks("P5", "sends no block again", asked(_had_them_all)),
    blocks("P6", "drops what streams", patched(BlockTransfer, "take", _drops_what_streams)),
    blocks("P7", "sees no gap", patched(BlockTransfer, "take", _sees_no_gap)),
)
