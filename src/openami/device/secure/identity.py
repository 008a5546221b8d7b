# SPDX-License-Identifier: Apache-2.0
"""Key pairs and certificates of the device, security suites 1 and 2, behind the wall.

DLMS UA 1000-2 Ed. 10, 9.2.6.  A private key is made here as a persistent key of PSA Crypto that
nobody may export or copy; its policy lets the one sign and the other agree::

    identifier            key
    0x10, 0x11            signing: SIGN_MESSAGE, ECDSA with the hash of the suite
    0x12, 0x13            key agreement: DERIVE, ECDH

Of the two places of a use one has the pair that is certified, and the other room for the next:
which is which the public key in the device's own certificate says.  A request to certify is signed
with the pair itself, as PKCS #10 has it, and so is made here.

Whom the device believes is decided here too.  The factory brings the first authority; a further
certificate has to be issued by one that is held, and the last one stays.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from openami.device.dlmskeys import (
    PsaAgreement,
    PsaSigner,
    agreement_key_attributes,
    refusals,
    signing_key_attributes,
)
from openami.device.secure.crossing import joined, parted
from openami.dlms.errors import SecurityError
from openami.dlms.security.certificates import (
    Certificate,
    CertificateType,
    TrustStore,
    certificate_request,
)
from openami.dlms.security.credentials import Credentials, KeyWrapping
from openami.dlms.security.curves import private_key, public_octets
from openami.dlms.security.suites import SecuritySuite
from openami.psa.attributes import PERSISTENT, KeyAttributes, Usage
from openami.psa.formats import Random
from openami.psa.keystore import KeyStore
from openami.psa.status import PsaError, Status
from openami.psa.storage import Storage

CLIENT: Final = 0x444C4D53
"""Under which client entries and keys of DLMS/COSEM lie."""
CERTIFICATES: Final = 6
MOST_OCTETS: Final = 4096
"""Of all certificates: the storage of the device has two halves of 8 KiB."""
FIRST_KEY_ID: Final = 0x10
CLAUSE: Final = "DLMS UA 1000-2 Ed. 10, 9.2.6"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What identities stand on: the stores of the device, chance, and real UTC."""

    keys: KeyStore
    ps: Storage
    random: Random
    now: Callable[[], datetime]


class Identity:
    """Who the device is, and whom it believes.

    Attributes:
        held: The certificates, in the order they came.
    """

    def __init__(self, ground: Ground, title: bytes, suite: SecuritySuite) -> None:
        self._ground, self._title, self._suite = ground, title, suite
        self.held: list[Certificate] = []
        try:
            octets = ground.ps.get(CLIENT, CERTIFICATES, 0, MOST_OCTETS)
        except PsaError as error:
            if error.status is not Status.DOES_NOT_EXIST:
                raise
        else:
            self.held = [Certificate.decode(each) for each in parted(octets)]

    def credentials(self, peer_title: bytes, master_key: KeyWrapping) -> Credentials:
        """Return what is here for services with a peer: its keys where they can be believed."""
        ground, suite = self._ground, self._suite
        peer_signing, peer_agreement = None, b""
        for each in self.held:
            with suppress(SecurityError):  # another's, or not valid now: as if it were not here
                if each.type is CertificateType.DIGITAL_SIGNATURE:
                    peer_signing = self._trust.verifying_key(each.encode(), peer_title)
                else:
                    peer_agreement = self._trust.agreement_key(each.encode(), peer_title)
        signing = self._in_use(CertificateType.DIGITAL_SIGNATURE)
        agreeing = self._in_use(CertificateType.KEY_AGREEMENT)
        return Credentials(
            suite=suite,
            entropy=ground.random,
            signer=PsaSigner(ground.keys, CLIENT, suite, signing) if signing else None,
            agreement=PsaAgreement(ground.keys, CLIENT, suite, agreeing) if agreeing else None,
            master_key=master_key,
            peer_signing=peer_signing,
            peer_agreement=peer_agreement,
        )

    def generate(self, usage: int) -> None:
        """Make a new key pair; the one in use stays so until the new one is certified."""
        made, places = self._terms(usage)
        keys, in_use = self._ground.keys, self._in_use(usage)
        key_id = next(each for each in places if each != in_use)
        self._destroy(key_id)
        with refusals():
            keys.generate_key(CLIENT, replace(made, id=key_id, lifetime=PERSISTENT))

    def request(self, usage: int) -> bytes:
        """Return a request to certify the new key pair (PKCS #10, DER)."""
        made, places = self._terms(usage)
        in_use = self._in_use(usage)
        for key_id in places:
            if key_id != in_use and self._point(key_id):
                with refusals():
                    key = self._ground.keys.use(CLIENT, key_id, Usage(made.usage), made.alg)
                return certificate_request(private_key(self._suite, key.material), self._title)
        raise _refused("no key pair was generated for it", f"use {usage}")

    def import_certificate(self, octets: bytes) -> None:
        """Take a certificate that an authority held here issued.

        One for the device itself must certify a key pair that was made here, and puts it into use.
        A certificate for the same use of the same system replaces the one before.
        """
        found = Certificate.decode(octets)
        self._trust.verify(found)
        own, in_use = self._is_own(found), None
        if own:
            in_use = self._place(found)
            if in_use is None:
                raise _refused("it certifies no key pair that was made here", found.place)
        name = _name(found)
        self._keep([*(each for each in self.held if _name(each) != name), found])
        if own:
            _, places = self._terms(found.type)
            for key_id in places:
                if key_id != in_use:
                    self._destroy(key_id)

    def remove(self, octets: bytes) -> None:
        """Forget a certificate, and the key pair that is used by it."""
        left = [each for each in self.held if each.encode() != octets]
        gone = [each for each in self.held if each.encode() == octets]
        if not gone:
            raise _refused("no such certificate is held", "remove")
        if not any(each.is_authority for each in left):
            raise _refused("it is the last authority that is believed", gone[0].place)
        place = self._place(gone[0]) if self._is_own(gone[0]) else None
        self._keep(left)
        if place is not None:
            self._destroy(place)

    @property
    def _trust(self) -> TrustStore:
        authorities = [each.encode() for each in self.held if each.is_authority]
        return TrustStore(authorities, self._ground.now)

    def _terms(self, usage: int) -> tuple[KeyAttributes, range]:
        """Return what a pair for a use is made with, and the two places for it."""
        if usage == CertificateType.DIGITAL_SIGNATURE:
            made = signing_key_attributes(self._suite)
        elif usage == CertificateType.KEY_AGREEMENT:
            made = agreement_key_attributes(self._suite)
        else:
            raise _refused("key pairs here are for signature and key agreement", f"use {usage}")
        first = FIRST_KEY_ID + 2 * usage
        return made, range(first, first + 2)

    def _is_own(self, found: Certificate) -> bool:
        return found.system_title == self._title and not found.is_authority

    def _in_use(self, usage: int) -> int | None:
        """Return which key is certified for a use."""
        own = (each for each in self.held if each.type == usage and self._is_own(each))
        return next(filter(None, map(self._place, own)), None)

    def _place(self, certificate: Certificate) -> int | None:
        """Return which key of ours a certificate is for."""
        _, places = self._terms(certificate.type)
        wanted = public_octets(certificate.key)
        return next((each for each in places if self._point(each) == wanted), None)

    def _point(self, key_id: int) -> bytes:
        """Return x || y of a key; nothing if it is not there."""
        try:
            return self._ground.keys.export_public_key(CLIENT, key_id)[1:]
        except PsaError as error:
            if error.status is not Status.INVALID_HANDLE:
                raise
            return b""

    def _destroy(self, key_id: int) -> None:
        if self._point(key_id):
            self._ground.keys.destroy_key(CLIENT, key_id)

    def _keep(self, held: list[Certificate]) -> None:
        octets = joined(each.encode() for each in held)
        if len(octets) > MOST_OCTETS:
            problem = f"they would take {len(octets)} octets of {MOST_OCTETS}: remove some"
            raise _refused(problem, "certificates")
        with refusals():
            self._ground.ps.set(CLIENT, CERTIFICATES, octets, 0)
        self.held = held


def _name(found: Certificate) -> tuple[object, ...]:
    """Return what only one certificate may be."""
    if found.is_authority:
        return (found.x509.issuer, found.x509.serial_number)
    return (found.type, found.system_title)


def _refused(problem: str, place: str) -> SecurityError:
    return SecurityError(problem, place, CLAUSE)
