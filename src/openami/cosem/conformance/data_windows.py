# SPDX-License-Identifier: Apache-2.0
"""Cases on general block transfer with windows and streaming (DLMS UA 1000-2 Ed. 10, 9.4.6.13).

Ours, as the suites know none.  Several blocks go in one direction before the turn changes: each but
the last says that it streams.  A meter may send fewer than we take, and never more.
"""

from dataclasses import dataclass, replace
from typing import Final

from openami.cosem.client import Client
from openami.cosem.conformance.case import Failed, Hear, Inconclusive, Script, Send
from openami.cosem.conformance.data_blocks import (
    GENERAL_BLOCKS,
    MOST_BLOCKS,
    NEEDS,
    acknowledging,
    alive,
    answer_in,
    asked,
    cut,
    opened_for_blocks,
    protected,
)
from openami.cosem.conformance.data_ln import OBJECT_LIST, OWN_NAME, SHORT_PDU_OCTETS, data_case
from openami.cosem.conformance.trial import Trial, shown, understood
from openami.dlms.apdu.block import GeneralBlockTransfer
from openami.dlms.apdu.fields import AttributeDescriptor

WINDOW: Final = 4
_REQUEST_BLOCK_OCTETS: Final = 4


def _burst(first: GeneralBlockTransfer, window: int) -> Script[list[GeneralBlockTransfer]]:
    """Return a block and those that stream behind it.

    Raises:
        Failed: More come than were asked for, or one behind a block that hands over the turn.
    """
    blocks = [first]
    while blocks[-1].streaming:
        octets = yield Hear()
        found = understood(octets)
        if not isinstance(found, GeneralBlockTransfer):
            raise Failed(
                f"{shown(octets)} came behind block {blocks[-1].block_number}, which streams"
            )
        if found.block_number != blocks[-1].block_number + 1:
            raise Failed(f"block {found.block_number} came behind block {blocks[-1].block_number}")
        blocks.append(found)
        if len(blocks) > window:
            raise Failed(f"more than {window} blocks came in one go, which is the window")
    return blocks


def _first(trial: Trial, client: Client) -> Script[GeneralBlockTransfer]:
    class_id, name, index = OBJECT_LIST
    row = AttributeDescriptor(class_id=class_id, instance_id=name, attribute_id=index)
    answer = yield from trial.ask(protected(client, row))
    found = understood(answer)
    if not isinstance(found, GeneralBlockTransfer) or found.last_block:
        raise Inconclusive("the object list does not come in several blocks")
    return found


def _windows(trial: Trial) -> Script[str | None]:
    client = yield from opened_for_blocks(trial)
    first = yield from _first(trial, client)
    blocks = [first]
    most = 1
    for number in range(1, MOST_BLOCKS):
        if blocks[-1].last_block:
            break
        received = blocks[-1].block_number
        follows = yield from asked(trial, acknowledging(number, received, WINDOW))
        if follows.block_number != received + 1:
            raise Failed(f"block {follows.block_number} came behind block {received}")
        burst = yield from _burst(follows, WINDOW)
        if number == 1 and (extra := (yield Hear())) is not None:
            raise Failed(f"{shown(extra)} came behind a block that handed over the turn")
        most = max(most, len(burst))
        blocks += burst
    answer_in(client, b"".join(each.block_data for each in blocks))
    yield from alive(trial, client)
    return f"{len(blocks)} blocks, {most} in one go at most"


def _lost_in_window(trial: Trial) -> Script[str | None]:
    client = yield from opened_for_blocks(trial)
    first = yield from _first(trial, client)
    follows = yield from asked(trial, acknowledging(1, first.block_number, WINDOW))
    burst = yield from _burst(follows, WINDOW)
    if len(burst) < 2:
        raise Inconclusive("the meter sends one block at a time")
    again = yield from asked(trial, acknowledging(2, burst[0].block_number, WINDOW))
    sent = burst[1]
    if (again.block_number, again.block_data) != (sent.block_number, sent.block_data):
        raise Failed(
            f"block {again.block_number} came where block {sent.block_number} was asked for again"
        )
    return f"block {again.block_number} came again, the same octets"


@dataclass(slots=True)
class _Request:
    """A request in blocks, of which the first was sent.

    Attributes:
        blocks: All of them.
        window: How many the meter takes in one go.
        received: Number of the last block that came from the meter.
    """

    trial: Trial
    client: Client
    blocks: list[GeneralBlockTransfer]
    window: int
    received: int

    def send(self, *numbers: int) -> Script[GeneralBlockTransfer | None]:
        """Send blocks in one go, each but the last streaming; return the block that comes.

        Another answer than a block is the whole response: None is returned, and it is held to.
        """
        blocks = [
            replace(
                self.blocks[number - 1],
                streaming=number != numbers[-1],
                block_number_ack=self.received,
            )
            for number in numbers
        ]
        for block in blocks[:-1]:
            yield Send(block.encode())
        answer = yield from self.trial.ask(blocks[-1].encode())
        found = understood(answer)
        if not isinstance(found, GeneralBlockTransfer):
            answer_in(self.client, answer or b"")
            return None
        self.received = max(self.received, found.block_number)
        if found.block_data:
            answer_in(self.client, found.block_data)
        return found


def _begun(trial: Trial) -> Script[_Request]:
    """Send the first block of a request."""
    client = yield from opened_for_blocks(trial)
    blocks = list(cut(protected(client, OWN_NAME), _REQUEST_BLOCK_OCTETS))
    found = yield from asked(trial, blocks[0])
    if found.block_number_ack != 1:
        raise Failed(f"a block that acknowledges {found.block_number_ack} came to block 1")
    return _Request(trial, client, blocks, max(found.window, 1), found.block_number)


def _streamed_request(trial: Trial) -> Script[str | None]:
    request = yield from _begun(trial)
    yield from _rest(request, 2)
    return f"{len(request.blocks)} blocks, {request.window} in one go"


def _rest(request: _Request, start: int) -> Script[None]:
    """Send all blocks from one on, and hold the meter to its answer."""
    count = len(request.blocks)
    for number in range(start, count + 1, request.window):
        end = min(number + request.window, count + 1)
        found = yield from request.send(*range(number, end))
        if found is not None and found.block_number_ack != end - 1:
            said = f"a block that acknowledges {found.block_number_ack}"
            raise Failed(f"{said} came to blocks {number} to {end - 1} of {count}")
        if found is not None and end > count and not found.block_data:
            raise Failed(f"no data came to the last of {count} blocks")
        if found is None and end <= count:
            raise Failed(f"the answer came to block {end - 1} of {count}")


def _gap(trial: Trial) -> Script[str | None]:
    request = yield from _begun(trial)
    count = len(request.blocks)
    if request.window < 2 or count < 4:
        raise Inconclusive(f"the meter takes {request.window} blocks in one go: none can be lost")
    found = yield from request.send(2, 4)
    if found is None or found.block_number_ack != 2:
        said = "the answer" if found is None else f"acknowledgement {found.block_number_ack}"
        raise Failed(f"{said} came to blocks 2 and 4; an acknowledgement of 2 is due")
    yield from _rest(request, 3)
    return f"block 3 of {count} was asked for, and the request answered"


CASES: Final = (
    data_case(
        "GENERAL_BLOCKS_P4",
        "several blocks in one go",
        GENERAL_BLOCKS,
        f"AARQ for APDUs of {SHORT_PDU_OCTETS} octets; GET of the object list; acknowledgements"
        f" with window {WINDOW}",
        f"up to {WINDOW} blocks each time, all but the last of them streaming; a get-response",
        _windows,
        *NEEDS,
    ),
    data_case(
        "GENERAL_BLOCKS_P5",
        "a block that was lost among several",
        GENERAL_BLOCKS,
        f"GET of the object list; an acknowledgement with window {WINDOW}; one of the first block "
        "that came",
        "the second block again, with the same octets",
        _lost_in_window,
        *NEEDS,
    ),
    data_case(
        "GENERAL_BLOCKS_P6",
        "a request that streams",
        GENERAL_BLOCKS,
        f"GET in blocks of {_REQUEST_BLOCK_OCTETS} octets, as many in one go as the meter takes",
        "one acknowledgement for each go, and a get-response",
        _streamed_request,
        *NEEDS,
    ),
    data_case(
        "GENERAL_BLOCKS_P7",
        "a request that streams and loses a block",
        GENERAL_BLOCKS,
        "GET in blocks; blocks 2 and 4 in one go; block 3 and all behind it",
        "an acknowledgement of block 2; a get-response",
        _gap,
        *NEEDS,
    ),
)
