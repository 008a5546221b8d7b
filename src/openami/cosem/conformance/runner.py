# SPDX-License-Identifier: Apache-2.0
"""Stepping a case to its verdict, without input or output.

`attempt` is a generator as the case itself is: whoever has a line answers its asks.  It writes the
transcript, turns exceptions into verdicts, and undoes what the case has changed, whatever
happened.  One `Result` comes out.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from openami.cosem.conformance.case import (
    Ask,
    Beside,
    Case,
    Confirm,
    Connect,
    Exchange,
    Failed,
    Hangup,
    Hear,
    Inconclusive,
    Line,
    LineLost,
    NotApplicable,
    Pushed,
    Script,
    Send,
    Verdict,
    Wait,
)
from openami.cosem.conformance.declaration import Declaration, DeclaredAssociation
from openami.cosem.conformance.needs import missing
from openami.cosem.conformance.trial import Trial
from openami.dlms.errors import DlmsError

LINE_LOST: Final = "the line was lost"
"""How the reason begins where no meter was there."""
SECOND: Final = "on a second connection"


class Stopped(Exception):  # noqa: N818  an event of the run
    """The person who runs the tests ends them: thrown into `attempt`, which puts the meter back."""


@dataclass(frozen=True, slots=True)
class Crossing:
    """One line of a transcript.

    Attributes:
        kind: ``connect``, ``hang up``, ``send``, ``receive``, ``silence``, ``wait``, ``undo``.
        octets: What crossed.
        text: What is to be said beside them.
    """

    kind: str
    octets: bytes = b""
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How one case ended at one association.

    Attributes:
        case: Which case.
        association: Name of the association; empty for the data link.
        verdict: How it ended.
        reason: One sentence that quotes what came and what the clause accepts.
        remarks: What else is to be known.
        transcript: What crossed.
    """

    case: Case
    association: str
    verdict: Verdict
    reason: str
    remarks: tuple[str, ...] = ()
    transcript: tuple[Crossing, ...] = ()


@dataclass(slots=True)
class _Recorder:
    """Passes asks on and writes down what crossed."""

    crossings: list[Crossing] = field(default_factory=list)

    def follow(self, script: Script[str | None]) -> Script[str | None]:
        """Run a script and record it; its verdicts and its end pass through."""
        step: Callable[[], Ask] = partial(next, script)
        while True:
            try:
                ask = step()
            except StopIteration as stop:
                remark: str | None = stop.value
                return remark
            self._asked(ask)
            try:
                answer = yield ask
            except LineLost as lost:
                self.crossings.append(Crossing("silence", text=str(lost)))
                step = partial(script.throw, lost)
            else:
                self._answered(ask, answer)
                step = partial(script.send, answer)

    def _asked(self, ask: Ask, said: str = "") -> None:
        match ask:
            case Beside(inner):
                self._asked(inner, SECOND)
            case Connect(client_sap):
                where = f", {said}" if said else ""
                self.crossings.append(Crossing("connect", text=f"client {client_sap}{where}"))
            case Hangup():
                self.crossings.append(Crossing("hang up", text=said))
            case Exchange(octets) | Line(octets) | Send(octets):
                self.crossings.append(Crossing("send", octets, said))
            case Confirm(octets):
                self.crossings.append(Crossing("send", octets, "to where the push came from"))
            case Wait() | Hear() | Pushed():
                self.crossings.append(Crossing("wait", text=_waits(ask)))

    def _answered(self, ask: Ask, answer: bytes | None) -> None:
        said = SECOND if isinstance(ask, Beside) else ""
        inner = ask.ask if isinstance(ask, Beside) else ask
        if isinstance(inner, Exchange | Line | Hear | Pushed):
            if answer:
                self.crossings.append(Crossing("receive", answer, said))
            else:
                self.crossings.append(Crossing("silence", text=said))


def attempt(
    case: Case,
    declaration: Declaration,
    association: DeclaredAssociation | None,
    entropy: Callable[[int], bytes],
    memory: dict[str, Any] | None = None,
) -> Script[Result]:
    """Run one case and undo what it changed; yields asks, returns the result.

    Args:
        case: What to run.
        declaration: What the meter claims.
        association: The one under test; None for the data link.
        entropy: Gives challenges and keys.
        memory: What cases of this association have learnt, kept between them.
    """
    trial = Trial(declaration, entropy, association)
    if memory is not None:
        trial.memory = memory
    recorder = _Recorder()
    reason = missing(case, declaration, association)
    if reason is not None:
        verdict = Verdict.NOT_APPLICABLE
    else:
        try:
            verdict, reason = yield from _judged(recorder.follow(case.script(trial)), case)
        except Exception:  # the run is stopped, or a case has a fault: the meter is put back first
            yield from _undone(trial, recorder)
            raise
        yield from _undone(trial, recorder)
    return Result(
        case=case,
        association=association.name if association else "",
        verdict=verdict,
        reason=reason,
        remarks=tuple(trial.remarks),
        transcript=tuple(recorder.crossings),
    )


def _judged(script: Script[str | None], case: Case) -> Script[tuple[Verdict, str]]:
    try:
        remark = yield from script
    except Failed as failed:
        return Verdict.FAIL, f"{failed} ({case.clause})"
    except Inconclusive as inconclusive:
        return Verdict.INCONCLUSIVE, str(inconclusive)
    except NotApplicable as not_applicable:
        return Verdict.NOT_APPLICABLE, str(not_applicable)
    except LineLost as lost:
        return Verdict.INCONCLUSIVE, f"{LINE_LOST}: {lost}"
    except DlmsError as error:
        return Verdict.FAIL, f"{error}; accepted is: {case.accepts} ({case.clause})"
    return Verdict.PASS, remark or f"as the clause accepts: {case.accepts}"


def _undone(trial: Trial, recorder: _Recorder) -> Script[None]:
    """Put back what was changed, last first; what cannot be is a remark, never silent."""
    while trial.undo:
        undo = trial.undo.pop()
        recorder.crossings.append(Crossing("undo", text=f"put back {undo.what}"))
        try:
            yield from recorder.follow(_as_script(undo.script(trial)))
        except (Failed, Inconclusive, NotApplicable, LineLost, DlmsError) as error:
            trial.remarks.append(f"NOT PUT BACK: {undo.what}: {error}")


def _waits(ask: Wait | Hear | Pushed) -> str:
    match ask:
        case Wait(seconds, why):
            return f"{seconds:g} s: {why}"
        case Hear():
            return "for one more APDU"
        case Pushed(seconds=seconds):
            return f"{seconds:g} s: for a push"


def _as_script(undo: Script[None]) -> Script[str | None]:
    yield from undo
    return None
