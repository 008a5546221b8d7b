# SPDX-License-Identifier: Apache-2.0
"""The contract between whoever makes a conversation of APDUs and whoever carries it.

A conversation is a generator.  As a rule it yields an APDU to send and is sent the one that
answers it.  Three things go beyond that:

* `OneWay`: the APDU is sent, nothing is waited for, and the conversation goes on at once; it is
  sent `NOTHING`.  Blocks that stream, and services without an answer, travel so.
* `NOTHING`, yielded: nothing is sent, and the next APDU that comes in is waited for.
* `TimeoutError`, thrown into the conversation: nothing came in time.  One that can repeat what was
  lost goes on; one that cannot lets the error through, and it is over.

`drive` holds a conversation where the answer comes at once.
"""

from collections.abc import Callable, Generator
from typing import Final, TypeAlias, TypeVar

T = TypeVar("T")

Conversation: TypeAlias = Generator[bytes, bytes, T]

NOTHING: Final = b""
"""No APDU: there is nothing to send, or nothing came."""


class OneWay(bytes):
    """An APDU that nothing answers."""

    __slots__ = ()


def one_ways(conversation: Conversation[T], request: bytes) -> tuple[list[bytes], bytes]:
    """Go on behind what is `OneWay`.

    Args:
        conversation: Has just yielded `request`.
        request: What it wants to send.

    Returns:
        The APDUs to send one after the other, and the one that is to be answered; `NOTHING` where
        an answer is waited for without being asked for.

    Raises:
        Ended: The conversation is over; what is still to be sent comes with it.
    """
    sent: list[bytes] = []
    while isinstance(request, OneWay):
        sent.append(request)
        try:
            request = conversation.send(NOTHING)
        except StopIteration as stop:
            raise Ended(sent, stop.value) from None
    return sent, request


class Ended(Exception):  # noqa: N818  no failure: a conversation ends so, as with StopIteration
    """A conversation is over, and its last APDUs are still to be sent."""

    def __init__(self, sent: list[bytes], value: object) -> None:
        super().__init__(sent, value)
        self.sent = sent
        self.value = value


def drive(
    conversation: Conversation[T],
    send: Callable[[bytes], None],
    receive: Callable[[], bytes | None],
) -> T:
    """Hold a conversation over something that answers at once, such as a server in memory.

    Args:
        conversation: The generator.
        send: Sends an APDU.
        receive: Returns the next APDU that came in; None where none will come.
    """
    try:
        request = next(conversation)
        while True:
            sent, request = one_ways(conversation, request)
            for apdu in sent:
                send(apdu)
            if request:
                send(request)
            answer = receive()
            if answer is None:
                request = conversation.throw(TimeoutError("no answer"))
            else:
                request = conversation.send(answer)
    except Ended as ended:
        for apdu in ended.sent:
            send(apdu)
        result: T = ended.value  # type: ignore[assignment]  # of the conversation, as by `return`
        return result
    except StopIteration as stop:
        returned: T = stop.value
        return returned
