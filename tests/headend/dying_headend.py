# SPDX-License-Identifier: Apache-2.0
"""`python dying_headend.py HOME POINT`: a head-end that is killed at a point of its work.

`POINTS` names those of a key change, in the order in which a change passes them, and
`COMMAND_POINTS` those of a command.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from openami.exchange.commands import CommandState
from openami.headend import commands as work
from openami.headend.process import serve
from openami.runtime.logs import set_up_logs
from openami.store import commands, key_changes, keys
from openami.store.keys import KeyState
from openami.transport.session import DlmsSession

POINTS: Final = (
    "claimed",
    "prepared",
    "about to send",
    "recorded as sent",
    "on its way",
    "answered",
    "about to be proven",
    "proven",
    "about to end",
    "ended",
)


COMMAND_POINTS: Final = (
    "command about to be sent",
    "command recorded as sent",
    "command on its way",
    "command answered",
    "command about to be confirmed",
)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def always(*_: object) -> bool:
    return True


def sending(*args: object) -> bool:
    """Tell whether `keys.step` is to record that keys are sent."""
    return args[4] is KeyState.SENT


def command_sending(*args: object) -> bool:
    """Tell whether `commands.advance` is to record that a command is sent."""
    return args[3] is CommandState.SENT


def command_confirming(*args: object) -> bool:
    return args[3] is CommandState.CONFIRMED


Place = tuple[object, str, Callable[..., bool], bool]  # module, function, when, after it has run

PLACES: Final[Mapping[str, Place]] = {
    "claimed": (key_changes, "prepare", always, False),
    "prepared": (key_changes, "prepare", always, True),
    "about to send": (keys, "step", sending, False),
    "recorded as sent": (keys, "step", sending, True),
    "about to be proven": (keys, "prove", always, False),
    "proven": (keys, "prove", always, True),
    "about to end": (key_changes, "end", always, False),
    "ended": (key_changes, "end", always, True),
    "command about to be sent": (commands, "advance", command_sending, False),
    "command about to be confirmed": (commands, "advance", command_confirming, False),
}


def die_around(place: Place) -> None:
    module, name, when, after = place
    real = getattr(module, name)

    def dying(*args: Any, **also: Any) -> object:
        if when(*args) and not after:
            die()
        result = real(*args, **also)
        if when(*args):
            die()
        return result

    setattr(module, name, dying)


def die_in_transfer(point: str) -> None:
    """Die when the transfer was given to the network, or when its answer comes."""
    sent: list[int] = []
    step, feed, run = keys.step, DlmsSession.feed, DlmsSession._step

    def stepping(*args: Any) -> bool:
        done = step(*args)
        if sending(*args):
            sent.append(args[2])
        return done

    def feeding(session: DlmsSession, apdu: bytes) -> None:
        if sent and point == "answered":
            die()
        feed(session, apdu)

    def asking(session: DlmsSession, answer: bytes | None) -> None:
        run(session, answer)
        if sent and point == "on its way":
            die()

    keys.step = stepping  # type: ignore[assignment]
    DlmsSession.feed = feeding  # type: ignore[method-assign]
    DlmsSession._step = asking  # type: ignore[method-assign]


def die_in_command(point: str) -> None:
    """Die when a command is recorded as sent, given to the network, or answered."""
    begun: list[bool] = []
    send, feed, run = work._sent, DlmsSession.feed, DlmsSession._step

    async def sending(*args: Any) -> Any:
        begun.append(True)
        if point == "command recorded as sent":
            die()
        return await send(*args)

    def feeding(session: DlmsSession, apdu: bytes) -> None:
        if begun and point == "command answered":
            die()
        feed(session, apdu)

    def asking(session: DlmsSession, answer: bytes | None) -> None:
        run(session, answer)
        if begun and point == "command on its way":
            die()

    work._sent = sending
    DlmsSession.feed = feeding  # type: ignore[method-assign]
    DlmsSession._step = asking  # type: ignore[method-assign]


def main() -> None:
    home, point = Path(sys.argv[1]), sys.argv[2]
    set_up_logs(verbose=True)
    if point in PLACES:
        die_around(PLACES[point])
    elif point in COMMAND_POINTS:
        die_in_command(point)
    else:
        die_in_transfer(point)
    asyncio.run(serve(home, asyncio.Event()))


if __name__ == "__main__":
    main()
