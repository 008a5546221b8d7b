# SPDX-License-Identifier: Apache-2.0
"""What the meter under test claims to be: the declaration that a conformance run starts from.

A meter is held to what it declares and to what the standard asks of all meters.  Values are plain;
a file of them is read at the edge (`cli.conformance_profile`).
"""

from dataclasses import dataclass, field
from typing import Final

from openami.dlms.apdu.acse import ApplicationContextName
from openami.dlms.apdu.ciphered import AuthenticatedHeader
from openami.dlms.apdu.initiate import Conformance
from openami.dlms.hls import Mechanism
from openami.dlms.obis import Obis
from openami.dlms.security.ciphering import Cipher
from openami.dlms.security.counters import EXHAUSTED, CounterBlock
from openami.dlms.security.credentials import Credentials, MasterKey
from openami.dlms.security.keyset import KeySet
from openami.dlms.security.suites import AUTHENTICATED_AND_ENCRYPTED, SecurityPolicy

MANAGEMENT: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One attribute of one object."""

    class_id: int
    logical_name: Obis
    attribute: int
    short_name: int | None = None

    def __str__(self) -> str:
        return f"attribute {self.attribute} of {self.logical_name} (class {self.class_id})"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredLink:
    """The data link of a meter on HDLC.

    Attributes:
        logical: Upper address of the server.
        physical: Lower address.
        address_octets: How long the meter's own addresses are: 1, 2 or 4.
        client: Address of the client that the frames of the HDLC cases come from.
        max_information_octets: The longest information field that the meter takes.
        window: How many frames it takes without a pause.
        inactivity_s: When the meter leaves a silent link; None for never.
        inter_octet_s: When the meter gives up a frame that has stopped.
    """

    logical: int = MANAGEMENT
    physical: int = 0
    address_octets: int = 1
    client: int = 16
    max_information_octets: int = 128
    window: int = 1
    inactivity_s: float | None = 120.0
    inter_octet_s: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredPush:
    """What pushes, and how soon.

    Attributes:
        setup: Logical name of the push setup.
        within_s: How long after the method a push may take.
        retry_s: How long after a push without confirmation its retry may take.
        on_line: Whether we hear it on a line of HDLC, on which nobody answers.
    """

    setup: Obis
    within_s: float = 10.0
    retry_s: float = 60.0
    on_line: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredAssociation:
    """One application association of the meter.

    Attributes:
        name: What reports call it.
        client_sap: Service access point of the client.
        short_names: Whether objects are referred to by short name.
        mechanism: Authentication.
        secret: Password of LLS, or the secret of HLS with a hash.
        keys: Global keys; with them the application context is ciphered.
        master_key: Wraps keys for their transfer.
        credentials: Our key pairs and the meter's public keys, in suites 1 and 2.
        client_title: System title of the client.
        policy: The least protection that the meter asks for.
        general_header: Whether the header of general-ciphering is under its tag.
        conformance: What the meter grants.
        security_setup: Logical name of the object that replaces keys; None if there is none.
        user_id: A user that the meter knows, where users are identified.
        counters: Our invocation counters.
    """

    name: str
    client_sap: int
    short_names: bool = False
    mechanism: Mechanism = Mechanism.LOWEST
    secret: bytes = field(default=b"", repr=False)
    keys: KeySet | None = field(default=None, repr=False)
    master_key: MasterKey | None = field(default=None, repr=False)
    credentials: Credentials | None = field(default=None, repr=False)
    client_title: bytes = b""
    policy: SecurityPolicy = AUTHENTICATED_AND_ENCRYPTED
    general_header: AuthenticatedHeader = AuthenticatedHeader.STANDARD
    conformance: Conformance
    security_setup: Obis | None = None
    user_id: int | None = None
    counters: CounterBlock = field(default_factory=lambda: CounterBlock(1, EXHAUSTED))

    @property
    def is_ciphered(self) -> bool:
        return self.keys is not None

    @property
    def cipher(self) -> Cipher | None:
        """The global keys, ready to seal."""
        return None if self.keys is None else Cipher(self.keys)

    @property
    def context_name(self) -> ApplicationContextName:
        """The application context that the client must name."""
        names = ApplicationContextName
        if self.short_names:
            return names.SN_CIPHERED if self.is_ciphered else names.SN
        return names.LN_CIPHERED if self.is_ciphered else names.LN


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """The meter under test.

    Attributes:
        name: What reports call it.
        server_sap: The logical device under test.
        link: Its data link; None for a meter without HDLC.
        associations: Those to be tested, at least one.
        test_attribute: An attribute that may be written with any value of its type.
        profile: A profile generic object with at least five rows.
        push: A push setup whose pushes reach us.
    """

    name: str = "meter"
    server_sap: int = MANAGEMENT
    link: DeclaredLink | None = None
    associations: tuple[DeclaredAssociation, ...]
    test_attribute: Row | None = None
    profile: Obis | None = None
    push: DeclaredPush | None = None
