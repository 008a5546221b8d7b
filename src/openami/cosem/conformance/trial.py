# SPDX-License-Identifier: Apache-2.0
"""What a running case has in its hands: the declaration, one association, and ways to ask.

`opened` and `ask` speak as an orderly client does; `aarq` makes a sound AARQ and lets a case
spoil one field of it; `sealed` protects an APDU in any way, also a wrong one.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar

from openami.cosem.asking.base_names import BaseNames
from openami.cosem.classes.access_control import CURRENT_ASSOCIATION
from openami.cosem.client import Client, ClientParameters, Steps
from openami.cosem.conformance.case import (
    Connect,
    Exchange,
    Failed,
    Inconclusive,
    LineLost,
    Script,
)
from openami.cosem.conformance.declaration import Declaration, DeclaredAssociation
from openami.dlms import apdu as apdus
from openami.dlms.apdu.acse import AUTHENTICATION, Aarq
from openami.dlms.apdu.ciphered import (
    BY_PLAIN,
    GENERAL_DED_CIPHERING,
    GENERAL_GLO_CIPHERING,
)
from openami.dlms.apdu.initiate import Conformance, InitiateRequest
from openami.dlms.axdr import encode_length
from openami.dlms.errors import DlmsError
from openami.dlms.hls import Mechanism
from openami.dlms.security.channel import TRANSACTION_ID_OCTETS
from openami.dlms.security.ciphering import Cipher
from openami.dlms.security.counters import ReceiveWindow
from openami.dlms.security.envelopes import GeneralTerms, sign_general
from openami.dlms.security.suites import SIGNED, SUITE_MASK, SecurityControl, SecuritySuite

T = TypeVar("T")

LONGEST_PDU_OCTETS: Final = 0xFFFF
BOTH: Final = SecurityControl.of(SecuritySuite.AES_GCM_128)
"""Authenticated and encrypted; `Trial.sealed` puts the suite of the keys in."""
CHALLENGE_OCTETS: Final = 32

GET_LDN: Final = bytes.fromhex("C001C1 0001 00002A0000FF 02 00")
"""Get-Request-Normal for the logical device name, attribute 2 of 0.0.42.0.0.255."""
READ_SN: Final = bytes.fromhex("0501 02 FA00")
"""ReadRequest for the logical name of the association SN object."""
PROBE_SN: Final = (12, CURRENT_ASSOCIATION, 1)
PROBE: Final = (15, CURRENT_ASSOCIATION, 1)
"""What every association may read: the logical name of its own object."""


@dataclass(frozen=True, slots=True)
class Undo:
    """How to put back what a case has changed, and what that is."""

    what: str
    script: "Callable[[Trial], Script[None]]"


def shown(octets: bytes | None) -> str:
    """Return what came, for a sentence: silence, or the octets, long ones cut."""
    if octets is None:
        return "silence"
    if not octets:
        return "an empty APDU"
    text = octets[:24].hex(" ").upper()
    return f"[{text}]" if len(octets) <= 24 else f"[{text} … {len(octets)} octets]"


@dataclass(slots=True)
class Trial:
    """One case at one meter.

    Attributes:
        declaration: What the meter claims.
        entropy: Gives challenges and keys.
        association: The one under test; None for cases of the data link.
        undo: What is to be done afterwards, last first, whatever the verdict is.
        remarks: What a reader of the report should know beside the verdict.
        memory: What cases of one association have learnt for each other.
    """

    declaration: Declaration
    entropy: Callable[[int], bytes]
    association: DeclaredAssociation | None = None
    undo: list[Undo] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    memory: dict[str, Any] = field(default_factory=dict)

    @property
    def aa(self) -> DeclaredAssociation:
        """The association under test."""
        if self.association is None:
            raise Inconclusive("no association is declared to put the question in")
        return self.association

    def client(self, **changes: Any) -> Client:  # noqa: ANN401  fields of ClientParameters
        """Return an orderly client of the association; `changes` are fields of its parameters."""
        aa = self.aa
        parameters = ClientParameters(
            client_sap=aa.client_sap,
            server_sap=self.declaration.server_sap,
            mechanism=aa.mechanism,
            secret=aa.secret,
            cipher=aa.cipher,
            credentials=aa.credentials,
            system_title=aa.client_title,
            policy=aa.policy,
            general_header=aa.general_header,
            # The cases look at the blocks of GET, SET and ACTION, and at one answer to one APDU.
            conformance=aa.conformance & ~Conformance.GENERAL_BLOCK_TRANSFER,
            user_id=aa.user_id,
            short_names=BaseNames() if aa.short_names else None,
        )
        return Client(
            replace(parameters, **changes),
            entropy=self.entropy,
            counters=aa.counters,
            window=ReceiveWindow(),
        )

    def connect(self) -> Script[None]:
        """Make a fresh connection for the client of the association."""
        yield Connect(self.aa.client_sap)

    def opened(self, **changes: Any) -> Script[Client]:  # noqa: ANN401
        """Connect and open the association.

        Raises:
            Inconclusive: It does not open, so the question cannot be put.
        """
        client = self.client(**changes)
        yield from self.connect()
        try:
            yield from self.steps(client.associate())
        except (DlmsError, Failed) as error:
            raise Inconclusive(f"the association could not be opened: {error}") from None
        return client

    def steps(self, conversation: Steps[T]) -> Script[T]:
        """Hold one of the client's conversations.

        Raises:
            Failed: The meter is silent.
            DlmsError: As the conversation.
        """
        try:
            request = next(conversation)
            while True:
                answer = yield Exchange(request)
                if answer is None:
                    conversation.close()
                    raise Failed(f"no answer came to {shown(request)}; the clause asks for one")
                request = conversation.send(answer)
        except StopIteration as stop:
            result: T = stop.value
            return result

    def ask(self, octets: bytes) -> Script[bytes | None]:
        """Send an APDU as it is."""
        return (yield Exchange(octets))

    def through(self, client: Client, octets: bytes) -> Script[bytes | None]:
        """Send a plain service inside the protection of an open association.

        Returns:
            The plain answer; an exception-response or silence as it came.
        """
        channel = client.channel
        answer = yield Exchange(octets if channel is None else channel.protect(octets))
        if answer is None or channel is None or answer[:1] in {b"\xd8", b"\x0e"}:
            return answer
        try:
            return channel.unprotect(answer)[0]
        except DlmsError as error:
            raise Failed(f"the answer is not protected as agreed: {error}") from None

    def alive(self, client: Client) -> Script[None]:
        """Make sure that the association still works: read its own logical name.

        Raises:
            Failed: It does not.
        """
        probe = PROBE_SN if self.aa.short_names else PROBE
        try:
            yield from self.steps(client.get_raw(*probe))
        except (DlmsError, Failed, LineLost) as error:
            raise Failed(f"the association did not survive: {error}") from None

    @property
    def simple_read(self) -> bytes:
        """A plain request that every association answers: its own name, or that of the device."""
        return READ_SN if self.aa.short_names else GET_LDN

    # Openings ---------------------------------------------------------------------------------

    def initiate(self, **changes: Any) -> InitiateRequest:  # noqa: ANN401
        """Return the InitiateRequest of an orderly client, with some fields changed."""
        proposed = self.aa.conformance
        if self.aa.is_ciphered:
            proposed |= Conformance.GENERAL_PROTECTION
        sound: dict[str, Any] = {
            "proposed_conformance": proposed,
            "client_max_receive_pdu_size": LONGEST_PDU_OCTETS,
        }
        return InitiateRequest(**(sound | changes))

    def aarq(
        self,
        initiate: InitiateRequest | None = None,
        **changes: Any,  # noqa: ANN401  fields of the AARQ
    ) -> bytes:
        """Return the AARQ of an orderly client, with some fields changed."""
        aa = self.aa
        fields: dict[str, Any] = {"application_context_name": aa.context_name.value}
        if aa.is_ciphered or aa.mechanism > Mechanism.HLS_SHA1:
            fields["calling_ap_title"] = aa.client_title
        if aa.mechanism is not Mechanism.LOWEST:
            value = self.entropy(CHALLENGE_OCTETS) if aa.mechanism.is_hls else aa.secret
            fields |= {
                "sender_acse_requirements": AUTHENTICATION,
                "mechanism_name": aa.mechanism.oid,
                "calling_authentication_value": value,
            }
        if aa.user_id is not None:
            fields["calling_ae_invocation_id"] = aa.user_id
        plain = (initiate or self.initiate()).encode()
        fields["user_information"] = self.sealed(plain) if aa.is_ciphered else plain
        return Aarq(**(fields | changes)).encode()

    def sealed(  # noqa: PLR0913  each is one way to be wrong
        self,
        octets: bytes,
        *,
        control: int = BOTH,
        cipher: Cipher | None = None,
        counter: int | None = None,
        dedicated: bool = False,
        signed: bool | None = None,
    ) -> bytes:
        """Return a plain APDU under glo- or ded-ciphering, as told and not as it should be.

        It is signed inside where the policy asks for that, unless `signed` says otherwise.
        """
        aa = self.aa
        cipher = cipher or aa.cipher
        if cipher is None:
            raise Inconclusive("the association has no keys to protect an APDU with")
        number = aa.counters.next() if counter is None else counter
        suited = SecurityControl(control & ~SUITE_MASK | cipher.keys.suite)
        signs = bool(aa.policy.request_bits & SIGNED) if signed is None else signed
        if not signs or octets[0] == InitiateRequest.TAG:
            inside = cipher.seal(suited, number, aa.client_title, octets)
            service = BY_PLAIN[octets[0]]
            head = bytes((service.ded if dedicated else service.glo,))
            return head + encode_length(len(inside)) + inside
        if aa.credentials is None:
            raise Inconclusive(
                "the policy asks for signatures, and no key to sign with is declared"
            )
        terms = GeneralTerms(
            transaction_id=number.to_bytes(TRANSACTION_ID_OCTETS),
            originator=aa.client_title,
            recipient=b"",
        )
        octets = sign_general(aa.credentials, octets, terms)
        inside = cipher.seal(suited, number, aa.client_title, octets)
        tag = GENERAL_DED_CIPHERING if dedicated else GENERAL_GLO_CIPHERING
        head = bytes((tag, len(aa.client_title))) + aa.client_title
        return head + encode_length(len(inside)) + inside


def understood(octets: bytes | None) -> Any:  # noqa: ANN401  any of the APDUs
    """Return the APDU that came; None for silence.

    Raises:
        Failed: It cannot be decoded.
    """
    if octets is None:
        return None
    try:
        return apdus.decode(octets)
    except DlmsError as error:
        raise Failed(f"the answer {shown(octets)} breaks the encoding: {error}") from None
