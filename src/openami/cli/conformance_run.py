# SPDX-License-Identifier: Apache-2.0
"""Running conformance cases at a real meter: the asks of their scripts, answered by its lines."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, Final

from openami.cli.conformance_profile import Profile
from openami.cli.conformance_pushes import PushEar
from openami.cli.connecting import Stop
from openami.cosem.classes.measurement import Data
from openami.cosem.conformance.case import (
    Ask,
    Beside,
    Confirm,
    Connect,
    Exchange,
    Failed,
    Hangup,
    Hear,
    Inconclusive,
    Line,
    LineLost,
    Pushed,
    Script,
    Send,
    Wait,
)
from openami.cosem.conformance.declaration import DeclaredAssociation
from openami.cosem.conformance.runner import Result, Stopped, attempt
from openami.cosem.conformance.suite import Planned
from openami.cosem.conformance.trial import Trial
from openami.cosem.refusals import ExceptionResponseError
from openami.dlms.errors import DlmsError
from openami.dlms.hdlc.frame import Frame
from openami.dlms.hdlc.link import LinkTimings
from openami.dlms.hdlc.parameters import LinkParameters
from openami.dlms.hdlc.reader import FrameReader
from openami.dlms.obis import Obis
from openami.dlms.security.counters import EXHAUSTED
from openami.transport.hdlc import HdlcSettings
from openami.transport.hdlcpoint import BITS_PER_OCTET
from openami.transport.testline import ApduLine, OctetLine
from openami.transport.tls import Secured
from openami.transport.url import Scheme, Url
from openami.transport.wire import WireError

ONE_LINE: Final[frozenset[Scheme]] = frozenset({"hdlc+serial", "hdlc+tcp"})


def is_over(heard: bytes) -> bool:
    """Tell whether the last frame that came gives the word back."""
    frames = FrameReader().feed(heard)
    return bool(frames) and isinstance(frames[-1], Frame) and frames[-1].control.poll_final


def hdlc_settings(profile: Profile) -> HdlcSettings:
    """Return how the cases above the data link speak HDLC."""
    link = profile.declaration.link
    if link is None:
        return HdlcSettings()
    return HdlcSettings(
        physical=link.physical,
        address_octets=link.address_octets,
        parameters=LinkParameters.symmetric(link.max_information_octets, link.window),
        timings=LinkTimings(
            response_s=profile.patience.response_s, octet_s=BITS_PER_OCTET / profile.baud
        ),
        baud=profile.baud,
    )


class Bench:
    """A meter and the two lines to it, of which one is open at a time.

    A second connection, where a case wants one, stands beside the first.
    """

    def __init__(self, url: Url, profile: Profile, secured: Secured | None = None) -> None:
        self._octets = OctetLine(url, baud=profile.baud, patience=profile.patience, over=is_over)
        self._hears_octets = False
        self._pushes = PushEar(profile.push_listen, profile.baud)
        self._url = url
        self._apdus, self._beside = (
            ApduLine(
                url,
                profile.declaration.server_sap,
                patience=profile.patience,
                secured=secured,
                hdlc=hdlc_settings(profile),
            )
            for _ in range(2)
        )

    async def answer(self, ask: Ask) -> bytes | None:
        """Do what a script asks for.

        Raises:
            LineLost: The meter cannot be reached.
        """
        try:
            match ask:
                case Exchange() | Send() | Hear() | Beside():
                    return await self._exchange(ask)
                case Connect(client_sap):
                    self._leave_octets()
                    await self._beside.hang_up()
                    await self._apdus.connect(client_sap)
                case Hangup():
                    await self._apdus.hang_up()
                case Line(octets):
                    if not self._hears_octets:
                        await self._apdus.hang_up()
                        await self._octets.open()
                        self._hears_octets = True
                    return await self._octets.exchange(octets)
                case Wait(seconds):
                    await asyncio.sleep(seconds)
                case Pushed(seconds, framed):
                    return await self._pushes.next(seconds, framed=framed)
                case Confirm(apdu):
                    self._pushes.answer(apdu)
        except WireError as error:
            self._leave_octets()
            raise LineLost(str(error)) from error
        return None

    async def _second(self, ask: Connect | Hangup | Exchange) -> bytes | None:
        if self._url.scheme in ONE_LINE:
            raise LineLost("HDLC_CLIENTS_P puts two clients on the one line that there is")
        match ask:
            case Connect(client_sap):
                await self._beside.connect(client_sap)
            case Hangup():
                await self._beside.hang_up()
            case Exchange(apdu):
                return await self._beside.exchange(apdu)
        return None

    async def _exchange(self, ask: Exchange | Send | Hear | Beside) -> bytes | None:
        match ask:
            case Beside(inner):
                return await self._second(inner)
            case Exchange(apdu):
                return await self._apdus.exchange(apdu)
            case Send(apdu):
                self._apdus.send(apdu)
                return None
            case Hear():
                return await self._apdus.hear()

    async def close(self) -> None:
        """Hang up."""
        self._leave_octets()
        await self._beside.hang_up()
        await self._apdus.hang_up()
        await self._pushes.close()

    async def open(self) -> None:
        """Listen for pushes, if the declaration says where.

        Raises:
            UserError: The port is taken.
        """
        await self._pushes.open()

    def _leave_octets(self) -> None:
        self._octets.close()
        self._hears_octets = False


async def drive(bench: Bench, script: Any, stop: Stop) -> Any:  # noqa: ANN401  Script[T] and its T
    """Run a script to its end; when the person asks to stop, `Stopped` is thrown into it once."""
    told = False
    try:
        ask = next(script)
        while True:
            if stop.asked and not told:
                told = True
                ask = script.throw(Stopped())
            try:
                answer = await bench.answer(ask)
            except LineLost as lost:
                ask = script.throw(lost)
            else:
                ask = script.send(answer)
    except StopIteration as end:
        return end.value


async def run(
    bench: Bench, profile: Profile, planned: Iterable[Planned], stop: Stop
) -> AsyncIterator[tuple[Planned, Result]]:
    """Run cases one after the other; ends early when the person asks for it."""
    memory: dict[str, dict[str, Any]] = {}
    for each in planned:
        if stop.asked:
            return
        name = each.association.name if each.association else ""
        script = attempt(
            each.case,
            profile.declaration,
            each.association,
            os.urandom,
            memory.setdefault(name, {}),
        )
        try:
            result: Result = await drive(bench, script, stop)
        except Stopped:
            return
        yield each, result


async def read_counters(bench: Bench, profile: Profile, tell: Callable[[str], None]) -> None:
    """Set our frame counters above those that the meter tells of, where it tells of them."""
    plain = [aa for aa in profile.declaration.associations if _is_plain(aa)]
    for association in profile.declaration.associations:
        at = profile.counters.get(association.name)
        if at is not None and not plain:
            tell(f"{association.name}: no plain association is declared to read {at}")
        elif at is not None:
            value = await _tried(bench, _read(Trial(profile.declaration, os.urandom, plain[0]), at))
            if isinstance(value, str):
                tell(f"{association.name}: {at} cannot be read: {value}")
            else:
                _go_on_above(association, value)
        if association.is_ciphered:
            trial = Trial(profile.declaration, os.urandom, association)
            found = await _tried(bench, _asked_for(trial))
            if isinstance(found, int):
                _go_on_above(association, found)


async def _tried(bench: Bench, script: Script[Any]) -> Any:  # noqa: ANN401  what the script gives
    """Return what a script gives, or why it does not."""
    try:
        return await drive(bench, script, Stop())
    except (DlmsError, LineLost, Failed, Inconclusive) as error:
        return str(error)


def _read(trial: Trial, at: Obis) -> Script[Any]:
    client = yield from trial.opened()
    return (yield from trial.steps(client.get(Data.value, at=at)))


def _asked_for(trial: Trial) -> Script[int | None]:
    """Open once: a meter that refuses our counter may say which one it expects."""
    client = trial.client()
    yield from trial.connect()
    try:
        yield from trial.steps(client.associate())
    except ExceptionResponseError as error:
        return None if error.invocation_counter is None else error.invocation_counter - 1
    return None


def _go_on_above(association: DeclaredAssociation, counter: object) -> None:
    if isinstance(counter, int) and 0 <= counter < EXHAUSTED:
        counters = association.counters
        counters.following = max(counters.following, int(counter) + 1)


def _is_plain(association: DeclaredAssociation) -> bool:
    return not association.is_ciphered and not association.short_names
