# SPDX-License-Identifier: Apache-2.0
"""Cases on opening an association (DLMS UA 1000-2 Ed. 10, 9.4; DLMS UA abstract tests, OPEN).

Most cases are tables: what is wrong with the AARQ, and which diagnostics are accepted.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from openami.cosem.conformance.answers import accepted, not_opened, refused, rejected
from openami.cosem.conformance.case import Failed, Family, Group, Need, Script
from openami.cosem.conformance.trial import Trial
from openami.dlms.apdu.acse import (
    AcseServiceProvider,
    AcseServiceUser,
    Diagnostic,
)
from openami.dlms.apdu.initiate import DLMS_VERSION, VAA_NAME_LN, VAA_NAME_SN, Conformance
from openami.dlms.datatypes import BitString
from openami.dlms.hls import Mechanism

ACSE: Final = "DLMS UA 1000-2 Ed. 10, 9.4.2"
NEGOTIATION: Final = "DLMS UA 1000-2 Ed. 10, 9.4.4"
User = AcseServiceUser

DUMMY: Final = 0x5A
SHORTEST_PDU_OCTETS: Final = 12
SN_BITS: Final = (
    Conformance.READ
    | Conformance.WRITE
    | Conformance.UNCONFIRMED_WRITE
    | Conformance.INFORMATION_REPORT
    | Conformance.PARAMETERIZED_ACCESS
)
LN_BITS: Final = (
    Conformance.GET
    | Conformance.SET
    | Conformance.ACTION
    | Conformance.SELECTIVE_ACCESS
    | Conformance.EVENT_NOTIFICATION
    | Conformance.ACCESS
)


class Wrong(NamedTuple):
    """One row of a table of wrong AARQs: fields to change, and the diagnostics accepted."""

    fields: Mapping[str, Any]
    diagnostics: frozenset[Diagnostic]


def _try(trial: Trial, octets: bytes) -> Script[bytes | None]:
    yield from trial.connect()
    return (yield from trial.ask(octets))


def _table(rows: Callable[[Trial], Mapping[str, Wrong]]) -> Callable[[Trial], Script[str | None]]:
    """Return the script of a table: each AARQ on a connection of its own is rejected."""

    def script(trial: Trial) -> Script[str | None]:
        last = None
        for said, row in rows(trial).items():
            answer = yield from _try(trial, trial.aarq(**row.fields))
            last = rejected(answer, said, row.diagnostics)
        return last and f"the last of them: {last}"

    return script


def _idle_n1(trial: Trial) -> Script[str | None]:
    yield from trial.connect()
    answer = yield from trial.ask(trial.simple_read)
    return refused(answer, "a service without an association", silence=True, error=True)


def _open_1(trial: Trial) -> Script[str | None]:
    answer = yield from _try(trial, trial.aarq())
    opened = accepted(trial, answer, "as declared")
    response, aa = opened.response, trial.aa
    if opened.aare.application_context_name != aa.context_name.value:
        raise Failed(
            f"the AARE names context {opened.aare.application_context_name.hex().upper()}, "
            f"not {aa.context_name.name}"
        )
    if response.negotiated_dlms_version_number != DLMS_VERSION:
        version = response.negotiated_dlms_version_number
        raise Failed(f"negotiated-dlms-version-number is {version}, not {DLMS_VERSION}")
    wanted = VAA_NAME_SN if aa.short_names else VAA_NAME_LN
    if response.vaa_name != wanted:
        raise Failed(f"vaa-name is {response.vaa_name:04X}, not {wanted:04X}")
    client = yield from trial.opened()
    yield from trial.alive(client)
    octets = response.server_max_receive_pdu_size
    return f"opened with {octets} octets and {response.negotiated_conformance:06X}"


def _open_2(trial: Trial) -> Script[str | None]:
    known = trial.aa.user_id or 0
    yield from _open_1(trial)
    said = ""
    for name, user in (("without a user id", None), ("of an unknown user", known ^ 0x55)):
        answer = yield from _try(trial, trial.aarq(calling_ae_invocation_id=user))
        diagnostic = User.CALLING_AE_INVOCATION_IDENTIFIER_NOT_RECOGNIZED
        said = rejected(answer, name, {diagnostic})
    return said


def _open_4(trial: Trial) -> Script[str | None]:
    answer = yield from _try(trial, trial.aarq(protocol_version=BitString(b"\x80", 1)))
    accepted(trial, answer, "with protocol-version 1")
    answer = yield from _try(trial, trial.aarq(protocol_version=BitString(b"\x40", 2)))
    provider = {AcseServiceProvider.NO_COMMON_ACSE_VERSION}
    return rejected(answer, "with protocol-version 2 alone", provider)


def _contexts(_trial: Trial) -> Mapping[str, Wrong]:
    only = frozenset[Diagnostic]({User.APPLICATION_CONTEXT_NAME_NOT_SUPPORTED})
    return {
        "with an unknown application context": Wrong(
            {"application_context_name": bytes.fromhex("60857405080109")}, only
        ),
        "with a dummy application context": Wrong(
            {"application_context_name": bytes((DUMMY,) * 7)}, only
        ),
    }


UNUSED: Final[Mapping[str, Any]] = MappingProxyType(
    {
        "called_ap_title": bytes((DUMMY,) * 8),
        "called_ae_qualifier": bytes((DUMMY,)),
        "called_ap_invocation_id": DUMMY,
        "called_ae_invocation_id": DUMMY,
        "calling_ap_invocation_id": DUMMY,
        "implementation_information": b"OpenAMI",
    }
)


def _open_6(trial: Trial) -> Script[str | None]:
    aa = trial.aa
    fields = dict(UNUSED)
    if aa.user_id is None:
        fields["calling_ae_invocation_id"] = DUMMY
    for name, value in fields.items():
        answer = yield from _try(trial, trial.aarq(**{name: value}))
        aare = accepted(trial, answer, f"with an unused {name}").aare
        forbidden = ["responding_ap_invocation_id", "responding_ae_invocation_id"]
        forbidden += ["responding_ae_qualifier"] * (aa.mechanism is not Mechanism.HLS_ECDSA)
        forbidden += ["responding_ap_title"] * (
            not aa.is_ciphered and aa.mechanism <= Mechanism.HLS_SHA1
        )
        for each in forbidden:
            if getattr(aare, each) is not None:
                raise Failed(f"the AARE to the AARQ with an unused {name} holds {each}")
    return f"{len(fields)} fields were ignored"


def _titles(trial: Trial) -> Mapping[str, Wrong]:
    title = trial.aa.client_title
    accepts = frozenset[Diagnostic](
        {
            User.NO_REASON_GIVEN,
            User.CALLING_AP_TITLE_NOT_RECOGNIZED,
            User.AUTHENTICATION_FAILURE,
            User.AUTHENTICATION_REQUIRED,
        }
    )
    return {
        "with a calling-AP-title of 7 octets": Wrong({"calling_ap_title": title[:7]}, accepts),
        "with a calling-AP-title of 9 octets": Wrong({"calling_ap_title": title + b"0"}, accepts),
    }


_ABSENT: Final = frozenset[Diagnostic](
    {
        User.NO_REASON_GIVEN,
        User.AUTHENTICATION_MECHANISM_NAME_NOT_RECOGNISED,
        User.AUTHENTICATION_MECHANISM_NAME_REQUIRED,
        User.AUTHENTICATION_FAILURE,
        User.AUTHENTICATION_REQUIRED,
    }
)
_REQUIREMENTS: Final = _ABSENT - {User.AUTHENTICATION_MECHANISM_NAME_NOT_RECOGNISED}
_VALUE: Final = _REQUIREMENTS - {User.AUTHENTICATION_MECHANISM_NAME_REQUIRED}
_PROOF: Final = frozenset[Diagnostic]({User.NO_REASON_GIVEN, User.AUTHENTICATION_FAILURE})


def authentication_unit(trial: Trial) -> Mapping[str, Wrong]:
    """Return the matrix of OPEN_7: what is wrong in the authentication functional unit."""
    aa = trial.aa
    requirements, mechanism, value = (
        "sender_acse_requirements",
        "mechanism_name",
        "calling_authentication_value",
    )
    other = Mechanism.LLS if aa.mechanism.is_hls else Mechanism.LOWEST
    proof = {value: b"\x5a" * 7} if aa.mechanism.is_hls else {value: aa.secret + b"?"}
    wrong = "with a challenge of 7 octets" if aa.mechanism.is_hls else "with a wrong password"
    return {
        "without the authentication functional unit": Wrong(
            {requirements: None, mechanism: None, value: None}, _ABSENT
        ),
        "without mechanism and value": Wrong({mechanism: None, value: None}, _ABSENT),
        "without mechanism": Wrong({mechanism: None}, _ABSENT),
        f"with mechanism {int(other)}": Wrong({mechanism: other.oid}, _ABSENT),
        "with a wrong bit of acse-requirements": Wrong(
            {requirements: BitString(b"\x40", 2)}, _REQUIREMENTS
        ),
        "without a value": Wrong({value: None}, _VALUE),
        wrong: Wrong(proof, _PROOF),
    }


def _open_9(trial: Trial) -> Script[str | None]:
    initiate = trial.initiate(dedicated_key=trial.entropy(16))
    answer = yield from _try(trial, trial.aarq(initiate))
    return not_opened(answer, "with a dedicated key and no ciphering")


def _open_11(trial: Trial) -> Script[str | None]:
    answer = yield from _try(trial, trial.aarq(trial.initiate(proposed_quality_of_service=0x55)))
    accepted(trial, answer, "with a quality of service")
    return None


def _initiate_error(number: int) -> bytes:
    return bytes((0x0E, 0x01, 0x06, number))


def _open_12(trial: Trial) -> Script[str | None]:
    low = trial.initiate(proposed_dlms_version_number=DLMS_VERSION - 1)
    answer = yield from _try(trial, trial.aarq(low))
    said = rejected(answer, "with DLMS version 5", {User.NO_REASON_GIVEN}, _initiate_error(1))
    high = trial.initiate(proposed_dlms_version_number=DLMS_VERSION + 1)
    answer = yield from _try(trial, trial.aarq(high))
    opened = accepted(trial, answer, "with DLMS version 7")
    version = opened.response.negotiated_dlms_version_number
    if version != DLMS_VERSION:
        raise Failed(f"version {version} is negotiated where 7 is proposed; accepted is 6")
    return said


def words_of(bits: Conformance) -> str:
    """Return the services of a conformance block in the standard's words, and a verb."""
    names = [(each.name or "").lower().replace("_", "-") for each in bits]
    return f"{', '.join(names)} {'is' if len(names) == 1 else 'are'}"


def _open_13(trial: Trial) -> Script[str | None]:
    aa = trial.aa
    other = LN_BITS if aa.short_names else SN_BITS
    free = Conformance.GENERAL_PROTECTION | Conformance.GENERAL_BLOCK_TRANSFER
    own = aa.conformance & ~free
    single = Conformance.READ if aa.short_names else Conformance.GET
    for said, proposed in (
        ("the declared block", own),
        ("every bit of both kinds", own | SN_BITS | LN_BITS | free),
        ("a single service", single),
    ):
        answer = yield from _try(trial, trial.aarq(trial.initiate(proposed_conformance=proposed)))
        found = accepted(trial, answer, f"that proposes {said}").response.negotiated_conformance
        names = f"{found:06X} is negotiated where {proposed:06X} is proposed"
        if found & ~proposed:
            raise Failed(f"{names}: {words_of(found & ~proposed)} not proposed")
        if found & other:
            raise Failed(f"{names}: {words_of(found & other)} of the other referencing")
        if missing := (proposed & own) & ~found:
            raise Failed(f"{names}: {words_of(missing)} proposed and declared, and not granted")
        if extra := found & ~(own | free):
            raise Failed(f"{names}: {words_of(extra)} granted, and not declared in `conformance`")
    return f"the last: {found:06X}"


def _open_13_n(trial: Trial) -> Script[str | None]:
    lonely = Conformance.GET if trial.aa.short_names else Conformance.READ
    answer = yield from _try(trial, trial.aarq(trial.initiate(proposed_conformance=lonely)))
    return not_opened(answer, f"that proposes {lonely.name} alone")


def _open_14(trial: Trial) -> Script[str | None]:
    short = trial.initiate(client_max_receive_pdu_size=SHORTEST_PDU_OCTETS - 1)
    answer = yield from _try(trial, trial.aarq(short))
    said = "with a client-max-receive-pdu-size of 11"
    return rejected(answer, said, {User.NO_REASON_GIVEN}, _initiate_error(3))


_case = Family(prefix="APPL_", group=Group.OPEN).case


CASES: Final = (
    _case(
        "IDLE_N1",
        "no data without an association",
        ACSE,
        "GET (or Read) on a fresh connection",
        "exception-response, ConfirmedServiceError, or silence",
        _idle_n1,
    ),
    _case(
        "OPEN_1",
        "the association opens with the declared parameters",
        ACSE,
        "AARQ; AARQ with what must follow it; a read",
        "accepted at version 6, with the vaa-name of its referencing; a value",
        _open_1,
    ),
    _case(
        "OPEN_2",
        "users are identified",
        ACSE,
        "AARQ with a known user id; without; with an unknown one",
        "accepted; rejected-permanent, diagnostic 6",
        _open_2,
        Need.USERS,
    ),
    _case(
        "OPEN_4",
        "protocol-version",
        ACSE,
        "AARQ with protocol-version 1; with version 2 alone",
        "accepted; rejected-permanent, acse-service-provider no-common-acse-version",
        _open_4,
    ),
    _case(
        "OPEN_5",
        "unknown application contexts",
        ACSE,
        "AARQ with an unknown and with a dummy application-context-name",
        "rejected-permanent, diagnostic 2",
        _table(_contexts),
    ),
    _case(
        "OPEN_6_P",
        "fields that are not used",
        ACSE,
        "AARQ with dummy values in each unused field",
        "accepted, and no such field in the AARE",
        _open_6,
    ),
    _case(
        "OPEN_6_N",
        "calling-AP-titles of a wrong length",
        ACSE,
        "AARQ with a calling-AP-title of 7 and of 9 octets",
        "rejected-permanent, diagnostic 1, 3, 13 or 14",
        _table(_titles),
        Need.CIPHERED,
    ),
    _case(
        "OPEN_7",
        "the authentication functional unit",
        ACSE,
        "AARQ without the unit; without mechanism, value or both; with another mechanism; with a "
        "wrong bit; with a wrong password or a short challenge",
        "rejected-permanent; diagnostics 1, 11, 12, 13, 14, without 11 for a wrong bit, without 11 "
        "and 12 for a missing value; 1 or 13 for a wrong value",
        _table(authentication_unit),
        Need.AUTHENTICATED,
    ),
    _case(
        "OPEN_9",
        "a dedicated key has no place without ciphering",
        NEGOTIATION,
        "AARQ whose InitiateRequest has a dedicated-key",
        "the association does not open",
        _open_9,
        Need.UNCIPHERED,
    ),
    _case(
        "OPEN_11",
        "quality-of-service is ignored",
        NEGOTIATION,
        "AARQ with a proposed-quality-of-service",
        "accepted",
        _open_11,
    ),
    _case(
        "OPEN_12",
        "the DLMS version",
        NEGOTIATION,
        "AARQ with version 5; with version 7",
        "rejected-permanent, diagnostic 1, ConfirmedServiceError 0E 01 06 01; accepted at 6",
        _open_12,
    ),
    _case(
        "OPEN_13_P",
        "the conformance block is the AND of both",
        NEGOTIATION,
        "AARQ that proposes the declared block; all bits of both referencings; a single service",
        "accepted with what is proposed and declared, and no bit of the other referencing",
        _open_13,
    ),
    _case(
        "OPEN_13_N",
        "a conformance block that suffices for nothing",
        NEGOTIATION,
        "AARQ that proposes READ alone (LN) or GET alone (SN)",
        "the association does not open",
        _open_13_n,
    ),
    _case(
        "OPEN_14",
        "the client takes too short APDUs",
        NEGOTIATION,
        "AARQ with client-max-receive-pdu-size 11",
        "rejected-permanent, diagnostic 1, ConfirmedServiceError 0E 01 06 03",
        _open_14,
    ),
)
