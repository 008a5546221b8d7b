# SPDX-License-Identifier: Apache-2.0
"""The policy of TLS and DTLS: versions, cipher suites, their order, how long sessions live.

Two tables are all there is to choose from; a policy is a choice of their rows.  A deployment writes
its own into `[tls]` of a configuration file: `versions`, `ciphers` (best first), `resumption`,
`session_lifetime_s`.  docs/tls.md shows both tables.

What no policy changes: keys on EC P-256, certificates at both ends, no renegotiation, no
compression, no pre-shared keys, no early data.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from openami.runtime.config import Table


class Version(StrEnum):
    """Versions of the protocol, by the name that a policy gives them."""

    TLS_1_2 = "TLS 1.2"
    TLS_1_3 = "TLS 1.3"
    DTLS_1_2 = "DTLS 1.2"


class VersionRow(NamedTuple):
    """One version.

    Attributes:
        number: On the wire.
        datagrams: Whether it is for datagrams.
        standard: Where it is written.
    """

    number: int
    datagrams: bool
    standard: str


VERSIONS: Final[dict[Version, VersionRow]] = {
    Version.TLS_1_2: VersionRow(0x0303, False, "RFC 5246"),  # noqa: FBT003  a column
    Version.TLS_1_3: VersionRow(0x0304, False, "RFC 8446"),  # noqa: FBT003
    Version.DTLS_1_2: VersionRow(0xFEFD, True, "RFC 6347"),  # noqa: FBT003
}


class Cipher(StrEnum):
    """Authenticated encryptions, by the name that a policy gives them."""

    AES128_GCM = "AES128-GCM"
    AES256_GCM = "AES256-GCM"
    AES128_CCM_8 = "AES128-CCM-8"


class Suite(NamedTuple):
    """The cipher suites of one encryption.

    Attributes:
        code: Of the suite of (D)TLS 1.2, on the wire.
        name: Of that suite, in OpenSSL's words.
        code_1_3: Of the suite of TLS 1.3.
        name_1_3: Of that suite, in its standard's and OpenSSL's words.
        tag_bits: Length of the tag; OpenSSL counts it as the strength.
        standard: Where the suite of (D)TLS 1.2 is written.
    """

    code: int
    name: str
    code_1_3: int
    name_1_3: str
    tag_bits: int
    standard: str


SUITES: Final[dict[Cipher, Suite]] = {
    Cipher.AES128_GCM: Suite(
        0xC02B, "ECDHE-ECDSA-AES128-GCM-SHA256", 0x1301, "TLS_AES_128_GCM_SHA256", 128, "RFC 5289"
    ),
    Cipher.AES256_GCM: Suite(
        0xC02C, "ECDHE-ECDSA-AES256-GCM-SHA384", 0x1302, "TLS_AES_256_GCM_SHA384", 128, "RFC 5289"
    ),
    Cipher.AES128_CCM_8: Suite(
        0xC0AE, "ECDHE-ECDSA-AES128-CCM8", 0x1305, "TLS_AES_128_CCM_8_SHA256", 64, "RFC 7251"
    ),
}
WEAKEST_TAG_BITS: Final = 112
"""OpenSSL's security level 2; what is shorter needs level 0 (its level 1 wants 80)."""
SESSION_LIFETIME_S: Final = 12 * 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What one side offers and accepts.

    Attributes:
        versions: Any of `VERSIONS`; the protocol itself takes the highest that both have.
        ciphers: Any of `SUITES`, best first; a listener's order decides.
        resumption: Whether sessions are resumed, and tickets given out.
        session_lifetime_s: How long a session may be resumed, and a key of tickets is used.
    """

    versions: tuple[Version, ...] = tuple(Version)
    ciphers: tuple[Cipher, ...] = tuple(Cipher)
    resumption: bool = True
    session_lifetime_s: int = SESSION_LIFETIME_S

    @classmethod
    def of(cls, table: Table) -> "Policy":
        """Read a policy from `[tls]` of a configuration file; what is not there is the default.

        Raises:
            ConfigurationError: A name is unknown, or a list is empty.
        """

        def chosen(key: str, kind: type[StrEnum]) -> tuple[str, ...]:
            names = table.texts(key, [str(each) for each in kind])
            if not names or not set(names) <= set(kind) or len(set(names)) < len(names):
                known = ", ".join(f'"{each}"' for each in kind)
                raise table.refused(key, f"a list of one or more of {known}, each once")
            return tuple(names)

        return cls(
            versions=tuple(Version(name) for name in chosen("versions", Version)),
            ciphers=tuple(Cipher(name) for name in chosen("ciphers", Cipher)),
            resumption=table.flag("resumption", default=True),
            session_lifetime_s=table.whole("session_lifetime_s", SESSION_LIFETIME_S, least=1),
        )

    def of_kind(self, *, datagrams: bool) -> list[Version]:
        """Return the versions for datagrams or for streams, lowest first."""
        return [each for each in Version if each in self.versions and _is(each, datagrams)]

    @property
    def names(self) -> list[str]:
        """The suites of (D)TLS 1.2, best first, in OpenSSL's words."""
        return [SUITES[each].name for each in self.ciphers]

    @property
    def names_1_3(self) -> list[str]:
        """The suites of TLS 1.3, best first."""
        return [SUITES[each].name_1_3 for each in self.ciphers]

    @property
    def needs_level_0(self) -> bool:
        """Whether a suite is among them that OpenSSL offers at security level 0 only."""
        return any(SUITES[each].tag_bits < WEAKEST_TAG_BITS for each in self.ciphers)


def _is(version: Version, datagrams: bool) -> bool:  # noqa: FBT001
    return VERSIONS[version].datagrams is datagrams


DEFAULT_POLICY: Final = Policy()
