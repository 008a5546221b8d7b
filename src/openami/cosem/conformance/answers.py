# SPDX-License-Identifier: Apache-2.0
"""Judging what a meter answered to an AARQ, to a service, to something wrong.

Each function returns what it accepted, or raises `Failed` with a sentence that quotes the answer
and says what the clause accepts.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from openami.cosem.conformance.case import Failed
from openami.cosem.conformance.trial import Trial, shown, understood
from openami.dlms.apdu.acse import (
    Aare,
    AcseServiceUser,
    AssociationResult,
    Diagnostic,
)
from openami.dlms.apdu.ciphered import (
    BY_DED,
    BY_GLO,
    GENERAL_CIPHERING,
    GENERAL_DED_CIPHERING,
    GENERAL_GLO_CIPHERING,
)
from openami.dlms.apdu.faults import ConfirmedServiceError, ExceptionResponse
from openami.dlms.apdu.initiate import InitiateResponse
from openami.dlms.apdu.signed import GeneralSigning
from openami.dlms.errors import DlmsError
from openami.dlms.security.channel import Role, SecureChannel
from openami.dlms.security.counters import ReceiveWindow

PROTECTED: Final = frozenset(
    {
        *BY_GLO,
        *BY_DED,
        GENERAL_GLO_CIPHERING,
        GENERAL_DED_CIPHERING,
        GENERAL_CIPHERING,
        GeneralSigning.TAG,
    }
)
"""Tags of what is held to be opened before it is judged."""


@dataclass(frozen=True, slots=True)
class Opened:
    """An AARE that accepts: itself, its InitiateResponse, and the channel in a ciphered context."""

    aare: Aare
    response: InitiateResponse
    channel: SecureChannel | None


def channel_of(trial: Trial, server_title: bytes) -> SecureChannel | None:
    """Return the protection of the association under test; None in a plain context."""
    aa = trial.aa
    cipher = aa.cipher
    if cipher is None:
        return None
    return SecureChannel(
        cipher=cipher,
        role=Role.CLIENT,
        own_title=aa.client_title,
        peer_title=server_title,
        counters=aa.counters,
        window=ReceiveWindow(),
        policy=aa.policy,
        form=aa.general_header,
        credentials=aa.credentials,
    )


def said_of(aare: Aare) -> str:
    """Return the verdict of an AARE in words."""
    return f"AARE {aare.result}, diagnostic {aare.result_source_diagnostic}"


def aare_of(answer: bytes | None, said: str) -> Aare:
    """Return the AARE that came."""
    apdu = understood(answer)
    if not isinstance(apdu, Aare):
        raise Failed(f"{shown(answer)} came to the AARQ {said}; the clause asks for an AARE")
    return apdu


def accepted(trial: Trial, answer: bytes | None, said: str) -> Opened:
    """Return what an accepting AARE brings; HLS is accepted with authentication-required."""
    aare = aare_of(answer, said)
    wanted = (
        AcseServiceUser.AUTHENTICATION_REQUIRED
        if trial.aa.mechanism.is_hls
        else AcseServiceUser.NULL
    )
    if aare.result != AssociationResult.ACCEPTED or aare.result_source_diagnostic != wanted:
        accepts = f"result accepted, diagnostic {wanted}"
        raise Failed(f"{said_of(aare)} came to the AARQ {said}; the clause asks for {accepts}")
    channel = channel_of(trial, aare.responding_ap_title or b"")
    try:
        octets = aare.user_information or b""
        if channel is not None:
            octets, _ = channel.unprotect(octets)
        response = InitiateResponse.decode(octets)
    except DlmsError as error:
        raise Failed(f"the InitiateResponse to the AARQ {said} cannot be read: {error}") from None
    return Opened(aare, response, channel)


def rejected(
    answer: bytes | None,
    said: str,
    diagnostics: Collection[Diagnostic],
    error: bytes | None = None,
) -> str:
    """Hold an AARE to a permanent rejection with one of `diagnostics`; return it in words.

    Args:
        answer: What came.
        said: What was wrong with the AARQ.
        diagnostics: Those that the clause accepts.
        error: The ConfirmedServiceError that must be in the user-information; None for any.
    """
    aare = aare_of(answer, said)
    names = " or ".join(f"{each} ({int(each)})" for each in sorted(diagnostics))
    if aare.result != AssociationResult.REJECTED_PERMANENT:
        raise Failed(f"{said_of(aare)} came to the AARQ {said}; accepted is rejected-permanent")
    found = aare.result_source_diagnostic
    # Numbers of acse-service-user and acse-service-provider mean different things.
    if not any(type(found) is type(each) and found == each for each in diagnostics):
        raise Failed(f"{said_of(aare)} came to the AARQ {said}; accepted is {names}")
    if error is not None and aare.user_information != error:
        raise Failed(
            f"user-information {shown(aare.user_information)} came to the AARQ {said}; "
            f"accepted is the ConfirmedServiceError {shown(error)}"
        )
    return said_of(aare)


def not_opened(answer: bytes | None, said: str) -> str:
    """Hold the meter to not opening an association, however it says so."""
    apdu = understood(answer)
    if isinstance(apdu, Aare) and apdu.result == AssociationResult.ACCEPTED:
        raise Failed(f"{said_of(apdu)} came to the AARQ {said}; the association must not open")
    return said_of(apdu) if isinstance(apdu, Aare) else shown(answer)


def refused(answer: bytes | None, said: str, *, silence: bool = False, error: bool = False) -> str:
    """Hold a plain answer to a refusal; return it in words.

    Args:
        answer: The plain answer.
        said: What was sent.
        silence: Whether silence is accepted.
        error: Whether a ConfirmedServiceError is accepted.
    """
    if answer is None:
        if silence:
            return "silence"
        raise Failed(f"silence came to {said}; the clause asks for an answer that refuses")
    apdu = understood(answer)
    match apdu:
        case ExceptionResponse():
            return f"exception-response {apdu.state_error}, {apdu.service_error}"
        case ConfirmedServiceError():
            if error:
                return f"ConfirmedServiceError {apdu.name}"
        case _:
            reason = _result_of(apdu)
            if reason:
                return reason
    kinds = ["exception-response", "a result other than success"]
    kinds += ["ConfirmedServiceError"] * error + ["silence"] * silence
    raise Failed(f"{shown(answer)} came to {said}; the clause accepts {', '.join(kinds)}")


def _result_of(apdu: object) -> str:
    """Return the results of a response if none of them is success, else nothing."""
    result = getattr(apdu, "result", None)
    results = getattr(apdu, "results", None) or (result,)
    refusals = [each for each in results if _is_refusal(each)]
    name = type(apdu).__name__
    return f"{name} {refusals[0]}" if refusals and len(refusals) == len(results) else ""


def _is_refusal(result: object) -> bool:
    # DataAccessResult and ActionResult are codes; data that was read is none of them.
    return type(result).__name__ in {"DataAccessResult", "ActionResult"} and result != 0


def opened_answer(channel: SecureChannel | None, answer: bytes | None, said: str) -> bytes | None:
    """Return the plain answer to what must be refused; what came plainly is judged as it is.

    Raises:
        Failed: It is protected and cannot be opened: no refusal, whatever it holds.
    """
    if channel is None or not answer or answer[0] not in PROTECTED:
        return answer
    try:
        return channel.unprotect(answer)[0]
    except DlmsError:
        raise Failed(f"{shown(answer)} came to {said}; it must be refused") from None


def no_data(channel: SecureChannel | None, answer: bytes | None, said: str) -> str:
    """Hold the answer to a GET that must be refused to not giving data."""
    plain = opened_answer(channel, answer, said)
    return refused(plain, said, silence=True, error=True)
