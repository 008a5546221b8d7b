# SPDX-License-Identifier: Apache-2.0
"""COSE_Sign1 with ES256: a payload and its signature (RFC 9052, 4.2; RFC 9053, 2.1).

::

    18([ protected: bstr of { 1: -7 }, unprotected: map, payload: bstr, signature: r || s ])

What is signed is the array ["Signature1", protected, h'', payload].  `loads` is the one way CBOR
from outside comes in: a single item, of definite lengths, without duplicate keys or anything
behind it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Final, Self

import cbor2
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from openami.psa.formats import CURVES, public_key, signature_to_der
from openami.psa.status import PsaError, Status

TAG: Final = 18
ES256: Final = {1: -7}
SIGNATURE_OCTETS: Final = 64
_CONTEXT: Final = "Signature1"
_DEEPEST: Final = 8

Sign = Callable[[bytes], bytes]
"""Returns the ES256 signature of some octets, r || s."""


def loads(octets: bytes, what: str) -> Any:  # noqa: ANN401 - CBOR holds anything
    """Return the one CBOR item in `octets`.

    Raises:
        PsaError: INVALID_ARGUMENT, it is not that.
    """
    stream = BytesIO(octets)
    try:
        decoder = cbor2.CBORDecoder(
            stream, max_depth=_DEEPEST, allow_indefinite=False, allow_duplicate_keys=False
        )
        found = decoder.decode()
    except (cbor2.CBORDecodeError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise PsaError(Status.INVALID_ARGUMENT, f"it is not CBOR: {error}", what) from None
    if stream.tell() != len(octets):
        raise PsaError(Status.INVALID_ARGUMENT, "octets follow the CBOR item", what)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Sign1:
    """A COSE_Sign1 message.

    Attributes:
        payload: What is signed.
        signature: r || s.
    """

    payload: bytes
    signature: bytes

    @classmethod
    def made(cls, payload: bytes, sign: Sign) -> Self:
        """Sign a payload."""
        return cls(payload=payload, signature=sign(to_be_signed(payload)))

    def encode(self) -> bytes:
        return cbor2.dumps(
            cbor2.CBORTag(TAG, [cbor2.dumps(ES256), {}, self.payload, self.signature])
        )

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        """Take a message apart; its signature is not verified yet.

        Raises:
            PsaError: INVALID_ARGUMENT, no COSE_Sign1; NOT_SUPPORTED, another algorithm than ES256.
        """
        what = "COSE_Sign1"
        match loads(octets, what):
            case cbor2.CBORTag(
                tag=18, value=(bytes(protected), Mapping(), bytes(payload), bytes(signature))
            ):
                pass
            case _:
                problem = "it is not 18([protected, unprotected, payload, signature])"
                raise PsaError(Status.INVALID_ARGUMENT, problem, what)
        if protected != cbor2.dumps(ES256):
            problem = f"the protected header is {protected.hex()}, not that of ES256"
            raise PsaError(Status.NOT_SUPPORTED, problem, what)
        return cls(payload=payload, signature=signature)

    def verify(self, point: bytes) -> None:
        """Accept the signature as that of the key with the public point 04 || x || y.

        Raises:
            PsaError: INVALID_SIGNATURE; INVALID_ARGUMENT, `point` is none of P-256.
        """
        key = public_key(CURVES[256], point)
        if len(self.signature) == SIGNATURE_OCTETS:
            try:
                key.verify(
                    signature_to_der(self.signature),
                    to_be_signed(self.payload),
                    ec.ECDSA(SHA256()),
                )
            except InvalidSignature:
                pass
            else:
                return
        problem = "the signature is wrong: another key signed, or octets were altered"
        raise PsaError(Status.INVALID_SIGNATURE, problem, "COSE_Sign1")


def to_be_signed(payload: bytes) -> bytes:
    """Return the Sig_structure (RFC 9052, 4.4)."""
    return cbor2.dumps([_CONTEXT, cbor2.dumps(ES256), b"", payload])
