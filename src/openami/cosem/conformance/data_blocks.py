# SPDX-License-Identifier: Apache-2.0
"""Cases on general block transfer (DLMS UA 1000-2 Ed. 10, 9.4.6.13); ours, as the suites know none.

Blocks are asked for one at a time (window 1, no streaming), so that one APDU answers one;
`data_windows` asks for several.  Under
keys a whole protected APDU is cut.  What is held against a meter is the layout of a block, its
numbers, and that nothing is lost: not how many blocks it takes.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from openami.cosem.client import Client
from openami.cosem.conformance.answers import refused
from openami.cosem.conformance.case import Failed, Inconclusive, Need, Script
from openami.cosem.conformance.data_ln import (
    OBJECT_LIST,
    OWN_NAME,
    SHORT_PDU_OCTETS,
    data_case,
    short_pdu_octets,
)
from openami.cosem.conformance.trial import Trial, shown, understood
from openami.dlms.apdu.block import GeneralBlockTransfer
from openami.dlms.apdu.fields import AttributeDescriptor
from openami.dlms.apdu.get import GetRequestNormal, GetResponseNormal
from openami.dlms.apdu.initiate import Conformance
from openami.dlms.apdu.invocation import InvokeIdAndPriority
from openami.dlms.errors import DlmsError

GENERAL_BLOCKS: Final = "DLMS UA 1000-2 Ed. 10, 9.4.6.13"
MOST_BLOCKS: Final = 4_000
_ID: Final = InvokeIdAndPriority.of(6)
_WITHOUT: Final = Conformance.BLOCK_TRANSFER_WITH_GET_OR_READ
"""Blocks of the service itself: without them a long answer can come in general blocks alone."""


def opened_for_blocks(trial: Trial) -> Script[Client]:
    """Open the association for general blocks and short APDUs.

    Raises:
        Inconclusive: They are not negotiated.
    """
    client = yield from trial.opened(
        conformance=trial.aa.conformance & ~_WITHOUT, max_receive_pdu_octets=short_pdu_octets(trial)
    )
    if not client.context.conformance & Conformance.GENERAL_BLOCK_TRANSFER:
        raise Inconclusive("the meter declares general block transfer and does not negotiate it")
    return client


def protected(client: Client, row: AttributeDescriptor) -> bytes:
    """Return a GET as it travels in one piece."""
    request = GetRequestNormal(invoke_id_and_priority=_ID, attribute=row).encode()
    return request if client.channel is None else client.channel.protect(request)


def cut(apdu: bytes, size: int) -> Iterator[GeneralBlockTransfer]:
    """Yield the blocks of a request, each handing over the turn."""
    parts = [apdu[start : start + size] for start in range(0, len(apdu), size)]
    for number, part in enumerate(parts, 1):
        yield GeneralBlockTransfer(
            last_block=number == len(parts),
            streaming=False,
            window=1,
            block_number=number,
            block_data=part,
        )


def asked(trial: Trial, block: GeneralBlockTransfer) -> Script[GeneralBlockTransfer]:
    """Send a block and return the one that comes.

    Raises:
        Failed: Something else comes, or nothing, or it is longer than agreed.
    """
    answer = yield from trial.ask(block.encode())
    found = understood(answer)
    if not isinstance(found, GeneralBlockTransfer):
        said = f"block {block.block_number} with acknowledgement {block.block_number_ack}"
        raise Failed(f"{shown(answer)} came to {said}; the clause accepts a block")
    if answer is not None and len(answer) > short_pdu_octets(trial):
        raise Failed(f"a block of {len(answer)} octets came; {short_pdu_octets(trial)} were agreed")
    return found


def _rest(
    trial: Trial, client: Client, first: GeneralBlockTransfer, sent: int
) -> Script[tuple[GetResponseNormal, int]]:
    """Ask for the blocks behind the first; return the answer, and how many blocks it had."""
    octets, block = first.block_data, first
    for number in range(2, MOST_BLOCKS):
        if block.last_block:
            break
        acknowledgement = acknowledging(sent + number - 1, block.block_number)
        block = yield from asked(trial, acknowledgement)
        if block.block_number != number:
            raise Failed(f"block {block.block_number} came behind block {number - 1}")
        octets += block.block_data
    return answer_in(client, octets), block.block_number


def acknowledging(number: int, received: int, window: int = 1) -> GeneralBlockTransfer:
    """Return a block without data that hands over the turn."""
    return GeneralBlockTransfer(
        last_block=True,
        streaming=False,
        window=window,
        block_number=number,
        block_number_ack=received,
        block_data=b"",
    )


def answer_in(client: Client, octets: bytes) -> GetResponseNormal:
    """Return the response that blocks hold together.

    Raises:
        Failed: They hold something else.
    """
    try:
        plain = octets if client.channel is None else client.channel.unprotect(octets)[0]
    except DlmsError as error:
        raise Failed(f"what the blocks hold is not protected as agreed: {error}") from None
    found = understood(plain)
    if not isinstance(found, GetResponseNormal):
        raise Failed(f"the blocks hold {shown(plain)}; the clause accepts a get-response")
    return found


def alive(trial: Trial, client: Client) -> Script[None]:
    """Make sure that the association still works, in one piece each way: our client would cut."""
    answer_in(client, (yield from trial.ask(protected(client, OWN_NAME))) or b"")


def _long_answer(trial: Trial) -> Script[str | None]:
    client = yield from opened_for_blocks(trial)
    class_id, name, index = OBJECT_LIST
    row = AttributeDescriptor(class_id=class_id, instance_id=name, attribute_id=index)
    answer = yield from trial.ask(protected(client, row))
    first = understood(answer)
    if not isinstance(first, GeneralBlockTransfer):
        raise Failed(f"{shown(answer)} came to a GET of the object list; a block was due")
    if first.block_number != 1:
        raise Failed(f"the first block has number {first.block_number}")
    _, count = yield from _rest(trial, client, first, 0)
    yield from alive(trial, client)
    return f"{count} blocks"


def _long_request(trial: Trial) -> Script[str | None]:
    client = yield from opened_for_blocks(trial)
    blocks = list(cut(protected(client, OWN_NAME), 8))
    received = 0
    for block in blocks[:-1]:
        found = yield from asked(trial, replace(block, block_number_ack=received))
        received = found.block_number
        if found.block_data or found.block_number_ack != block.block_number:
            acknowledged = f"a block that acknowledges {found.block_number_ack}"
            raise Failed(f"{acknowledged} came to block {block.block_number} of {len(blocks)}")
    last = yield from trial.ask(replace(blocks[-1], block_number_ack=received).encode())
    found = understood(last)
    if isinstance(found, GeneralBlockTransfer):
        answer_in(client, found.block_data)
    elif last is None:
        raise Failed("silence came to the last block of a request")
    else:
        answer_in(client, last)
    return f"a request in {len(blocks)} blocks is answered"


def _lost_block(trial: Trial) -> Script[str | None]:
    client = yield from opened_for_blocks(trial)
    class_id, name, index = OBJECT_LIST
    row = AttributeDescriptor(class_id=class_id, instance_id=name, attribute_id=index)
    first = understood((yield from trial.ask(protected(client, row))))
    if not isinstance(first, GeneralBlockTransfer) or first.last_block:
        raise Inconclusive("the object list does not come in several blocks")
    second = yield from asked(trial, acknowledging(1, first.block_number))
    again = yield from asked(trial, acknowledging(2, first.block_number))
    if (again.block_number, again.block_data) != (second.block_number, second.block_data):
        raise Failed(
            f"block {again.block_number} came where block {second.block_number} was asked for again"
        )
    return f"block {again.block_number} came twice, the same octets"


def _never_sent(trial: Trial) -> Script[str | None]:
    client = yield from opened_for_blocks(trial)
    answer = yield from trial.ask(acknowledging(1, 9).encode())
    said = refused(answer, "an acknowledgement of blocks that were never sent", silence=True)
    yield from alive(trial, client)
    return said


NEEDS: Final = (Need.GENERAL_BLOCKS, Need.GET)

CASES: Final = (
    data_case(
        "GENERAL_BLOCKS_P1",
        "a long answer in general blocks",
        GENERAL_BLOCKS,
        f"AARQ for APDUs of {SHORT_PDU_OCTETS} octets; GET of the object list; an acknowledgement"
        " for each block",
        "blocks from 1 on, none longer than agreed, that hold a get-response",
        _long_answer,
        *NEEDS,
    ),
    data_case(
        "GENERAL_BLOCKS_P2",
        "a request in general blocks",
        GENERAL_BLOCKS,
        "GET in blocks of 8 octets",
        "an acknowledgement for each block but the last, and a get-response",
        _long_request,
        *NEEDS,
    ),
    data_case(
        "GENERAL_BLOCKS_P3",
        "a block that was lost",
        GENERAL_BLOCKS,
        "GET of the object list; the acknowledgement of block 1, twice",
        "block 2 twice, with the same octets",
        _lost_block,
        *NEEDS,
    ),
    data_case(
        "GENERAL_BLOCKS_N1",
        "blocks that were never sent",
        GENERAL_BLOCKS,
        "a block that acknowledges block 9; a read",
        "a refusal or silence, and the association goes on",
        _never_sent,
        *NEEDS,
    ),
)
