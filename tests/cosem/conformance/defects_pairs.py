# SPDX-License-Identifier: Apache-2.0
"""Broken key pairs: signatures, travelling and agreed keys, certificates."""

from collections.abc import Callable
from typing import Any

import pytest

from cosem.conformance.defects import Damage, Defect, patched
from cosem.conformance.pairs_subject import subject_of
from cosem.conformance.subject import Subject
from openami.cosem.classes.access_control import SecuritySetupV1
from openami.cosem.serving import soft_keys
from openami.cosem.serving.soft_keys import SoftCertificates, SoftKeyStore
from openami.dlms.hls import Handshake
from openami.dlms.security.channel import Role, SecureChannel
from openami.dlms.security.counters import ReceiveWindow, Windows
from openami.dlms.security.envelopes import Signature
from openami.dlms.security.signing import VerifyingKey
from openami.dlms.security.suites import SecurityPolicy
from playbooks.demo_meter import METER_TITLE
from playbooks.secure_meter import SETUP_V1

_protect = SecureChannel.protect


def pairs(case: str, what: str, damage: Damage, at: str = "manager") -> Defect:
    return Defect(f"SYMSEC_12_{case}", what, damage, at, subject_of)


def _unsigned(self: SecureChannel, apdu: bytes, **more: Any) -> bytes:
    if self.role is Role.SERVER and (like := more.get("like")) is not None:
        more["like"] = like._replace(signature=Signature.NONE)
    return _protect(self, apdu, **more)


def _as_glo(self: SecureChannel, apdu: bytes, **more: Any) -> bytes:
    if self.role is Role.SERVER:
        more["like"] = None
    return _protect(self, apdu, **more)


def _takes_any_signature(_: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(VerifyingKey, "verify", lambda *_: None)


def _any_counter(_: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ReceiveWindow, "accept", lambda *_: None)
    monkeypatch.setattr(Windows, "accept_transaction", lambda *_: None)


_replace, _activate = SoftKeyStore._replace, SoftKeyStore.activate


SETUP = SecuritySetupV1


def _doing(method: Any, do: Callable[[SoftCertificates, Any], Any]) -> Damage:
    """Let a method of the security setup do something else."""

    def damage(subject: Subject, _: pytest.MonkeyPatch) -> None:
        meter = subject.meter
        meter[SETUP_V1].bind_method(method, lambda argument: do(meter.certificates, argument))

    return damage


def _lists_other_names(subject: Subject, _: pytest.MonkeyPatch) -> None:
    listed = subject.meter.certificates.listed
    subject.meter[SETUP_V1].bind(
        SETUP.certificates, lambda: tuple(row._replace(subject=row.issuer) for row in listed())
    )


def _takes_any_certificate(held: SoftCertificates, octets: bytes) -> None:
    del octets
    held.held.append(held.held[0])


_request = soft_keys.certificate_request


def _for_nobody(key: Any, _: bytes) -> bytes:
    return _request(key, bytes(8))


def hls(case: str, what: str, damage: Damage) -> Defect:
    return Defect(f"APPL_OPEN_3_{case}", what, damage, "signer", subject_of)


_reply = Handshake.reply


def _wrong_proof(self: Handshake, counter: int = 0) -> bytes:
    """The client in these tests proves itself with a clean copy."""
    proof = _reply(self, counter)
    return proof[:-1] + bytes((proof[-1] ^ 0x01,)) if self.own_title == METER_TITLE else proof


def _policies_without_signatures(self: SoftKeyStore, policy: SecurityPolicy) -> None:
    """Say success to a policy that asks for signatures, and ask for none."""
    unsigned = ~(SecurityPolicy.DIGITALLY_SIGNED_REQUEST | SecurityPolicy.DIGITALLY_SIGNED_RESPONSE)
    _activate(self, policy & unsigned)


def _only_responses(self: SoftKeyStore, policy: SecurityPolicy) -> None:
    _activate(self, policy & ~SecurityPolicy.DIGITALLY_SIGNED_REQUEST)


DEFECTS = (
    pairs(
        "SecPol_SIGN",
        "signs nothing that its policy asks for",
        patched(SoftKeyStore, "activate", _policies_without_signatures),
    ),
    pairs(
        "SecPol_SIGN",
        "takes requests that should be signed",
        patched(SoftKeyStore, "activate", _only_responses),
    ),
    hls("SIGNED_ORDER", "takes any signature", _takes_any_signature),
    hls("SIGNER", "takes any signature", _takes_any_signature),
    hls("PROOF", "proves nothing", patched(Handshake, "reply", _wrong_proof)),
    pairs("Sign_P1", "answers without a signature", patched(SecureChannel, "protect", _unsigned)),
    pairs("Sign_N1", "takes any signature", _takes_any_signature),
    pairs("Sign_N2", "takes a signed service twice", _any_counter),
    *(
        pairs(
            f"GenCiph_P_{scheme}",
            "answers in another envelope",
            patched(SecureChannel, "protect", _as_glo),
        )
        for scheme in ("IDENTIFIED", "WRAPPED", "ONE_PASS", "STATIC")
    ),
    pairs(
        "GenCiph_N1",
        "reads what is for others",
        patched(SecureChannel, "_check_recipient", lambda *_: None),
    ),
    pairs("GenCiph_N1", "takes any signature", _takes_any_signature),
    pairs("GenCiph_N2", "takes general-ciphering twice", _any_counter),
    *(
        pairs(
            f"Key_Agr_P_{key}",
            "agrees and keeps its keys",
            patched(SoftKeyStore, "_replace", lambda *_: None),
        )
        for key in ("GUEK", "GAK")
    ),
    pairs(
        "Key_Agr_P_BOTH",
        "takes the first of two keys",
        patched(SoftKeyStore, "_replace", lambda self, rows: _replace(self, rows[:1])),
    ),
    pairs("Key_Agr_N1", "agrees with anybody", _takes_any_signature),
    pairs("Cert_P_LIST", "lists other names", _lists_other_names),
    pairs(
        "Cert_P_REQUEST",
        "asks for a certificate of nobody",
        patched(soft_keys, "certificate_request", _for_nobody),
    ),
    pairs("Cert_P_REMOVE", "removes nothing", _doing(SETUP.remove_certificate, lambda *_: None)),
    pairs(
        "Cert_N_IMPORT",
        "takes any certificate",
        _doing(SETUP.import_certificate, _takes_any_certificate),
    ),
    pairs(
        "Cert_N_EXPORT",
        "gives any certificate",
        _doing(SETUP.export_certificate, lambda held, _: held.held[0].encode()),
    ),
)
