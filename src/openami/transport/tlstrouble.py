# SPDX-License-Identifier: Apache-2.0
"""What stopped TLS or DTLS, in one sentence: whose fault it is and what to do."""

from typing import Final

from OpenSSL import SSL

from openami.transport.certificates import (
    EXPIRED,
    HASH_TOO_WEAK,
    KEY_TOO_SMALL,
    NOT_YET_VALID,
    REVOKED,
    TlsIdentity,
)

UNTRUSTED: Final = "it was issued by an authority that is not trusted here"
UNVERIFIED: Final[dict[int, str]] = {  # X509_V_ERR_…, RFC 5280 section 6
    2: UNTRUSTED,
    NOT_YET_VALID: "it is not valid yet",
    EXPIRED: "it has expired",
    18: "it was issued by itself",
    19: UNTRUSTED,
    20: UNTRUSTED,
    21: UNTRUSTED,
    REVOKED: "its authority has revoked it",
    KEY_TOO_SMALL: "a key in its chain is not EC P-256 or P-384",
    HASH_TOO_WEAK: "its chain is signed with a hash weaker than SHA-256",
    79: "it was issued by a device, which is no authority",
}

NOTHING_SHARED: Final = "it shares no cipher suite with us ({words}): {suites}"
NO_VERSION: Final = "it offers none of the versions here ({versions}); enable one there"

FOUND_HERE: Final[dict[str, str]] = {  # what we find wrong with the peer, in OpenSSL's words
    "wrong version number": "it does not speak TLS there; use tcp:// or the TLS port",
    "http request": "it sent HTTP to a TLS port of DLMS/COSEM; use the address of the pages",
    "unexpected message": "it broke the order of the TLS handshake",
    "unsupported protocol": NO_VERSION,
    "version too low": NO_VERSION,
    "no shared cipher": NOTHING_SHARED,
    "no suitable key share": NOTHING_SHARED,
    "no suitable groups": NOTHING_SHARED,
    "peer did not return a certificate": "it sent no certificate; give it one of our authority",
    "decryption failed or bad record mac": "a record was altered on the way",
    "no reason given": NOTHING_SHARED,  # AES128-CCM-8 above security level 0 fails without a word
}

FOUND_THERE: Final[dict[str, str]] = {  # what the peer finds wrong with us: alerts, RFC 8446 6.2
    "protocol version": "it speaks none of the versions here ({versions})",
    "handshake failure": NOTHING_SHARED,
    "unknown ca": "it does not know the authority of our certificate {certificate}",
    "bad certificate": "it finds our certificate {certificate} bad",
    "certificate expired": "our certificate {certificate} has expired; renew it",
    "certificate revoked": "our certificate {certificate} was revoked; have a new one issued",
    "certificate unknown": "it does not accept our certificate {certificate}",
    "unsupported certificate": "it cannot use our certificate {certificate}",
    "certificate required": "it wants a certificate and did not take ours, {certificate}",
    "decrypt error": "it could not verify what our key {key} signed",
}
ALERT: Final = " alert "


def wrong_certificate(fault: int, identity: TlsIdentity) -> str:
    """Say what is wrong with the peer's certificate, by its X509_V_ERR_… number."""
    words = UNVERIFIED.get(fault, f"it cannot be verified (X509_V_ERR {fault})")
    return f"wrong certificate: {words}; the peer needs a valid one of the authority {identity.ca}"


def reasons(error: SSL.Error) -> list[str]:
    """Return OpenSSL's own words, the nearest to the cause first."""
    rows = error.args[0] if error.args and isinstance(error.args[0], list) else []
    return [str(row[-1]).lower() for row in rows] or ["no reason given"]


def explain(error: SSL.Error, identity: TlsIdentity, fault: int = 0, protocol: str = "TLS") -> str:
    """Say what stopped the protocol.

    Args:
        error: What OpenSSL raised.
        identity: Our files, for the sentence.
        fault: X509_V_ERR_… of a certificate that was refused; 0 if none was.
        protocol: Its name, for the sentence.
    """
    if fault:
        return wrong_certificate(fault, identity)
    found = reasons(error)
    for words in found:
        _, is_alert, alert = words.partition(ALERT)
        sentence = FOUND_THERE.get(alert) if is_alert else FOUND_HERE.get(words)
        if sentence is not None:
            return sentence.format(
                words=words,
                certificate=identity.certificate,
                key=identity.key,
                versions=", ".join(identity.policy.versions),
                suites=", ".join(identity.policy.names),
            )
    return f"{protocol} failed ({found[0]})"
