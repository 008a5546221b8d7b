# SPDX-License-Identifier: Apache-2.0
"""Releases that must be proven, users that are told apart, and who is told of what was refused."""

from dataclasses import replace
from typing import Any

import pytest

from openami.cosem.classes.access_control import CURRENT_ASSOCIATION, AssociationLnV3, UserListEntry
from openami.cosem.classes.measurement import Register
from openami.cosem.refusals import (
    AssociationError,
    ExceptionResponseError,
    ReleaseRefusedError,
)
from openami.cosem.server import NOT_POSSIBLE, ServerConnection
from openami.cosem.serving.watching import SecurityIncident, SecurityReport
from openami.dlms.apdu.acse import (
    Aare,
    AcseServiceUser,
    AssociationResult,
    ReleaseRequestReason,
    ReleaseResponseReason,
    Rlre,
    Rlrq,
)
from openami.dlms.apdu.initiate import Conformance
from openami.dlms.association import State
from openami.dlms.data import VisibleString
from openami.dlms.errors import DlmsError
from openami.dlms.security.ciphering import Cipher
from openami.dlms.security.keyset import KeySet
from openami.dlms.security.suites import SecurityPolicy
from playbooks.demo_meter import (
    ENERGY,
    MANAGER,
    PUBLIC,
    READER,
    DemoMeter,
    Link,
    Sap,
    aarq,
    associated,
    entropy,
)

PLAIN_RELEASE = Rlrq(reason=ReleaseRequestReason.NORMAL).encode()


class Watch:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.reports: list[SecurityReport] = []

    def report(self, report: SecurityReport) -> None:
        self.reports.append(report)

    @property
    def incidents(self) -> list[SecurityIncident]:
        return [each.incident for each in self.reports]


def watched(client_sap: Sap = MANAGER, meter: DemoMeter | None = None, **terms: Any) -> Link:
    link = Link(meter or DemoMeter(), client_sap, **terms)
    link.server = ServerConnection(link.meter, entropy=entropy(), watch=Watch())
    return link


def watch_of(link: Link) -> Watch:
    watch = link.server._around.watch
    assert isinstance(watch, Watch)
    return watch


# Release ------------------------------------------------------------------------------------


def test_a_release_without_proof_is_refused_where_requests_are_protected() -> None:
    link = watched()
    link.run(link.client.associate())
    answer = Rlre.decode(link.send(PLAIN_RELEASE))
    assert answer.reason is ReleaseResponseReason.NOT_FINISHED
    assert answer.user_information is None
    assert link.run(link.client.get(Register.value, at=ENERGY)) == 123_456
    assert watch_of(link).incidents == [SecurityIncident.NOT_DECIPHERED]
    link.run(link.client.release())
    assert link.server.state(MANAGER) is State.IDLE


def test_a_release_without_proof_is_taken_where_the_policy_says_so() -> None:
    meter = DemoMeter()
    meter.associations[MANAGER] = replace(meter.associations[MANAGER], plain_release=True)
    link = watched(meter=meter)
    link.run(link.client.associate())
    assert Rlre.decode(link.send(PLAIN_RELEASE)).reason is ReleaseResponseReason.NORMAL
    assert link.server.state(MANAGER) is State.IDLE


def test_it_is_taken_where_requests_need_no_protection() -> None:
    meter = DemoMeter()
    meter.ciphering.policy = SecurityPolicy(0)
    link = watched(meter=meter, policy=SecurityPolicy(0))
    link.run(link.client.associate())
    assert Rlre.decode(link.send(PLAIN_RELEASE)).reason is ReleaseResponseReason.NORMAL
    link = watched(READER)
    link.run(link.client.associate())
    assert Rlre.decode(link.send(PLAIN_RELEASE)).reason is ReleaseResponseReason.NORMAL


@pytest.mark.parametrize("reason", list(ReleaseRequestReason))
def test_every_reason_releases(reason: ReleaseRequestReason) -> None:
    for client_sap in (PUBLIC, MANAGER):
        link = associated(client_sap)
        link.run(link.client.release(reason))
        assert Rlrq.decode(link.wire[-2]).reason is reason
        assert link.client.state is link.server.state(client_sap) is State.IDLE


def test_the_client_goes_on_where_the_meter_does_not_release() -> None:
    link = associated()
    steps = link.client.release()
    next(steps)
    with pytest.raises(ReleaseRefusedError, match="not-finished"):
        steps.send(Rlre(reason=ReleaseResponseReason.NOT_FINISHED).encode())
    assert link.client.state is State.ASSOCIATED
    assert link.run(link.client.get(Register.value, at=ENERGY)) == 123_456
    steps = link.client.release()
    next(steps)
    with pytest.raises(ExceptionResponseError, match="operation-not-possible"):
        steps.send(NOT_POSSIBLE)
    assert link.client.state is State.ASSOCIATED


# Users --------------------------------------------------------------------------------------

USERS = (UserListEntry(3, VisibleString("anna")), UserListEntry(7, VisibleString("ben")))


def with_users(**terms: Any) -> Link:
    meter = DemoMeter()
    meter.associations[READER] = replace(meter.associations[READER], user_list=USERS)
    return watched(READER, meter, **terms)


def test_a_user_on_the_list_is_let_in_and_told_apart() -> None:
    link = with_users(user_id=7)
    link.run(link.client.associate())
    at = CURRENT_ASSOCIATION
    assert link.run(link.client.get(AssociationLnV3.user_list, at=at)) == USERS
    assert link.run(link.client.get(AssociationLnV3.current_user, at=at)) == USERS[1]


@pytest.mark.parametrize("user_id", [None, 0, 8])
def test_others_are_not(user_id: int | None) -> None:
    link = with_users(user_id=user_id)
    with pytest.raises(AssociationError, match="give the id of a user that is on the meter's list"):
        link.run(link.client.associate())
    aare = Aare.decode(link.wire[-1])
    assert aare.result is AssociationResult.REJECTED_PERMANENT
    assert (
        aare.result_source_diagnostic
        is AcseServiceUser.CALLING_AE_INVOCATION_IDENTIFIER_NOT_RECOGNIZED
    )
    assert watch_of(link).incidents == [SecurityIncident.USER_REFUSED]


def test_where_users_are_not_told_apart_anybody_may_name_one() -> None:
    link = associated(READER, user_id=99)
    assert link.client.state is State.ASSOCIATED


# The watch ----------------------------------------------------------------------------------


def test_a_refused_counter_is_reported_with_the_expected_one() -> None:
    link = watched()
    link.run(link.client.associate())
    link.run(link.client.get(Register.value, at=ENERGY))
    link.send(link.wire[-2])
    (report,) = watch_of(link).reports
    assert report.incident is SecurityIncident.COUNTER_REFUSED
    assert report.client_sap == MANAGER
    assert report.expected_counter == link.meter.ciphering.window.expected
    assert "the invocation counter is not above the last one" in report.detail


def test_a_replayed_aarq_is_reported() -> None:
    link = watched()
    link.run(link.client.associate())
    link.send(link.wire[0])
    assert watch_of(link).incidents == [SecurityIncident.COUNTER_REFUSED]


def test_what_cannot_be_deciphered_is_reported() -> None:
    link = watched()
    link.run(link.client.associate())
    link.send(bytes.fromhex("C001C100030100010800FF0200"))
    (report,) = watch_of(link).reports
    assert report.incident is SecurityIncident.NOT_DECIPHERED
    assert report.expected_counter is None
    link = watched(cipher=Cipher(KeySet(encryption_key=bytes(16), authentication_key=bytes(16))))
    with pytest.raises(AssociationError, match="deciphering-error"):
        link.run(link.client.associate())
    assert watch_of(link).incidents == [SecurityIncident.NOT_DECIPHERED]


def test_a_failed_authentication_is_reported() -> None:
    link = watched(READER, secret=b"87654321")
    with pytest.raises(AssociationError):
        link.run(link.client.associate())
    (report,) = watch_of(link).reports
    assert report.incident is SecurityIncident.AUTHENTICATION_FAILED
    assert report.client_sap == READER
    assert "87654321" not in report.detail
    assert "authentication-failure" in report.detail


def test_a_wrong_proof_is_reported() -> None:
    link = watched()
    steps = link.client.associate()
    aare = Aare.decode(link.send(next(steps)))
    changed = replace(aare, responding_authentication_value=bytes(16))
    answer = link.send(steps.send(changed.encode()))
    with pytest.raises(DlmsError):
        steps.send(answer)
    assert watch_of(link).incidents == [SecurityIncident.AUTHENTICATION_FAILED]


def test_what_is_no_matter_of_security_is_not_reported() -> None:
    link = watched(READER)
    link.run(link.client.associate())
    for apdu in ("FF00", "C0", "C101C1", "05010200FA", "E081"):
        link.send(bytes.fromhex(apdu))
    link.send(aarq(mechanism_name=None).encode())
    assert not watch_of(link).reports


def test_an_open_server_without_a_watch_says_nothing() -> None:
    link = associated()
    assert link.send(link.wire[0])[:1] == b"\xd8"


# Sizes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("octets", "accepted"), [(11, False), (12, True), (41, True)])
def test_general_blocks_need_no_room_for_protection(octets: int, *, accepted: bool) -> None:
    proposed = Conformance.GET | Conformance.ACTION | Conformance.GENERAL_BLOCK_TRANSFER
    link = Link(DemoMeter(), MANAGER, conformance=proposed, max_receive_pdu_octets=octets)
    if not accepted:
        with pytest.raises(AssociationError, match="pdu-size-too-short"):
            link.run(link.client.associate())
        return
    link.run(link.client.associate())
    assert link.run(link.client.get(Register.value, at=ENERGY)) == 123_456
    answers = [each for each in link.wire[4:] if each[0] == 0xE0]
    assert max(map(len, answers[1::2])) <= 41
