# SPDX-License-Identifier: Apache-2.0
"""Broken pushes."""

from collections.abc import Callable
from typing import Any

import pytest

from cosem.conformance.defects import Damage, Defect, patched
from cosem.conformance.push_subject import line_push_subject, push_subject, signed_push_subject
from cosem.conformance.subject import Subject
from openami.cosem.behaviour import windows
from openami.cosem.behaviour.layers import Layers
from openami.cosem.behaviour.pushing import Pushing
from openami.cosem.classes.protection import ProtectionType
from openami.dlms.apdu.invocation import LongInvokeIdAndPriority
from openami.dlms.hdlc.control import Kind, control
from openami.dlms.hdlc.frame import Frame
from openami.dlms.hdlc.llc import FROM_SERVER
from openami.dlms.hdlc.reader import FrameReader
from openami.dlms.security.channel import Role, SecureChannel

_confirmed, _apdu, _send = Pushing.confirmed, Pushing._apdu, Pushing._send
_layers = Pushing._layers


def pushes(case: str, what: str, damage: Damage) -> Defect:
    return Defect(f"PUSH_{case}", what, damage, "manager", push_subject)


def _another_each_time(self: Pushing, now_us: int) -> None:
    self._octets = None
    _send(self, now_us)


def _forgets_when(self: Pushing, invoke_id: int, now_us: int) -> bool:
    found = _confirmed(self, invoke_id, now_us)
    self._confirmed_us = None
    return found


def _takes_any(self: Pushing, invoke_id: int, now_us: int) -> bool:
    own = LongInvokeIdAndPriority.of(self._invoke_id, confirmed=True)
    return _confirmed(self, int(own) if invoke_id else 0, now_us)


def _without_the_last(self: Pushing, now_us: int) -> bytes:
    octets, start = _apdu(self, now_us), 6
    size = octets[start + 3]
    return octets[: start + 1] + b"\x01" + octets[start + 2 : start + 4 + size]


_protect = SecureChannel.protect


def _a_list_for_a_time(self: SecureChannel, apdu: bytes, **more: Any) -> bytes:
    is_time = self.role is Role.SERVER and apdu[:1] == b"\xc4" and apdu[3:5] == b"\x00\x19"
    return _protect(self, apdu[:4] + b"\x01\x00" if is_time else apdu, **more)


def _tells_by_a_list(_: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SecureChannel, "protect", _a_list_for_a_time)
    monkeypatch.setattr(SecureChannel, "give_common", lambda *_: None)  # `protect` seals all


def _at_any_time(*_: object) -> bool:
    return True


def _gives_up_no_push(self: Pushing, now_us: int) -> None:
    self._due_us = now_us


def _without(kind: ProtectionType) -> Damage:
    """A meter that leaves out the layers of one type."""

    def layers(self: Pushing) -> Layers:
        kept = (each for each in _layers(self) if each.protection_type != kind)
        if kind is not _T.AUTHENTICATION_AND_ENCRYPTION:
            return tuple(kept)
        return tuple(each._replace(protection_type=_T.ENCRYPTION) for each in _layers(self))

    return patched(Pushing, "_layers", layers)


def _ignores_windows(_: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "is_open", _at_any_time)
    monkeypatch.setattr(Pushing, "_plan", _gives_up_no_push)


_T = ProtectionType
LACKING = {
    "AUTHENTICATION": _T.AUTHENTICATION,
    "ENCRYPTION": _T.ENCRYPTION,
    "BOTH": _T.AUTHENTICATION_AND_ENCRYPTION,
    "SIGNED": _T.DIGITAL_SIGNATURE,
    "SIGNED_AND_BOTH": _T.DIGITAL_SIGNATURE,
}


def lacks(case: str, kind: ProtectionType) -> Defect:
    sound = signed_push_subject if "SIGNED" in case else push_subject
    what = f"leaves out layers of {kind.name}"
    return Defect(f"PUSH_P5_{case}", what, _without(kind), "manager", sound)


def _frames_as(change: Callable[[bytes], bytes]) -> Damage:
    def damage(subject: Subject, _: pytest.MonkeyPatch) -> None:
        honest = subject.framed
        subject.framed = lambda apdu: change(honest(apdu))

    return damage


def _without_llc(octets: bytes) -> bytes:
    frames = [each for each in FrameReader().feed(octets) if isinstance(each, Frame)]
    first = frames[0]._replace(information=frames[0].information.removeprefix(FROM_SERVER))
    return b"".join(frame.encode() for frame in (first, *frames[1:]))


def _numbered(octets: bytes) -> bytes:
    frames = [each for each in FrameReader().feed(octets) if isinstance(each, Frame)]
    return b"".join(frame._replace(control=control(Kind.I)).encode() for frame in frames)


def on_line(what: str, change: Callable[[bytes], bytes]) -> Defect:
    return Defect("PUSH_P6_HDLC", what, _frames_as(change), "manager", line_push_subject)


DEFECTS = (
    on_line("pushes without an LLC header", _without_llc),
    on_line("pushes in I frames", _numbered),
    on_line("spoils a frame", lambda octets: octets[:-3] + b"\x00" + octets[-2:]),
    *(lacks(case, kind) for case, kind in LACKING.items()),
    pushes("P4_WINDOW", "pushes at any time", _ignores_windows),
    pushes("P1", "pushes nothing", patched(Pushing, "push", lambda _: None)),
    pushes("P1", "leaves values out", patched(Pushing, "_apdu", _without_the_last)),
    pushes(
        "P2_CONFIRMED",
        "asks for no confirmation",
        patched(Pushing, "_wants_confirmation", lambda *_: False),
    ),
    pushes("P2_CONFIRMED", "tells of confirmations by a list", _tells_by_a_list),
    pushes("P2_CONFIRMED", "forgets confirmations", patched(Pushing, "confirmed", _forgets_when)),
    pushes("P3_RETRY", "takes any confirmation", patched(Pushing, "confirmed", _takes_any)),
    pushes("P3_RETRY", "pushes anew each time", patched(Pushing, "_send", _another_each_time)),
)
