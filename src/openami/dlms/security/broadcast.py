# SPDX-License-Identifier: Apache-2.0
"""Services for many servers at once, under the global broadcast encryption key (GBEK).

DLMS UA 1000-2 Ed. 10, 9.2.3.3.7 and 9.2.7.2: the security control names the key set in bit 6.  The
tag covers the authentication key too, so whoever is to take the same octets holds the same one:
both keys of a group of servers are their own, and no key of one server is among them.

======  ==================  ======================================================================
octets  field               value
======  ==================  ======================================================================
1       tag                 DB, general-glo-ciphering
9       system-title        08, title of the originator
1 to 3  length              of what follows
1       security control    70 | suite: broadcast key, encrypted, authenticated; nothing less
4       invocation counter  of the originator under this key
n       ciphered service    an unconfirmed one
12      tag                 of authentication
======  ==================  ======================================================================

Nobody answers.  What may be asked for is a matter of access rights, not of this module.
"""

from dataclasses import dataclass, field
from typing import Final

from openami.dlms.apdu.ciphered import GENERAL_GLO_CIPHERING
from openami.dlms.axdr import encode_length, read_length
from openami.dlms.errors import DecodeError, SecurityError
from openami.dlms.security.ciphering import (
    SECURITY_HEADER_OCTETS,
    SYSTEM_TITLE_OCTETS,
    Cipher,
)
from openami.dlms.security.counters import InvocationCounter
from openami.dlms.security.envelopes import Envelope, Protection
from openami.dlms.security.keyset import KeySet
from openami.dlms.security.suites import SecurityControl, SecuritySuite

CLAUSE: Final = "DLMS UA 1000-2 Ed. 10, 9.2.7.2"
TITLE_END: Final = 2 + SYSTEM_TITLE_OCTETS


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupKeys:
    """What the servers of a group share with their client.

    Attributes:
        encryption: Global broadcast encryption key, GBEK.
        authentication: Authentication key that goes with it.
    """

    encryption: bytes = field(repr=False)
    authentication: bytes = field(repr=False)

    def cipher(self, suite: SecuritySuite = SecuritySuite.AES_GCM_128) -> Cipher:
        """Return the cipher of these keys.

        A set of keys needs a unicast key; `open_broadcast` and `seal_broadcast` name none, so this
        stands in its place.

        Raises:
            SecurityError: A key has a wrong size.
        """
        return Cipher(
            KeySet(
                suite=suite,
                encryption_key=self.encryption,
                authentication_key=self.authentication,
                broadcast_key=self.encryption,
            )
        )


def seal_broadcast(
    cipher: Cipher, counter: InvocationCounter, originator: bytes, apdu: bytes
) -> bytes:
    """Return an APDU as all servers of a group take it."""
    control = SecurityControl.of(cipher.keys.suite, broadcast=True)
    sealed = cipher.seal(control, counter, originator, apdu)
    head = bytes((GENERAL_GLO_CIPHERING, SYSTEM_TITLE_OCTETS)) + originator
    return head + encode_length(len(sealed)) + sealed


def open_broadcast(cipher: Cipher, originator: bytes, octets: bytes) -> tuple[bytes, Protection]:
    """Return the APDU inside, and how it came; its counter is not looked at.

    Raises:
        DecodeError: The envelope is another, or not well formed.
        SecurityError: It is another originator's, protected by less or by another key, or altered.
    """
    if octets[:2] != bytes((GENERAL_GLO_CIPHERING, SYSTEM_TITLE_OCTETS)):
        raise DecodeError("a broadcast is general-glo-ciphering with a title", octets, 0, CLAUSE)
    if octets[2:TITLE_END] != originator:
        place = f"system-title {octets[2:TITLE_END].hex().upper()}"
        raise SecurityError("the broadcast is another originator's", place, CLAUSE)
    length, start = read_length(octets, TITLE_END, "ciphered service")
    if start + length != len(octets) or length < SECURITY_HEADER_OCTETS:
        problem = f"ciphered service has {len(octets) - start} octets, not {length}"
        raise DecodeError(problem, octets, start, CLAUSE)
    wanted = SecurityControl.of(cipher.keys.suite, broadcast=True)
    if octets[start] != wanted:
        problem = f"only security control {wanted:02X} is taken here"
        raise SecurityError(problem, f"security control {octets[start]:02X}", CLAUSE)
    control, counter, apdu = cipher.open(octets[start:], originator)
    if not apdu:
        raise SecurityError("the broadcast holds no APDU", f"invocation counter {counter}", CLAUSE)
    return apdu, Protection(control, Envelope.GENERAL_GLO, originator, counter)
