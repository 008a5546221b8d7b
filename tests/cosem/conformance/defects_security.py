# SPDX-License-Identifier: Apache-2.0
"""Broken protection."""

from dataclasses import replace
from typing import Any

import pytest

from cosem.conformance.defects import Damage, Defect, answering, patched
from cosem.conformance.defects_opening import data_instead_of_exceptions
from cosem.conformance.subject import Subject, sound_meter
from openami.cosem.model import InterfaceClass
from openami.cosem.serving.accessing import AccessService
from openami.cosem.serving.faults import NOT_SUPPORTED
from openami.cosem.serving.soft_keys import SoftKeyStore
from openami.dlms.apdu.access import AccessRequest, AccessResponse
from openami.dlms.security import ciphering, common_form
from openami.dlms.security.channel import PLAIN, Role, SecureChannel
from openami.dlms.security.counters import CounterBlock, InvocationCounter, ReceiveWindow
from openami.dlms.security.credentials import MasterKey
from openami.dlms.security.envelopes import UNPROTECTED
from openami.dlms.security.suites import NO_PROTECTION

_protect = SecureChannel.protect
_use_dedicated_key = SecureChannel.use_dedicated_key


def _answers_plainly(self: SecureChannel, apdu: bytes, **more: Any) -> bytes:
    if self.role is Role.SERVER and apdu[0] not in PLAIN | {0x08, 0xC7}:
        return apdu
    return _protect(self, apdu, **more)


class Stuck(CounterBlock):
    """Counters that stop growing once the association is open."""

    def next(self) -> InvocationCounter:
        self.following = min(self.following + 1, 104)
        return InvocationCounter(self.following)


def _counter_is_stuck(subject: Subject, _: pytest.MonkeyPatch) -> None:
    subject.meter.ciphering.counters = Stuck(100, 2**32 - 1)


def _tags_are_not_checked(_: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (ciphering, common_form):
        monkeypatch.setattr(module, "compare_digest", lambda *_: True)


def _policy_is_a_word(_: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    check = SecureChannel._check

    def lenient(self: SecureChannel, *rest: Any) -> None:
        if self.role is Role.CLIENT:
            check(self, *rest)

    monkeypatch.setattr(SecureChannel, "_check", lenient)


def _release_without_proof(subject: Subject, _: pytest.MonkeyPatch) -> None:
    honest = subject.serve

    def serve(own: Subject, client: int, apdu: bytes) -> bytes | None:
        return honest(own, client, b"\x62\x00" if apdu[:1] == b"\x62" else apdu)

    subject.serve = serve


def _says_released_and_goes_on(subject: Subject, _: pytest.MonkeyPatch) -> None:
    honest = subject.serve

    def serve(own: Subject, client: int, apdu: bytes) -> bytes | None:
        bare = apdu[:1] == b"\x62" and b"\xbe" not in apdu
        return bytes.fromhex("6303800100") if bare else honest(own, client, apdu)

    subject.serve = serve


_ACCESS = AccessRequest.TAG


def _mixes_values(self: SecureChannel, apdu: bytes, **more: Any) -> bytes:
    if self.role is Role.SERVER and apdu[0] == AccessResponse.TAG:
        found = AccessResponse.decode(apdu)
        values = (*found.values[1:], found.values[0])
        apdu = replace(found, values=values).encode()
    return _protect(self, apdu, **more)


_unprotect = SecureChannel.unprotect


def _access_in_the_clear(self: SecureChannel, octets: bytes) -> Any:
    if self.role is Role.SERVER and octets[:1] == bytes((_ACCESS,)):
        return octets, UNPROTECTED
    return _unprotect(self, octets)


def _dedicated(change: Any) -> Damage:
    """Change what the server does with a dedicated key."""

    def use(self: SecureChannel, key: bytes, received: Any = None) -> None:
        if self.role is Role.SERVER:
            change(self, key)
            self._dedicated_window = ReceiveWindow()
        else:
            _use_dedicated_key(self, key, received)

    return patched(SecureChannel, "use_dedicated_key", use)


def _of_any_length(self: SecureChannel, key: bytes) -> None:
    self._dedicated = self.cipher.with_encryption_key(key[:16].ljust(16, b"\x00"))


def _none(self: SecureChannel, _: bytes) -> None:
    self._dedicated = None


def _global(self: SecureChannel, _: bytes) -> None:
    self._dedicated = self.cipher


def _first_for_ever(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    keys: list[bytes] = []

    def use(self: SecureChannel, key: bytes) -> None:
        keys.append(key)
        self._dedicated = self.cipher.with_encryption_key(keys[0])

    _dedicated(use)(subject, monkeypatch)


_replace = SoftKeyStore._replace


def _replaces_the_first(self: SoftKeyStore, rows: Any) -> None:
    _replace(self, rows[:1])


_invoke = InterfaceClass.invoke


def _takes_any_key(self: InterfaceClass, row: Any, argument: Any) -> Any:
    return None if row.name == "key_transfer" else _invoke(self, row, argument)


def unprotected() -> Subject:
    """The demo meter with a policy that asks for nothing yet."""
    return Subject(meter=sound_meter(NO_PROTECTION))


def manager(case: str, what: str, damage: Damage, sound: Any = Subject) -> Defect:
    return Defect(f"SYMSEC_0_{case}", what, damage, "manager", sound)


def _something_sealed(request: bytes, answer: bytes) -> bytes:
    if request[:1] == b"\xc8" and answer[:1] == b"\xd8":
        return bytes.fromhex("CC 1A 30 00001000") + bytes(21)
    return answer


_any_counter = patched(ReceiveWindow, "accept", lambda *_: None)

DEFECTS = (
    manager("BasicCap_1", "answers plainly", patched(SecureChannel, "protect", _answers_plainly)),
    manager("FraCount_1_GUEK", "takes a frame counter twice", _any_counter),
    manager("FraCount_1_DEK", "takes a frame counter twice", _any_counter),
    manager("FraCount_3", "counts no further", _counter_is_stuck),
    manager(
        "SecDataX_P1",
        "says success and writes nothing",
        patched(InterfaceClass, "write", lambda *_: None),
    ),
    manager("SecDataX_N1", "does not check tags", _tags_are_not_checked),
    manager("SecPol_1", "lets everything in", _policy_is_a_word, unprotected),
    manager("SecPol_2", "lets everything in", _policy_is_a_word, unprotected),
    manager("SecPol_3", "lets everything in", _policy_is_a_word),
    manager("REL_N1", "releases for anybody", _release_without_proof),
    manager("REL_BARE", "says that it released, and goes on", _says_released_and_goes_on),
    manager("Access_P", "mixes values up", patched(SecureChannel, "protect", _mixes_values)),
    manager(
        "Access_N1",
        "takes ACCESS in the clear",
        patched(SecureChannel, "unprotect", _access_in_the_clear),
    ),
    manager("Access_N1", "takes a frame counter twice", _any_counter),
    manager(
        "Access_N1", "serves no ACCESS", patched(AccessService, "answer", lambda *_: NOT_SUPPORTED)
    ),
    Defect(
        "APPL_OPEN_3_PENDING",
        "answers GET plainly before pass 3 of ciphered HLS",
        answering(data_instead_of_exceptions),
        "manager",
    ),
    Defect(
        "APPL_OPEN_3_PENDING",
        "answers GET under another key before pass 3",
        answering(_something_sealed),
        "manager",
    ),
    manager("DedKey_P_USE", "forgets dedicated keys", _dedicated(_none)),
    manager("DedKey_N1_OFFER", "takes dedicated keys of any length", _dedicated(_of_any_length)),
    manager(
        "DedKey_N1_NONE",
        "answers ded- without a key",
        answering(data_instead_of_exceptions),
    ),
    manager("DedKey_N1_OLD", "keeps the dedicated key of another association", _first_for_ever),
    manager("DedKey_N1_GLOBAL", "takes the global key for the dedicated", _dedicated(_global)),
    *(
        manager(
            f"Key_Tx_P_{key}",
            "says success and keeps its keys",
            patched(SoftKeyStore, "_replace", lambda *_: None),
        )
        for key in ("GUEK", "GAK")
    ),
    manager(
        "Key_Tx_P_BOTH",
        "takes the first of two keys",
        patched(SoftKeyStore, "_replace", _replaces_the_first),
    ),
    manager(
        "Key_Tx_N1",
        "says success to any key",
        patched(InterfaceClass, "invoke", _takes_any_key),
    ),
    manager(
        "Key_Tx_N_WRAPPING",
        "takes keys however they are wrapped",
        patched(MasterKey, "unwrap", lambda _, wrapped: wrapped[:16]),
    ),
)
