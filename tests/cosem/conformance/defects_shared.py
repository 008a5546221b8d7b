# SPDX-License-Identifier: Apache-2.0
"""Meters that mix up those who share a line or a meter: broadcasts, and two clients at a time."""

from collections.abc import Callable

import pytest

from cosem.conformance.defects import Damage, Defect, patched
from cosem.conformance.subject import Subject
from openami.dlms.hdlc import link
from openami.dlms.hdlc.address import Address
from openami.dlms.hdlc.control import Kind, control
from openami.dlms.hdlc.frame import Frame
from openami.dlms.hdlc.link import Pair
from openami.dlms.hdlc.secondary import SecondaryStation
from playbooks.demo_meter import READER

_frame = SecondaryStation._frame
_command = SecondaryStation._command
EVERYBODY = {0x7F, 0x3FFF}


def everybody_is(
    station: Callable[[SecondaryStation, Frame], Address | None],
) -> Damage:
    """A station that takes some frames to everybody as if they were for it alone."""

    def take(self: SecondaryStation, frame: Frame, *rest: object) -> None:
        own = station(self, frame) if frame.destination.upper in EVERYBODY else None
        _frame(self, frame if own is None else frame._replace(destination=own), *rest)  # type: ignore[arg-type]

    return patched(SecondaryStation, "_frame", take)


def own_address(self: SecondaryStation) -> Address:
    return Address.server(1, self.station.physical, self.station.size)


def _answers_unnumbered(*, poll: bool) -> Damage:
    """A station that answers a UI to everybody by one of its own."""

    def take(self: SecondaryStation, frame: Frame, now: float, events: list[object]) -> None:
        what = frame.control
        if (
            what.kind is Kind.UI
            and what.poll_final is poll
            and frame.destination.upper in EVERYBODY
        ):
            self.line.put(Frame(frame.source, own_address(self), control(Kind.UI)), now)
            return
        _frame(self, frame, now, events)  # type: ignore[arg-type]

    return patched(SecondaryStation, "_frame", take)


def _counts_for_everybody(self: SecondaryStation, frame: Frame) -> Address | None:
    return own_address(self) if frame.control.kind is Kind.I else None


def _one_link_for_all(self: SecondaryStation, pair: Pair, frame: Frame, *rest: object) -> None:
    """The second client takes over the link of the first."""
    _command(self, pair, frame, *rest)  # type: ignore[arg-type]
    if frame.control.kind is Kind.DISC:
        self.links.clear()


def one_server(subject: Subject, _: pytest.MonkeyPatch) -> None:
    """A meter with one set of associations for all connections, closed as any of them is."""
    subject.second = (subject.server, 0, subject.second[2])


def _serves_all_as_one(subject: Subject, _: pytest.MonkeyPatch) -> None:
    """A meter that takes who has opened first for everybody."""
    honest, first = subject.serve, subject.server

    def serve(own: Subject, client: int, apdu: bytes) -> bytes | None:
        if own.server is not first:
            return first.receive(READER, apdu)
        return honest(own, client, apdu)

    subject.serve = serve


def _one_block_transfer(subject: Subject, _: pytest.MonkeyPatch) -> None:
    """A meter in which the read of one client ends the blocks of another."""
    honest, first = subject.serve, subject.server

    def serve(own: Subject, client: int, apdu: bytes) -> bytes | None:
        if own.server is not first and apdu[:1] == b"\xc0":
            first.receive(READER, bytes.fromhex("C001C1000F0000280000FF0100"))
        return honest(own, client, apdu)

    subject.serve = serve


def clients(case: str, what: str, damage: Damage) -> Defect:
    return Defect(f"APPL_CLIENTS_{case}", what, damage, "reader")


DEFECTS = (
    Defect("HDLC_BROADCAST_P_UI", "answers everybody's UI", _answers_unnumbered(poll=False)),
    Defect(
        "HDLC_BROADCAST_N_POLL",
        "lets itself be polled as everybody",
        _answers_unnumbered(poll=True),
    ),
    Defect("HDLC_BROADCAST_N_I", "counts everybody's I", everybody_is(_counts_for_everybody)),
    Defect(
        "HDLC_BROADCAST_N_SOURCE",
        "speaks with nobody",
        patched(link, "_is_source_valid", lambda _: True),
    ),
    Defect(
        "HDLC_CLIENTS_P",
        "leaves all links with one",
        patched(SecondaryStation, "_command", _one_link_for_all),
    ),
    clients("P", "closes all associations with one connection", one_server),
    clients("N", "takes everybody for who came first", _serves_all_as_one),
    clients("BLOCKS", "has one block transfer for all", _one_block_transfer),
)
