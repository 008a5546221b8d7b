# SPDX-License-Identifier: Apache-2.0
"""The case on security policies that ask for signatures (suites 1 and 2).

DLMS UA 1000-2 Ed. 10, 9.2.7.2.5; DLMS UA 1000-1 Ed. 12, 4.4.7.  Most meters take no policy back:
the case comes when all others were run, signs from then on, and says what it leaves.
"""

from typing import Final

from openami.cosem.classes.access_control import SecuritySetupV1
from openami.cosem.client import Client
from openami.cosem.conformance.case import Failed, Inconclusive, Need, NotApplicable, Script
from openami.cosem.conformance.pairs import SIGNING, pairs_case
from openami.cosem.conformance.symsec import GET_OWN_NAME, NO_DATA, no_data
from openami.cosem.conformance.trial import Trial, Undo, shown
from openami.cosem.conformance.walk import require_method
from openami.cosem.refusals import AccessError
from openami.dlms.errors import DlmsError
from openami.dlms.obis import Obis
from openami.dlms.security.envelopes import Signature
from openami.dlms.security.suites import SecurityPolicy

REQUESTS: Final = SecurityPolicy.DIGITALLY_SIGNED_REQUEST
RESPONSES: Final = SecurityPolicy.DIGITALLY_SIGNED_RESPONSE


def _active(trial: Trial, client: Client, setup: Obis) -> Script[SecurityPolicy]:
    value = yield from trial.steps(client.get(SecuritySetupV1.security_policy, at=setup))
    return SecurityPolicy(value)


def _activate(trial: Trial, setup: Obis, bit: SecurityPolicy) -> Script[None]:
    """Make the meter ask for one kind of signature more, unless it does already."""
    client = yield from trial.opened(sign=True)
    held = yield from _active(trial, client, setup)
    if held & bit:
        return
    wanted = SecurityPolicy(held | bit)
    method = SecuritySetupV1.security_activate
    try:
        yield from trial.steps(client.act(method, int(wanted), at=setup))
    except AccessError as error:
        raise NotApplicable(f"the meter does not activate policy {wanted:02X}: {error}") from None

    def undo(trial: Trial) -> Script[None]:
        client = yield from trial.opened(sign=True)
        try:
            yield from trial.steps(client.act(method, int(held), at=setup))
        except AccessError as error:
            reason = f"the meter lets its policy only become stronger ({error.result})"
            raise Failed(reason) from None

    trial.undo.append(Undo(f"the policy, which is {int(wanted):02X} now", undo))


def _answer_signed(client: Client, answer: bytes | None, said: str) -> None:
    if answer is None or client.channel is None:
        raise Failed(f"silence came to {said}; data is due")
    try:
        plain, protection = client.channel.unprotect(answer)
    except DlmsError as error:
        raise Failed(f"the answer to {said} cannot be opened: {error}") from None
    if plain[:1] != b"\xc4" or plain[3:4] != b"\x00":
        raise Failed(f"{shown(plain)} came to {said}; data is due")
    if protection.signature is Signature.NONE:
        raise Failed(f"an answer without a signature came to {said}")


def _signatures(trial: Trial) -> Script[str | None]:
    setup = trial.aa.security_setup
    if setup is None:
        raise NotApplicable("no security setup is declared")
    client = yield from trial.opened(sign=True)
    found = yield from require_method(
        trial,
        client,
        SecuritySetupV1.class_id,
        setup,
        SecuritySetupV1.security_activate.index,
    )
    if found.version < SecuritySetupV1.version:
        raise NotApplicable("a security setup of version 0 knows no signatures")
    if not (yield from _active(trial, client, setup)) & REQUESTS:
        yield from _activate(trial, setup, RESPONSES)
        client = yield from trial.opened(sign=True)
        answer = yield from trial.ask(trial.sealed(GET_OWN_NAME, signed=False))
        _answer_signed(client, answer, "an unsigned GET where responses are to be signed")
    yield from _activate(trial, setup, REQUESTS)
    client = yield from trial.opened(sign=True)
    answer = yield from trial.ask(trial.sealed(GET_OWN_NAME, signed=False))
    said = no_data(client, answer, "an unsigned GET where requests are to be signed")
    client = yield from trial.opened(sign=True)
    if client.channel is None:
        raise Inconclusive("the association has no ciphering")
    answer = yield from trial.ask(client.channel.protect(GET_OWN_NAME))
    _answer_signed(client, answer, "a signed GET where requests are to be signed")
    return f"{said} came to an unsigned GET"


CASES: Final = (
    pairs_case(
        "SecPol_SIGN",
        "a policy that asks for signatures",
        SIGNING,
        "security_activate with signed responses; an unsigned GET; security_activate with signed "
        "requests; an unsigned GET; a signed GET; the policy as before",
        f"signed data; {NO_DATA}; signed data",
        _signatures,
        Need.SETUP,
        Need.GET,
        Need.ACTION,
        changes=True,
        last=True,
    ),
)
