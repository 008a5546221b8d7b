# SPDX-License-Identifier: Apache-2.0
"""Our own server passes every case; each defect is found by the case that is meant for it."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from cosem.conformance import (
    defects_blocks,
    defects_data,
    defects_hdlc,
    defects_names,
    defects_opening,
    defects_pairs,
    defects_push,
    defects_security,
    defects_shared,
    defects_windows,
)
from cosem.conformance.defects import Defect
from cosem.conformance.pairs_subject import SUBJECTS, signing_subject
from cosem.conformance.push_subject import push_subject_for
from cosem.conformance.subject import HASHED, Subject, sound_meter
from openami.cosem.conformance.case import Ask, Beside, Case, Exchange, Group, LineLost, Verdict
from openami.cosem.conformance.suite import BY_ID, CASES, Planned, plan
from openami.dlms.hls import Mechanism
from openami.dlms.security import channel
from playbooks.demo_meter import CLIENT_TITLE, MANAGER

DEFECTS: tuple[Defect, ...] = (
    *defects_hdlc.DEFECTS,
    *defects_opening.DEFECTS,
    *defects_data.DEFECTS,
    *defects_blocks.DEFECTS,
    *defects_names.DEFECTS,
    *defects_security.DEFECTS,
    *defects_pairs.DEFECTS,
    *defects_push.DEFECTS,
    *defects_shared.DEFECTS,
    *defects_windows.DEFECTS,
)
PAIRS = SUBJECTS["suite 1"]().declaration
PLANNED = list(plan(CASES, Subject().declaration))


def named(thing: Defect | Planned | Case) -> str:
    if isinstance(thing, Case):
        return thing.id
    return f"{thing.case}: {thing.what}" if isinstance(thing, Defect) else thing.key


@pytest.mark.parametrize("planned", PLANNED, ids=named)
def test_our_server_passes_or_does_not_claim_it(planned: Planned) -> None:
    name = planned.association.name if planned.association else ""
    result = Subject().judge(planned.case.id, name)
    assert result.verdict in {Verdict.PASS, Verdict.NOT_APPLICABLE}, result.reason
    assert not [each for each in result.remarks if "NOT PUT BACK" in each]


@pytest.mark.parametrize("case", [each for each in CASES if each.group is Group.PUSH], ids=named)
def test_our_push_setup_passes(case: Case) -> None:
    result = push_subject_for(case).judge(case.id, "manager")
    assert result.verdict is Verdict.PASS, result.reason
    assert not [each for each in result.remarks if "NOT PUT BACK" in each]


@pytest.mark.parametrize("suite", SUBJECTS)
@pytest.mark.parametrize(
    "planned", list(plan((each for each in CASES if each.by_association), PAIRS)), ids=named
)
def test_our_server_passes_in_suites_with_key_pairs(planned: Planned, suite: str) -> None:
    assert planned.association is not None
    result = SUBJECTS[suite]().judge(planned.case.id, planned.association.name)
    assert result.verdict in {Verdict.PASS, Verdict.NOT_APPLICABLE}, result.reason
    left = [each for each in result.remarks if "NOT PUT BACK" in each]
    assert len(left) == 2 * planned.case.last, "the policy for responses and that for requests"
    if planned.case.group is Group.PAIRS:
        assert result.verdict is Verdict.PASS, result.reason


@pytest.mark.parametrize(
    "case",
    [each for each in CASES if each.by_association and each.group is not Group.PUSH],
    ids=named,
)
def test_a_meter_that_asks_for_signatures_is_signed_to(case: Case) -> None:
    result = signing_subject().judge(case.id, "manager")
    assert result.verdict in {Verdict.PASS, Verdict.NOT_APPLICABLE}, result.reason


@pytest.mark.parametrize("size", [1, 4])
@pytest.mark.parametrize("case", [each for each in CASES if not each.by_association], ids=named)
def test_our_station_passes_with_addresses_of_each_size(case: Case, size: int) -> None:
    result = Subject(address_octets=size).judge(case.id)
    assert result.verdict in {Verdict.PASS, Verdict.NOT_APPLICABLE}, result.reason


@pytest.mark.parametrize("mechanism", [Mechanism.HLS_MD5, Mechanism.HLS_SHA256])
@pytest.mark.parametrize(
    "case", [each for each in CASES if each.id.startswith("APPL_OPEN_")], ids=named
)
def test_our_server_passes_by_each_mechanism_with_a_secret(
    case: Case, mechanism: Mechanism
) -> None:
    subject = Subject()
    policies = subject.meter.associations
    policies[HASHED] = replace(policies[HASHED], mechanism=mechanism)
    own = subject.declaration
    hashed = replace(own.associations[2], mechanism=mechanism, client_title=CLIENT_TITLE)
    subject.declaration = replace(own, associations=(hashed,))
    result = subject.judge(case.id, "hashed")
    assert result.verdict in {Verdict.PASS, Verdict.NOT_APPLICABLE}, result.reason


@pytest.mark.parametrize(("released", "said"), [(False, "went on"), (True, "and then")])
def test_a_meter_may_release_without_proof_or_not(*, released: bool, said: str) -> None:
    """The demo meter wants a proof; clients in the field give none."""
    meter = sound_meter()
    manager = meter.associations[MANAGER]
    meter.associations[MANAGER] = replace(manager, plain_release=released)
    result = Subject(meter=meter).judge("SYMSEC_0_REL_BARE", "manager")
    assert result.verdict is Verdict.PASS, result.reason
    assert said in result.reason


def test_one_connection_at_a_time_is_no_fault() -> None:
    subject = Subject()
    answer = subject.answer

    def alone(ask: Ask) -> bytes | None:
        if isinstance(ask, Beside):
            raise LineLost("the meter refused the connection")
        return answer(ask)

    subject.answer = alone  # type: ignore[method-assign]
    result = subject.judge("APPL_CLIENTS_P", "reader")
    assert result.verdict is Verdict.NOT_APPLICABLE
    assert "no second connection" in result.reason


def test_a_meter_may_hang_up_on_who_has_opened_nothing() -> None:
    subject = Subject()
    answer = subject.answer

    def hangs_up(ask: Ask) -> bytes | None:
        if isinstance(ask, Beside) and isinstance(ask.ask, Exchange):
            raise LineLost("the peer closed the connection")
        return answer(ask)

    subject.answer = hangs_up  # type: ignore[method-assign]
    result = subject.judge("APPL_CLIENTS_N", "reader")
    assert result.verdict is Verdict.PASS, result.reason
    assert result.reason.startswith("the end of the connection came to ")


@pytest.mark.parametrize(
    ("case", "at", "subject"),
    [
        ("SYMSEC_0_SecDataX_N1", "manager", Subject),
        ("SYMSEC_0_DedKey_N1_NONE", "manager", Subject),
        ("SYMSEC_0_DedKey_N1_OLD", "manager", Subject),
        ("SYMSEC_0_DedKey_N1_GLOBAL", "manager", Subject),
        ("SYMSEC_12_Sign_N1", PAIRS.associations[0].name, SUBJECTS["suite 1"]),
        ("SYMSEC_12_GenCiph_N1", PAIRS.associations[0].name, SUBJECTS["suite 1"]),
    ],
)
def test_a_meter_that_refuses_everything_is_not_judged_by_its_refusals(
    case: str, at: str, subject: Callable[[], Subject]
) -> None:
    assert subject().judge(case, at).verdict is Verdict.PASS
    broken = subject()
    honest = broken.serve

    def refuses(own: Subject, client: int, apdu: bytes) -> bytes | None:
        standing = own.server._associations.get(client)
        serves = standing is not None and standing._is_open and apdu[:1] != b"\x60"
        return bytes.fromhex("D80101") if serves else honest(own, client, apdu)

    broken.serve = refuses
    result = broken.judge(case, at)
    assert result.verdict is Verdict.INCONCLUSIVE, result.reason
    assert "a sound GET too" in result.reason


IS_COMPILED = not str(channel.__file__).endswith(".py")


@pytest.mark.skipif(IS_COMPILED, reason="compiled code cannot be broken from outside")
@pytest.mark.parametrize("defect", DEFECTS, ids=named)
def test_a_defect_is_found_by_the_case_that_is_meant_for_it(
    defect: Defect, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = defect.sound()
    assert sound.judge(defect.case, defect.at).verdict is Verdict.PASS

    broken = defect.sound()
    defect.damage(broken, monkeypatch)
    result = broken.judge(defect.case, defect.at)
    assert result.verdict is Verdict.FAIL, result.reason
    assert BY_ID[defect.case].clause in result.reason


def test_every_case_has_a_defect_that_it_is_meant_to_find() -> None:
    meant = Counter(defect.case for defect in DEFECTS)
    assert sorted(set(BY_ID) - set(meant)) == []
    assert len(BY_ID) == len(CASES)
