# SPDX-License-Identifier: Apache-2.0
"""An association with a meter for the time of one command, and how a person ends it early.

`run_with_meter` dials, associates, lets the command work, and releases whatever happens.  Where a
meter refuses our invocation counter and tells which one it expects, the work begins once more with
that: but never with one that was used, as whoever sits between us may tell what he likes, and not
once something was sent that changes the meter.

The first Ctrl-C sets `Work.stop`: long work looks at it between two requests and returns what it
has.  A meter that is silent meanwhile is waited for `PATIENCE_S` and no longer; the second Ctrl-C
ends at once.
"""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import click

from openami.cli.read_options import ReadOptions, refusal
from openami.cosem.asking.association import Steps
from openami.cosem.asking.base_names import BaseNames
from openami.cosem.classes.measurement import Data
from openami.cosem.client import ClientParameters
from openami.cosem.refusals import ExceptionResponseError
from openami.dlms.errors import DlmsError
from openami.dlms.obis import Obis
from openami.dlms.sap import PUBLIC_CLIENT
from openami.dlms.security.counters import EXHAUSTED, CounterBlock
from openami.runtime.errors import ExitCode, UserError
from openami.transport.client import OpenSession, open_session
from openami.transport.session import SessionTimeoutError
from openami.transport.tls import Secured
from openami.transport.url import ALL_SCHEMES, Url

T = TypeVar("T")

FRAME_COUNTER: Final = Obis(0, 0, 43, 1, 0, 255)
INTERRUPTED: Final = 130
"""Exit status after Ctrl-C, as shells have it."""


PATIENCE_S: Final = 1.0
"""How long what is under way may go on after Ctrl-C."""


class Stop:
    """Whether the person has asked to end.

    Attributes:
        asked: Whether Ctrl-C was typed.
        gave_up: Whether what was under way then took too long to be waited for.
        give_up: Ends it.
    """

    def __init__(self) -> None:
        self.asked = self.gave_up = False
        self.give_up: Callable[[], object] | None = None

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Take the first Ctrl-C as a wish; the next one interrupts."""
        loop = asyncio.get_running_loop()
        waiting: list[asyncio.TimerHandle] = []

        def end() -> None:
            if self.give_up is not None:
                self.gave_up = True
                self.give_up()

        def ask() -> None:
            self.asked = True
            loop.remove_signal_handler(signal.SIGINT)
            waiting.append(loop.call_later(PATIENCE_S, end))

        try:
            loop.add_signal_handler(signal.SIGINT, ask)
        except (NotImplementedError, RuntimeError, ValueError):  # not in the main thread
            yield
            return
        try:
            yield
        finally:
            loop.remove_signal_handler(signal.SIGINT)
            for each in waiting:
                each.cancel()


@dataclass(frozen=True, slots=True)
class Meter:
    """Where a meter is and how to be there."""

    url: Url
    options: ReadOptions
    secured: Secured | None
    parameters: ClientParameters

    @classmethod
    def gather(cls, url: str, given: dict[str, str | None], config: Path | None) -> "Meter":
        """Read what the command line and its files say.

        Raises:
            UserError: What cannot be used, with its place.
        """
        logging.getLogger("openami").addHandler(logging.NullHandler())  # refusals are sentences
        address = Url.parse(url, "the address", ALL_SCHEMES)
        options = ReadOptions.gather(given, config)
        if options.mode_e and address.scheme != "hdlc+serial":
            sentence = f"--mode-e opens an optical port at 300 baud, which {address} has not"
            remedy = "give it with hdlc+serial:// alone"
            raise UserError(f"{sentence}: {remedy}", ExitCode.ASKED_WRONGLY)
        secured = options.secured(address)
        own_title = secured.tls.own.title if secured else None
        return cls(address, options, secured, options.parameters(own_title))

    @property
    def client_name(self) -> str:
        """Who we are there, for sentences."""
        return f"client {self.parameters.client_sap}"


@dataclass(slots=True)
class Work:
    """What a command has in hand while the association stands.

    Attributes:
        changes: Set before the first request that changes the meter: from then on the work is not
            begun once more.
    """

    meter: Meter
    session: OpenSession
    stop: Stop = field(default_factory=Stop)
    changes: bool = False

    async def run(self, conversation: Steps[T]) -> T:
        """Hold a conversation."""
        return await self.session.run(conversation)

    def goes_on(self, error: Exception) -> bool:
        """Tell whether the next request can still be made after this refusal."""
        lost_count = (
            isinstance(error, ExceptionResponseError) and error.invocation_counter is not None
        )
        return self.session.session.is_open and self.session.wire.is_open and not lost_count


def run_with_meter(meter: Meter, work: Callable[[Work], Awaitable[T]]) -> T:
    """Associate, work, release.

    Raises:
        UserError: Nobody there, refused, or out of time; with the meter's address.
    """
    return asyncio.run(_run(meter, work))


async def with_meter(
    meter: Meter, work: Callable[[Work], Awaitable[T]], stop: Stop | None = None
) -> T:
    """Do the same inside a loop that runs already.

    Raises:
        UserError: As `run_with_meter`.
    """
    stop = stop or Stop()
    begun: list[Work] = []

    async def noted(each: Work) -> T:
        begun.append(each)
        return await work(each)

    try:
        counters = await first_counters(meter)
        try:
            return await _once(meter, noted, counters, stop)
        except ExceptionResponseError as error:
            told = error.invocation_counter
            if told is None or counters is None or any(each.changes for each in begun):
                raise
            if told < counters.following:  # it was used: two APDUs under it would give both away
                raise
            # The meter tells which counter it expects: one more attempt with that.
            return await _once(meter, work, CounterBlock(told, EXHAUSTED), stop)
    except DlmsError as error:
        raise refusal(meter.url, error, whole=meter.options.protects_fully) from error
    except SessionTimeoutError as error:
        raise UserError(f"{error} (--timeout)") from error


async def _run(meter: Meter, work: Callable[[Work], Awaitable[T]]) -> T:
    stop = Stop()
    opening = asyncio.create_task(with_meter(meter, work, stop))
    stop.give_up = opening.cancel
    try:
        with stop.listening():
            return await opening
    except (asyncio.CancelledError, UserError):
        if not stop.gave_up:
            raise
    click.echo(f"openami: {meter.url}: interrupted", err=True)
    raise click.exceptions.Exit(INTERRUPTED)


async def _once(
    meter: Meter,
    work: Callable[[Work], Awaitable[T]],
    counters: CounterBlock | None,
    stop: Stop,
) -> T:
    async with open_session(
        meter.url,
        meter.parameters,
        secured=meter.secured,
        counters=counters,
        timeout_s=meter.options.timeout,
        hdlc=meter.options.hdlc(),
        coap=meter.options.coap(),
        route=meter.options.gateway,
    ) as session:
        if stop.give_up is not None:  # what was read so far is kept by who reads
            stop.give_up = partial(session.session.detach, "interrupted")
        return await work(Work(meter, session, stop))


async def first_counters(meter: Meter) -> CounterBlock | None:
    """Return our invocation counters: as told, or as the meter tells its public client."""
    if meter.parameters.cipher is None:
        return None
    if meter.options.counter is not None:
        return CounterBlock(meter.options.counter, EXHAUSTED)
    public = ClientParameters(
        client_sap=PUBLIC_CLIENT,
        server_sap=meter.parameters.server_sap,
        short_names=BaseNames() if meter.options.short_names else None,
        conformance=meter.parameters.conformance,
        block_window=meter.parameters.block_window,
        max_receive_pdu_octets=meter.parameters.max_receive_pdu_octets,
    )
    first = 1
    try:
        async with open_session(
            meter.url,
            public,
            secured=meter.secured,
            timeout_s=meter.options.timeout,
            hdlc=meter.options.hdlc(),
            coap=replace(meter.options.coap(), client_sap=PUBLIC_CLIENT),
            route=meter.options.gateway,
        ) as session:
            value = await session.run(session.client.get(Data.value, at=FRAME_COUNTER))
            if isinstance(value, int) and 0 <= value < EXHAUSTED:
                first = int(value) + 1
    except (DlmsError, SessionTimeoutError):
        pass  # a meter that keeps it to itself may still tell it when it refuses ours
    return CounterBlock(first, EXHAUSTED)
