# SPDX-License-Identifier: Apache-2.0
"""The commonest protected APDU, at the least cost: octet for octet what `channel` makes and takes.

DLMS UA 1000-2 Ed. 10, 9.2.7.2.  Nearly all APDUs are short, authenticated and encrypted under the
global unicast key, and travel with the glo- tag of their service::

    tag  length (1 octet)  SC 3x  invocation counter (4)  ciphertext  tag (12)

`seal` and `unseal` know this form alone and answer None where anything is different or wrong:
`channel` then goes the long way, which also says what is wrong.
"""

from hmac import compare_digest
from typing import Final

from openami.dlms.apdu.ciphered import SERVICE_TAGS
from openami.dlms.security.ciphering import (
    FULL_TAG_OCTETS,
    SECURITY_HEADER_OCTETS,
    SYSTEM_TITLE_OCTETS,
    TAG_OCTETS,
    UNSENT_OCTETS,
    AuthenticatedEncryption,
)
from openami.dlms.security.counters import CounterBlock, InvocationCounter, ReceiveWindow
from openami.dlms.security.envelopes import UNPROTECTED, Envelope, Protection

LONGEST_OCTETS: Final = 0x7F
"""What a length of one octet can say."""

_HEAD_OCTETS: Final = 2
_COUNTER_AT: Final = 3
_BODY_AT: Final = _HEAD_OCTETS + SECURITY_HEADER_OCTETS
_ADDED_OCTETS: Final = SECURITY_HEADER_OCTETS + TAG_OCTETS
_GLO: Final = {row.plain: row.glo for row in SERVICE_TAGS}
_ENVELOPE: Final = Envelope.GLO
_SCHEME: Final = UNPROTECTED.scheme
_SIGNATURE: Final = UNPROTECTED.signature


def seal(
    mode: AuthenticatedEncryption, system_title: bytes, counters: CounterBlock, apdu: bytes
) -> bytes | None:
    """Return `apdu` as it is to travel; None if it is long, or its service has no glo- tag."""
    glo = _GLO.get(apdu[0])
    length = len(apdu) + _ADDED_OCTETS
    if glo is None or length > LONGEST_OCTETS or len(system_title) != SYSTEM_TITLE_OCTETS:
        return None
    # Tag, length, SC and counter at once: seven octets of one number.
    head = (((glo << 8 | length) << 8 | mode.sc) << 32 | counters.next()).to_bytes(_BODY_AT)
    body = mode.encrypt(system_title + head[_COUNTER_AT:], apdu, mode.aad)
    return head + body[:-UNSENT_OCTETS]


def unseal(
    mode: AuthenticatedEncryption, system_title: bytes, window: ReceiveWindow, octets: bytes
) -> bytes | None:
    """Return the plain APDU, accepted for good; None if it has another form, or a wrong tag.

    Raises:
        ReplayError: The counter is not above the last one.
    """
    if (
        len(octets) <= _HEAD_OCTETS + _ADDED_OCTETS
        or octets[1] != len(octets) - _HEAD_OCTETS
        or octets[1] > LONGEST_OCTETS
        or octets[2] != mode.sc
        or len(system_title) != SYSTEM_TITLE_OCTETS
    ):
        return None
    counter, body = octets[_COUNTER_AT:_BODY_AT], octets[_BODY_AT:]
    nonce = system_title + counter
    # As in `ciphering`: the key stream over the ciphertext gives the plaintext, which counts only
    # when sealing it gives the same octets again.
    apdu = mode.encrypt(nonce, body, None)[: -TAG_OCTETS - FULL_TAG_OCTETS]
    sealed = mode.encrypt(nonce, apdu, mode.aad)[:-UNSENT_OCTETS]
    if not compare_digest(sealed, body) or _GLO.get(apdu[0]) != octets[0]:
        return None
    # Four times as fast as int.from_bytes.
    window.accept(octets[3] << 24 | octets[4] << 16 | octets[5] << 8 | octets[6])
    return apdu


def arrived(mode: AuthenticatedEncryption, system_title: bytes, octets: bytes) -> Protection:
    """Return how an APDU of this form arrived."""
    counter = InvocationCounter(int.from_bytes(octets[_COUNTER_AT:_BODY_AT]))
    # As `Protection(control, Envelope.GLO, title, counter)`, at a quarter of its cost.
    row = (mode.control, _ENVELOPE, system_title, counter, b"", _SCHEME, _SIGNATURE)
    return tuple.__new__(Protection, row)
