# SPDX-License-Identifier: Apache-2.0
"""Cases on releasing an association (DLMS UA 1000-2 Ed. 10, 9.4.5; REL)."""

from typing import Final

from openami.cosem.conformance.answers import refused
from openami.cosem.conformance.case import Case, Failed, Group, Hangup, NotApplicable, Script
from openami.cosem.conformance.trial import Trial, shown, understood
from openami.dlms.apdu.acse import ReleaseRequestReason, Rlre, Rlrq
from openami.dlms.apdu.faults import ExceptionResponse

CLAUSE: Final = "DLMS UA 1000-2 Ed. 10, 9.4.5"


def _rel_p1(trial: Trial) -> Script[str | None]:
    client = yield from trial.opened()
    channel = client.channel
    plain = trial.initiate().encode()
    rlrq = Rlrq(
        reason=ReleaseRequestReason.NORMAL,
        user_information=channel.protect(plain) if channel else None,
    )
    answer = yield from trial.ask(rlrq.encode())
    rlre = understood(answer)
    if answer is None or isinstance(rlre, ExceptionResponse):
        raise NotApplicable(f"{shown(answer)} came to RLRQ: the meter releases by the lower layer")
    if not isinstance(rlre, Rlre):
        raise Failed(f"{shown(answer)} came to RLRQ; the clause asks for RLRE")
    after = yield from trial.ask(
        channel.protect(trial.simple_read) if channel else trial.simple_read
    )
    said = refused(after, "a read after the release", silence=True, error=True)
    return f"RLRE with reason {rlre.reason}, then {said}"


def _rel_p2(trial: Trial) -> Script[str | None]:
    client = yield from trial.opened()
    yield Hangup()
    yield from trial.connect()
    channel = client.channel
    after = yield from trial.ask(
        channel.protect(trial.simple_read) if channel else trial.simple_read
    )
    return refused(after, "a read on a new connection", silence=True, error=True)


CASES: Final = (
    Case(
        id="APPL_REL_P1_RLRQ",
        group=Group.RELEASE,
        title="RLRQ releases the association",
        clause=CLAUSE,
        steps="AARQ; RLRQ; GET (or Read)",
        accepts="RLRE, then no data; a meter may leave releases to the lower layer",
        script=_rel_p1,
    ),
    Case(
        id="APPL_REL_P1_LOWER",
        group=Group.RELEASE,
        title="the lower layer takes the association along",
        clause=CLAUSE,
        steps="AARQ; hang up; a new connection; GET (or Read)",
        accepts="no data",
        script=_rel_p2,
    ),
)
