# SPDX-License-Identifier: Apache-2.0
"""Broken pushes."""

from cosem.conformance.defects import Damage, Defect, patched
from cosem.conformance.push_subject import push_subject
from openami.cosem.behaviour.pushing import Pushing
from openami.dlms.apdu.fields import LongInvokeIdAndPriority

_confirmed, _apdu, _send = Pushing.confirmed, Pushing._apdu, Pushing._send


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


DEFECTS = (
    pushes("P1", "pushes nothing", patched(Pushing, "push", lambda _: None)),
    pushes("P1", "leaves values out", patched(Pushing, "_apdu", _without_the_last)),
    pushes(
        "P2_CONFIRMED",
        "asks for no confirmation",
        patched(Pushing, "_wants_confirmation", lambda *_: False),
    ),
    pushes("P2_CONFIRMED", "forgets confirmations", patched(Pushing, "confirmed", _forgets_when)),
    pushes("P3_RETRY", "takes any confirmation", patched(Pushing, "confirmed", _takes_any)),
    pushes("P3_RETRY", "pushes anew each time", patched(Pushing, "_send", _another_each_time)),
)
