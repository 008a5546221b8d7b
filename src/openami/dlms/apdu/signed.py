# SPDX-License-Identifier: Apache-2.0
"""General-Signing: any APDU with the digital signature of who sent it.

DLMS UA 1000-2 Ed. 10, 9.2.7.2.5 and 9.5 (abstract syntax, APDU tag DF).  The signature itself is
made by `security.signing`; which key signs is `security.channel`.
"""

from dataclasses import dataclass, field
from typing import ClassVar, Final, Self

from openami.dlms.axdr import Reader, encode_octet_string

CLAUSE: Final = "DLMS UA 1000-2 Ed. 10, 9.5"
GENERAL_SIGNING: Final = 0xDF


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneralSigning:
    """An APDU, plain or ciphered, and its signature.

    ======  =======================  ==========================================
    octets  field                    value
    ======  =======================  ==========================================
    1       tag                      DF
    1 up    transaction_id           length, octets
    1 up    originator_system_title  length, the sender's title
    1 up    recipient_system_title   length, title
    1 up    date_time                length, octets
    1 up    other_information        length, octets
    1 up    content                  length, APDU
    1 up    signature                length, r || s: 64 or 96 octets
    ======  =======================  ==========================================
    """

    TAG: ClassVar = GENERAL_SIGNING

    transaction_id: bytes
    originator_system_title: bytes
    recipient_system_title: bytes
    date_time: bytes = b""
    other_information: bytes = b""
    content: bytes
    signature: bytes = field(default=b"")

    def header(self) -> bytes:
        """Return the fields in front of the content, each with its length."""
        return b"".join(
            map(
                encode_octet_string,
                (
                    self.transaction_id,
                    self.originator_system_title,
                    self.recipient_system_title,
                    self.date_time,
                    self.other_information,
                ),
            )
        )

    def signed_octets(self) -> bytes:
        """Return what is signed: the header and the content, the latter without its length.

        The text leaves open whether the length of the content is signed; the implementations in
        the field leave it out.
        """
        return self.header() + self.content

    def encode(self) -> bytes:
        content = encode_octet_string(self.content)
        return bytes((self.TAG,)) + self.header() + content + encode_octet_string(self.signature)

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        reader = Reader(octets).expect(cls.TAG, "APDU tag")
        apdu = cls(
            transaction_id=reader.octet_string("transaction-id"),
            originator_system_title=reader.octet_string("originator-system-title"),
            recipient_system_title=reader.octet_string("recipient-system-title"),
            date_time=reader.octet_string("date-time"),
            other_information=reader.octet_string("other-information"),
            content=reader.octet_string("content"),
            signature=reader.octet_string("signature"),
        )
        reader.end()
        return apdu
