# SPDX-License-Identifier: Apache-2.0
"""Broken general block transfer."""

from collections.abc import Callable
from dataclasses import replace

from cosem.conformance.defects import Damage, Defect, answering, asked
from openami.dlms.apdu.block import GeneralBlockTransfer

BLOCK = b"\xe0"


def _changed(change: Callable[[GeneralBlockTransfer], GeneralBlockTransfer]) -> Damage:
    """Change the blocks that the server sends."""
    return answering(
        lambda _, answer: (
            change(GeneralBlockTransfer.decode(answer)).encode() if answer[:1] == BLOCK else answer
        )
    )


def _always_acknowledged(apdu: bytes) -> bytes:
    """The server sees an acknowledgement of all that it can have sent: nothing is sent again."""
    if apdu[:1] != BLOCK:
        return apdu
    block = GeneralBlockTransfer.decode(apdu)
    if block.block_data or block.block_number_ack > 1:
        return apdu
    return replace(block, block_number_ack=block.block_number).encode()


def _takes_anything(request: bytes, answer: bytes) -> bytes:
    """What was never sent and is acknowledged gets a block all the same."""
    if request[:1] != BLOCK or GeneralBlockTransfer.decode(request).block_number_ack != 9:
        return answer
    return GeneralBlockTransfer(
        last_block=True, streaming=False, window=1, block_number=10, block_data=b""
    ).encode()


DEFECTS = tuple(
    Defect(f"APPL_DATA_LN_GENERAL_BLOCKS_{case}", what, damage, at)
    for at in ("public", "manager")
    for case, what, damage in (
        (
            "P1",
            f"counts blocks from 0 ({at})",
            _changed(lambda block: replace(block, block_number=block.block_number - 1)),
        ),
        (
            "P1",
            f"drops the last octet of each block ({at})",
            _changed(lambda block: replace(block, block_data=block.block_data[:-1])),
        ),
        (
            "P2",
            f"acknowledges no block ({at})",
            _changed(lambda block: replace(block, block_number_ack=0)),
        ),
        ("P3", f"sends no block again ({at})", asked(_always_acknowledged)),
        ("N1", f"takes any acknowledgement ({at})", answering(_takes_anything)),
    )
)
