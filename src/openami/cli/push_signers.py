# SPDX-License-Identifier: Apache-2.0
"""Whose signature a push bears (DLMS UA 1000-2 Ed. 10, 9.2.3.4 and 9.2.6).

General-signing names its signer and brings no certificate: those of the meters are given, and with
them, as a rule, the authorities that issued them.  A certificate counts while it is valid, for
signatures, in the name of the meter; where authorities are given, only if one of them issued it.
Where none is given, whoever gave the certificate vouches for it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from openami.dlms.apdu.signed import GeneralSigning
from openami.dlms.errors import SecurityError
from openami.dlms.security.certificates import Certificate, CertificateType, TrustStore
from openami.dlms.security.signing import VerifyingKey

CLAUSE: Final = "DLMS UA 1000-2 Ed. 10, 9.2.3.4"
SIGNS: Final = frozenset({CertificateType.DIGITAL_SIGNATURE, CertificateType.TLS})
"""A key for both uses signs too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """One signature of a push.

    Attributes:
        by: The system title that it names as its signer; empty if it names none.
        certificate: That of the key which verified it, in words; empty if nothing did.
        issuer: Who issued that, by name; empty where no authority was asked for.
    """

    by: bytes
    certificate: str = ""
    issuer: str = ""

    @property
    def verified(self) -> bool:
        """Whether it is the signature of `by`."""
        return bool(self.certificate)

    def __str__(self) -> str:
        who = self.by.hex().upper() or "somebody who tells no system title"
        if not self.verified:
            return f"signed by {who} (not verified)"
        issued = f", issued by {self.issuer}" if self.issuer else ""
        return f"signed by {who} (verified by {self.certificate}{issued})"


class Signers:
    """Verifies the signatures of meters.

    Args:
        certificates: Of meters, and of the authorities that may issue them.
        now: When certificates are looked at; aware.
        unverified: Whether a signature by a meter without a certificate here is let through.
        required: Whether a push without a verified signature is refused.
    """

    def __init__(
        self,
        certificates: Iterable[Certificate],
        now: Callable[[], datetime],
        *,
        unverified: bool = False,
        required: bool = False,
    ) -> None:
        self.required = required
        self._now = now
        self._unverified = unverified
        self._of: dict[bytes, list[Certificate]] = {}
        authorities = []
        for each in certificates:
            if each.is_authority:
                authorities.append(each.encode())
            elif each.system_title and each.type in SIGNS:
                self._of.setdefault(each.system_title, []).append(each)
        self._trust = TrustStore(authorities, now) if authorities else None

    @property
    def meters(self) -> frozenset[bytes]:
        """Whose signatures can be verified, by system title."""
        return frozenset(self._of)

    def look_at(self, signed: GeneralSigning, title: bytes) -> Signed:
        """Return whose signature it is: that of `title`, or nobody's.

        Raises:
            SecurityError: It is wrong, or by a certificate that does not count; or nobody here
                knows whose it is, and that is not let through.
        """
        held = self._of.get(title, [])
        if not held and self._unverified:
            return Signed(by=title)
        if not held:
            problem = (
                "its signer has no certificate here (give it by --meter-certs, "
                "or take such pushes with --unverified)"
            )
            raise SecurityError(problem, _place(title), CLAUSE)
        *others, last = held
        for each in others:  # a meter has two where one is about to be replaced
            try:
                return self._by(each, signed, title)
            except SecurityError:
                continue
        return self._by(last, signed, title)

    def _by(self, certificate: Certificate, signed: GeneralSigning, title: bytes) -> Signed:
        place = _place(title)
        VerifyingKey(certificate.key).verify(signed.signature, signed.signed_octets(), place)
        if self._trust is None:
            certificate.require_valid(self._now())
            issuer = ""
        else:
            self._trust.verify(certificate)
            issuer = certificate.issuer
        return Signed(by=title, certificate=certificate.place, issuer=issuer)


def _place(title: bytes) -> str:
    return f"general-signing of {title.hex().upper() or '(none)'}"
