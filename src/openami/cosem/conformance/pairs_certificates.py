# SPDX-License-Identifier: Apache-2.0
"""Cases on the certificates that a security setup of version 1 keeps (DLMS UA 1000-1, 4.4.7)."""

from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from openami.cosem.classes.access_control import (
    CertificateByEntity,
    CertificateBySerial,
    CertificateInfo,
    CertificateName,
    SecuritySetup,
    SecuritySetupV1,
)
from openami.cosem.client import Client
from openami.cosem.conformance.case import Failed, Need, NotApplicable, Script
from openami.cosem.conformance.pairs import credentials_of, pairs_case
from openami.cosem.conformance.trial import Trial, Undo
from openami.cosem.conformance.walk import require_method
from openami.cosem.refusals import AccessError, ExceptionResponseError
from openami.dlms.errors import SecurityError
from openami.dlms.obis import Obis
from openami.dlms.security.certificates import Certificate, CertificateEntity, CertificateType
from openami.dlms.security.curves import public_octets, suite_of

CLAUSE: Final = "DLMS UA 1000-1 Ed. 12, 4.4.7; DLMS UA 1000-2 Ed. 10, 9.2.6"
_REFUSALS: Final = (AccessError, ExceptionResponseError)


def _setup(trial: Trial) -> Obis:
    if trial.aa.security_setup is None:
        raise NotApplicable("no security setup is declared")
    return trial.aa.security_setup


def _opened(trial: Trial, *methods: int) -> Script[Client]:
    """Open the association that may invoke these methods of the security setup."""
    client = yield from trial.opened()
    for index in methods:
        yield from require_method(trial, client, SecuritySetup.class_id, _setup(trial), index)
    return client


def _listed(trial: Trial, client: Client) -> Script[tuple[CertificateInfo, ...]]:
    setup = _setup(trial)
    try:
        found = yield from trial.steps(client.get(SecuritySetupV1.certificates, at=setup))
    except AccessError as error:
        raise NotApplicable(f"certificates of {setup} are not shown: {error.result}") from None
    return tuple(found)


def _exported(trial: Trial, client: Client, name: CertificateName) -> Script[Certificate]:
    octets = yield from trial.steps(
        client.act(SecuritySetupV1.export_certificate, name, at=_setup(trial))
    )
    try:
        return Certificate.decode(bytes(octets or b""))
    except SecurityError as error:
        raise Failed(f"export_certificate gives what is no certificate: {error}") from None


def _list(trial: Trial) -> Script[str | None]:
    client = yield from _opened(trial, SecuritySetupV1.export_certificate.index)
    listed = yield from _listed(trial, client)
    for info in listed:
        name = CertificateBySerial(info.serial_number, info.issuer)
        found = yield from _exported(trial, client, name)
        shown = found.x509
        if (shown.subject.public_bytes(), shown.issuer.public_bytes()) != (
            info.subject,
            info.issuer,
        ):
            raise Failed(f"the list shows other names than {found.place} has")
        if shown.serial_number != int.from_bytes(info.serial_number):
            raise Failed(f"another certificate than that was asked for is exported: {found.place}")
    title = client.context.server_title
    usage = CertificateType.DIGITAL_SIGNATURE
    own = yield from _exported(
        trial, client, CertificateByEntity(CertificateEntity.SERVER, usage, title)
    )
    known = credentials_of(trial).peer_signing
    if known is not None and public_octets(own.key) != known.octets:
        raise Failed("the meter's certificate for signing holds another key than the declared one")
    return f"{len(listed)} certificates are listed and exported"


def _request(trial: Trial) -> Script[str | None]:
    client = yield from _opened(
        trial,
        SecuritySetupV1.generate_key_pair.index,
        SecuritySetupV1.generate_certificate_request.index,
    )
    setup, usage = _setup(trial), CertificateType.DIGITAL_SIGNATURE
    yield from trial.steps(client.act(SecuritySetupV1.generate_key_pair, usage, at=setup))
    octets = yield from trial.steps(
        client.act(SecuritySetupV1.generate_certificate_request, usage, at=setup)
    )
    try:
        request = x509.load_der_x509_csr(bytes(octets or b""))
        key = request.public_key()
        is_signed = request.is_signature_valid
    except ValueError as error:
        raise Failed(f"generate_certificate_request gives no PKCS #10: {error}") from None
    if not is_signed:
        raise Failed("the certificate request is not signed by its own key")
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise Failed("the certificate request is for no key on an elliptic curve")
    suite = credentials_of(trial).suite
    if suite_of(key) is not suite:
        raise Failed(f"the certificate request is for a key of another suite than {suite:d}")
    names = request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    title = client.context.server_title.hex().upper()
    if not names or names[0].value != title:
        named = names[0].value if names else "nobody"
        raise Failed(f"the certificate request names {named!r}; it must name {title}")
    # The pair in use stays so until the new one is certified: what it signs is still sound.
    signing = yield from trial.opened(sign=True)
    yield from trial.alive(signing)
    return None


def _imports(trial: Trial) -> Script[str | None]:
    methods = SecuritySetupV1.import_certificate, SecuritySetupV1.export_certificate
    client = yield from _opened(trial, *(each.index for each in methods))
    before = yield from _listed(trial, client)
    if not before:
        raise NotApplicable("the meter holds no certificates")
    name = CertificateBySerial(before[0].serial_number, before[0].issuer)
    sound = (yield from _exported(trial, client, name)).encode()
    wrong = {
        "what is no certificate": b"\x30\x03\x02\x01\x01",
        "a certificate with a wrong signature": sound[:-1] + bytes((sound[-1] ^ 0x01,)),
    }
    for said, octets in wrong.items():
        try:
            yield from trial.steps(
                client.act(SecuritySetupV1.import_certificate, octets, at=_setup(trial))
            )
        except _REFUSALS:
            continue
        raise Failed(f"success came to import_certificate of {said}")
    if (yield from _listed(trial, client)) != before:
        raise Failed("certificates that were refused are listed")
    return f"{len(wrong)} were refused"


def _removed(trial: Trial) -> Script[str | None]:
    methods = (
        SecuritySetupV1.import_certificate,
        SecuritySetupV1.export_certificate,
        SecuritySetupV1.remove_certificate,
    )
    client = yield from _opened(trial, *(each.index for each in methods))
    setup = _setup(trial)
    before = yield from _listed(trial, client)
    usage = CertificateType.KEY_AGREEMENT
    name = CertificateByEntity(CertificateEntity.CLIENT, usage, trial.aa.client_title)
    try:
        octets = (yield from _exported(trial, client, name)).encode()
    except _REFUSALS:
        raise NotApplicable("the meter holds no certificate of ours for key agreement") from None

    def undo(trial: Trial) -> Script[None]:
        client = yield from trial.opened()
        yield from trial.steps(client.act(SecuritySetupV1.import_certificate, octets, at=setup))
        if len((yield from _listed(trial, client))) != len(before):
            raise Failed("the certificate is not listed again")

    trial.undo.append(Undo("our certificate for key agreement", undo))
    yield from trial.steps(client.act(SecuritySetupV1.remove_certificate, name, at=setup))
    after = yield from _listed(trial, client)
    if len(after) != len(before) - 1:
        raise Failed(f"{len(after)} certificates are listed after one of {len(before)} was removed")
    yield from _not_exported(trial, client, name, "a certificate that was removed")
    return f"{len(before)} certificates, {len(after)}, and as before"


def _not_exported(trial: Trial, client: Client, name: CertificateName, said: str) -> Script[str]:
    try:
        yield from trial.steps(
            client.act(SecuritySetupV1.export_certificate, name, at=_setup(trial))
        )
    except _REFUSALS as error:
        return str(error)
    raise Failed(f"success came to export_certificate of {said}")


def _unknown(trial: Trial) -> Script[str | None]:
    client = yield from _opened(trial, SecuritySetupV1.export_certificate.index)
    name = CertificateByEntity(CertificateEntity.CLIENT, CertificateType.OTHER, bytes(8))
    words = yield from _not_exported(trial, client, name, "one that it does not hold")
    yield from trial.alive(client)
    return words


NEEDS: Final = (Need.SETUP, Need.ACTION, Need.GET)

CASES: Final = (
    pairs_case(
        "Cert_P_LIST",
        "certificates are listed and exported",
        CLAUSE,
        "GET certificates; export_certificate of each by number and issuer; "
        "of the meter's own for signing by entity",
        "certificates with the names and numbers of the list; the declared key in the meter's",
        _list,
        *NEEDS,
    ),
    pairs_case(
        "Cert_P_REQUEST",
        "a new key pair, and a request to certify it",
        CLAUSE,
        "generate_key_pair and generate_certificate_request for signing; a signed GET",
        "PKCS #10 on the curve of the suite for the meter's title; the pair in use still signs",
        _request,
        *NEEDS,
        changes=True,
    ),
    pairs_case(
        "Cert_P_REMOVE",
        "a certificate is removed and imported",
        CLAUSE,
        "export, remove and export our certificate for key agreement; import it",
        "the certificate; success; a result other than success; it is listed again",
        _removed,
        *NEEDS,
        changes=True,
    ),
    pairs_case(
        "Cert_N_IMPORT",
        "certificates that nobody issued",
        CLAUSE,
        "import_certificate of what is none, and of one with a wrong signature",
        "results other than success; the list as before",
        _imports,
        *NEEDS,
        changes=True,
    ),
    pairs_case(
        "Cert_N_EXPORT",
        "a certificate that is not held",
        CLAUSE,
        "export_certificate of a client that does not exist; a read",
        "a result other than success; the association goes on",
        _unknown,
        *NEEDS,
    ),
)
