# SPDX-License-Identifier: Apache-2.0
"""Rows that demand protection: read under it, refused without, and neither is a fault."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from cosem.conformance.subject import Subject, sound_meter
from openami.cosem.conformance.case import Case, Verdict
from openami.cosem.conformance.suite import CASES
from openami.cosem.rights import Grant
from openami.dlms.security.suites import SecurityPolicy
from playbooks.demo_meter import MANAGER, NOTE, READER
from playbooks.secure_meter import SecureMeter

AUTHENTICATED = SecurityPolicy.AUTHENTICATED_REQUEST
SIGNED = SecurityPolicy.DIGITALLY_SIGNED_REQUEST


def meter_that_demands(protection: SecurityPolicy) -> SecureMeter:
    meter = sound_meter()
    for sap in (READER, MANAGER):
        policy = meter.associations[sap]
        demands = Grant(at=NOTE, read=(2,), write=(2,), protection=protection)
        meter.associations[sap] = replace(policy, grants=(*policy.grants, demands))
    return meter


def cases() -> Iterator[Case]:
    return (each for each in CASES if each.id.endswith("READABLE"))


@pytest.mark.parametrize("case", list(cases()), ids=lambda case: str(case.id))
@pytest.mark.parametrize("association", ["reader", "manager"])
@pytest.mark.parametrize("protection", [AUTHENTICATED, SIGNED])
def test_what_demands_protection_is_no_fault(
    case: Case, association: str, protection: SecurityPolicy
) -> None:
    result = Subject(meter=meter_that_demands(protection)).judge(case.id, association)

    assert result.verdict in {Verdict.PASS, Verdict.NOT_APPLICABLE}, result.reason


def test_the_demand_is_what_is_tried() -> None:
    """One attribute more than the secret of the association is tried and refused."""
    for meter, refused in ((sound_meter(), 1), (meter_that_demands(AUTHENTICATED), 2)):
        result = Subject(meter=meter).judge("COSEM_NOT_READABLE", "reader")
        assert result.reason == f"{refused} attributes were refused"
