# SPDX-License-Identifier: Apache-2.0
"""Meters that are broken on purpose: each defect, and the case that is meant to find it.

A defect changes our own server, its HDLC station, or what either is told; `defects_hdlc`,
`defects_opening`, `defects_data` and `defects_security` declare them.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from cosem.conformance.subject import Subject
from openami.dlms.apdu.acse import Aare, Aarq
from openami.dlms.apdu.initiate import InitiateRequest

Damage = Callable[[Subject, pytest.MonkeyPatch], None]


@dataclass(frozen=True)
class Defect:
    """One way to be broken.

    Attributes:
        case: The case that is meant to find it.
        what: What the meter does.
        damage: Makes a sound meter do it.
        at: The association; empty for the data link.
        sound: Makes the meter to be damaged, which passes the case.
    """

    case: str
    what: str
    damage: Damage
    at: str = ""
    sound: Callable[[], Subject] = field(default=Subject)


def answering(change: Callable[[bytes, bytes], bytes | None]) -> Damage:
    """Change what the server answers: `change` is given the request and the honest answer."""

    def damage(subject: Subject, _: pytest.MonkeyPatch) -> None:
        honest = subject.serve

        def serve(own: Subject, client: int, apdu: bytes) -> bytes | None:
            answer = honest(own, client, apdu)
            return None if answer is None else change(apdu, answer)

        subject.serve = serve

    return damage


def asked(change: Callable[[bytes], bytes]) -> Damage:
    """Change what the server is asked."""

    def damage(subject: Subject, _: pytest.MonkeyPatch) -> None:
        honest = subject.serve
        subject.serve = lambda own, client, apdu: honest(own, client, change(apdu))

    return damage


def aarq(**changes: Any) -> Damage:
    """Let the server see other fields of the AARQ; a function is given the old value."""

    def change(apdu: bytes) -> bytes:
        if apdu[:1] != b"\x60":
            return apdu
        decoded = Aarq.decode(apdu)
        fields = {
            name: new(getattr(decoded, name)) if callable(new) else new
            for name, new in changes.items()
        }
        return replace(decoded, **fields).encode()

    return asked(change)


def initiate(**changes: Any) -> Damage:
    """Let the server see other fields of a plain InitiateRequest."""
    return aarq(
        user_information=lambda octets: replace(InitiateRequest.decode(octets), **changes).encode()
    )


def aare(change: Callable[[Aare], Aare]) -> Damage:
    """Change the AARE."""
    return answering(
        lambda _, answer: change(Aare.decode(answer)).encode() if answer[:1] == b"\x61" else answer
    )


def patched(target: Any, name: str, new: Any) -> Damage:
    """Put something else in the place of a part of the server."""

    def damage(_: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(target, name, new)

    return damage
