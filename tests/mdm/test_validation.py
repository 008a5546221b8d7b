# SPDX-License-Identifier: Apache-2.0
"""Local days over intervals whose grid the midnights of the zone do not meet."""

from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine

from mdm.made import DAY_US, PERIOD_S, PERIOD_US, T0, load, message
from openami.mdm.intake import Intake
from openami.mdm.localdays import LocalDays
from openami.mdm.validation import Validator
from openami.mdm.vee.limits import Limits
from openami.runtime.clock import FixedClock
from openami.store import data_quality, inbox


@pytest.mark.parametrize("zone", ["Asia/Kathmandu", "Australia/Eucla", "Europe/Berlin"])
def test_a_finding_names_the_interval_that_it_is_about(
    engine: Engine, intake: Intake, clock: FixedClock, zone: str
) -> None:
    intake.zone = ZoneInfo(zone)
    rows = load(range(96))
    present = [row for slot, row in enumerate(rows) if slot not in {30, 40}]
    inbox.put(engine, [(message(1, present), None)])
    intake.drain()
    clock.set(T0 + 3 * DAY_US)
    validator = Validator(
        engine=engine,
        writer=intake.writer,
        days=LocalDays(intake.zone),
        period_s=PERIOD_S,
        limits=Limits(),
        now_us=clock.now_us,
        grace_us=lambda: 0,
    )
    while validator.run().days:
        pass
    missing = {
        (found.start_us - T0) / PERIOD_US
        for found in data_quality.findings(engine, codes=["vee.missing"])
    }
    assert {30, 40} <= missing
    assert all(slot == int(slot) for slot in missing)
