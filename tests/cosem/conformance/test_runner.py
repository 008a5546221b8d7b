# SPDX-License-Identifier: Apache-2.0
"""Stepping a case: verdicts, transcripts, and putting the meter back whatever happens."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from cosem.conformance.pairs_subject import SUBJECTS
from cosem.conformance.push_subject import line_push_subject, push_subject
from cosem.conformance.subject import Subject, sound_meter
from openami.cosem.conformance.case import (
    Ask,
    Case,
    Connect,
    Exchange,
    Failed,
    Group,
    Hangup,
    Inconclusive,
    Line,
    LineLost,
    Need,
    NotApplicable,
    Script,
    Verdict,
    Wait,
)
from openami.cosem.conformance.needs import missing
from openami.cosem.conformance.runner import Result, Stopped, attempt
from openami.cosem.conformance.suite import BY_ID, CASES, plan
from openami.cosem.conformance.symsec_keys import GAK, GUEK, case_key, restore, with_keys
from openami.cosem.conformance.trial import Trial, Undo
from openami.cosem.device import SECURITY_SETUP
from openami.dlms.errors import DecodeError
from openami.dlms.hls import Mechanism
from openami.dlms.obis import Obis
from openami.dlms.security.ciphering import Cipher
from openami.dlms.security.suites import NO_PROTECTION, SecurityPolicy
from playbooks.secure_meter import SETUP_V1

DECLARATION = Subject().declaration
PUBLIC = DECLARATION.associations[0]


def case_of(script: Callable[[Trial], Script[str | None]], *needs: Need) -> Case:
    return Case(
        id="A_CASE",
        group=Group.OPEN,
        title="a case",
        clause="clause 1",
        needs=needs,
        steps="something",
        accepts="something else",
        script=script,
    )


def steps(script: Script[Result], answers: dict[int, Any]) -> tuple[list[Ask], Result]:
    """Drive a script: each ask is answered by its number, exceptions are thrown, None else."""
    asks: list[Ask] = []
    try:
        ask = next(script)
        while True:
            asks.append(ask)
            answer = answers.get(len(asks))
            throws = isinstance(answer, Exception)
            ask = script.throw(answer) if throws else script.send(answer)
    except StopIteration as stop:
        return asks, stop.value


def _ends(how: object) -> Callable[[Trial], Script[str | None]]:
    def script(trial: Trial) -> Script[str | None]:
        def undo(_: Trial) -> Script[None]:
            yield Exchange(b"second")

        def earlier(_: Trial) -> Script[None]:
            yield Exchange(b"first")

        yield Exchange(b"change")
        trial.undo += [Undo("the last", earlier), Undo("the first", undo)]
        if isinstance(how, Exception):
            raise how
        return None if how is None else str(how)

    return script


ENDS = (
    (None, Verdict.PASS, "as the clause accepts: something else"),
    ("well done", Verdict.PASS, "well done"),
    (Failed("no answer came"), Verdict.FAIL, "no answer came (clause 1)"),
    (Inconclusive("it did not open"), Verdict.INCONCLUSIVE, "it did not open"),
    (NotApplicable("it has no profile"), Verdict.NOT_APPLICABLE, "it has no profile"),
    (LineLost("the cable is out"), Verdict.INCONCLUSIVE, "the line was lost: the cable is out"),
    (DecodeError("wrong tag", b"\x00", 0, "9.5"), Verdict.FAIL, "wrong tag"),
)


@pytest.mark.parametrize(("how", "verdict", "reason"), ENDS, ids=lambda each: str(each)[:24])
def test_each_end_is_a_verdict_and_puts_the_meter_back(
    how: object, verdict: Verdict, reason: str
) -> None:
    asks, result = steps(attempt(case_of(_ends(how)), DECLARATION, PUBLIC, bytes), {})
    assert result.verdict is verdict
    assert reason in result.reason
    assert asks == [Exchange(b"change"), Exchange(b"second"), Exchange(b"first")]
    assert [line.text for line in result.transcript if line.kind == "undo"] == [
        "put back the first",
        "put back the last",
    ]


def test_whoever_stops_a_run_gets_the_meter_back_first() -> None:
    def script(trial: Trial) -> Script[str | None]:
        def undo(_: Trial) -> Script[None]:
            yield Exchange(b"back")

        trial.undo.append(Undo("it", undo))
        yield Exchange(b"change")
        raise AssertionError("not reached")

    running = attempt(case_of(script), DECLARATION, PUBLIC, bytes)
    assert next(running) == Exchange(b"change")
    assert running.throw(Stopped()) == Exchange(b"back")
    with pytest.raises(Stopped):
        running.send(None)


def test_what_cannot_be_put_back_is_told() -> None:
    script = attempt(case_of(_ends(None)), DECLARATION, PUBLIC, bytes)
    asks, result = steps(script, {2: LineLost("the cable is out")})
    assert len(asks) == 3, "the other change is put back all the same"
    assert result.verdict is Verdict.PASS
    assert result.remarks == ("NOT PUT BACK: the first: the cable is out",)


def test_the_transcript_says_everything_that_crossed() -> None:
    def script(_: Trial) -> Script[str | None]:
        yield Connect(16)
        assert (yield Exchange(b"\x01")) == b"\x02"
        assert (yield Exchange(b"\x03")) is None
        yield Line(b"\x7e")
        yield Wait(1.5, "the time-out")
        yield Hangup()
        return None

    _, result = steps(attempt(case_of(script), DECLARATION, PUBLIC, bytes), {2: b"\x02"})
    assert [(line.kind, line.octets, line.text) for line in result.transcript] == [
        ("connect", b"", "client 16"),
        ("send", b"\x01", ""),
        ("receive", b"\x02", ""),
        ("send", b"\x03", ""),
        ("silence", b"", ""),
        ("send", b"\x7e", ""),
        ("silence", b"", ""),
        ("wait", b"", "1.5 s: the time-out"),
        ("hang up", b"", ""),
    ]


def test_a_case_that_does_not_apply_asks_nothing() -> None:
    asks, result = steps(
        attempt(case_of(_ends(None), Need.CIPHERED), DECLARATION, PUBLIC, bytes), {}
    )
    assert asks == []
    assert result.verdict is Verdict.NOT_APPLICABLE
    assert "an association with ciphering" in result.reason


@pytest.mark.parametrize("need", Need)
def test_every_need_is_met_by_some_declaration_and_not_by_another(need: Need) -> None:
    user = replace(PUBLIC, user_id=1)
    bare = replace(
        DECLARATION, link=None, test_attribute=None, profile=None, associations=(PUBLIC,)
    )
    nothing = replace(PUBLIC, conformance=PUBLIC.conformance & 0)
    case = case_of(_ends(None), need)
    with_push = push_subject().declaration
    with_pairs = SUBJECTS["suite 1"]().declaration.associations
    able = {
        missing(case, DECLARATION, each) for each in (*DECLARATION.associations, *with_pairs, user)
    }
    able |= {missing(case, each, PUBLIC) for each in (with_push, line_push_subject().declaration)}
    unable = {missing(case, bare, each) for each in (*DECLARATION.associations, user, nothing)}
    assert None in able
    assert unable - {None}


def test_every_need_is_asked_by_some_case() -> None:
    assert {need for case in CASES for need in case.needs} == set(Need) - {Need.LLS, Need.LOWEST}


def test_the_data_link_comes_first_and_once() -> None:
    planned = list(plan(CASES, DECLARATION))
    links = [each.case.group is Group.HDLC for each in planned]
    assert links == sorted(links, reverse=True)
    assert len({each.key for each in planned}) == len(planned)
    assert all(
        (each.association is None) is is_link for each, is_link in zip(planned, links, strict=True)
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_case_says_what_it_does(case: Case) -> None:
    assert case.title
    assert case.steps
    assert case.accepts
    assert case.clause.startswith(("DLMS UA", "IEC 62056"))
    assert not case.title.endswith(".")
    assert BY_ID[case.id] is case


@pytest.mark.parametrize("left", [(), (GUEK,), (GAK,), (GUEK, GAK)], ids=str)
def test_keys_that_a_killed_run_left_are_put_back(left: tuple[object, ...]) -> None:
    subject = Subject()
    manager = subject.association("manager")
    assert manager is not None
    assert manager.keys is not None
    assert manager.master_key is not None
    put = {each: case_key(manager.master_key, each) for each in (GUEK, GAK) if each in left}
    subject.meter.ciphering.cipher = Cipher(with_keys(manager.keys, put))
    trial = Trial(subject.declaration, lambda count: bytes(range(count)), manager)
    said = subject.run(restore(trial))
    assert subject.meter.ciphering.cipher.keys == manager.keys
    assert said == (
        " and ".join("GUEK" if each is GUEK else "GAK" for each in left) + " put back"
        if left
        else "the declared keys work: there is nothing to put back"
    )


def test_keys_that_nobody_knows_are_told() -> None:
    subject = Subject()
    manager = subject.association("manager")
    assert manager is not None
    assert manager.keys is not None
    lost = replace(manager.keys, encryption_key=bytes(16))
    subject.meter.ciphering.cipher = Cipher(lost)
    with pytest.raises(Failed, match="neither the declared keys nor those of a case"):
        subject.run(restore(Trial(subject.declaration, lambda n: bytes(range(n)), manager)))


def test_mechanisms_of_the_subject_are_those_that_cases_tell_apart() -> None:
    mechanisms = {each.mechanism for each in DECLARATION.associations}
    assert mechanisms >= {Mechanism.LOWEST, Mechanism.LLS, Mechanism.HLS_SHA1, Mechanism.HLS_GMAC}


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("setup", [SECURITY_SETUP, SETUP_V1], ids=["version 0", "version 1"])
def test_policies_are_activated_as_the_version_of_the_setup_writes_them(
    number: int, setup: Obis
) -> None:
    subject = Subject(meter=sound_meter(NO_PROTECTION))
    own = subject.declaration
    managed = tuple(replace(aa, security_setup=setup) for aa in own.associations)
    subject.declaration = replace(own, associations=managed)
    result = subject.judge(f"SYMSEC_0_SecPol_{number}", "manager")
    assert result.verdict is Verdict.PASS, result.reason
    assert subject.meter.store.policy == SecurityPolicy.from_version_0(number)
    (remark,) = result.remarks
    assert "NOT PUT BACK" in remark
    assert "only become stronger" in remark
