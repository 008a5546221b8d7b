# SPDX-License-Identifier: Apache-2.0
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openami.cosem.behaviour.localtime import SECOND_US
from openami.cosem.behaviour.port_protection import PortProtection, port_protection
from openami.cosem.classes.protection import (
    CommunicationPortProtection,
    PortProtectionMode,
    PortProtectionStatus,
)
from openami.dlms.obis import Obis

PORT = Obis(0, 0, 44, 2, 0, 255)
NOW = 1_772_000_000_000_000


def port(
    mode: PortProtectionMode = PortProtectionMode.LOCKED_ON_FAILED_ATTEMPTS,
    *,
    allowed: int = 2,
    steepness: int = 2,
    locks_at_limit: bool = False,
) -> PortProtection:
    thing = CommunicationPortProtection(
        PORT,
        protection_mode=mode,
        allowed_failed_attempts=allowed,
        initial_lockout_time=60,
        steepness_factor=steepness,
        max_lockout_time=200,
        port_reference=Obis(0, 0, 20, 0, 0, 255),
    )
    return port_protection(PortProtection(thing, locks_at_limit=locks_at_limit))


def test_lock_outs_grow_up_to_the_longest() -> None:
    guarded = port()
    now = NOW
    seconds = []
    for _ in range(6):
        assert not guarded.is_locked(now)
        guarded.failed(now)
        due = guarded.due_us()
        seconds.append(0 if due is None else (due - now) // SECOND_US)
        if due is not None:
            assert guarded.thing.protection_status is PortProtectionStatus.TEMPORARILY_LOCKED
            assert guarded.is_locked(due - 1)
            now = due
    assert seconds == [0, 0, 60, 120, 200, 200]
    guarded.tick(now)
    assert guarded.due_us() is None
    assert guarded.thing.failed_attempts == guarded.thing.cumulative_failed_attempts == 6


def test_the_failure_that_reaches_the_limit_may_lock() -> None:
    guarded = port(locks_at_limit=True)
    guarded.failed(NOW)
    assert not guarded.is_locked(NOW)
    guarded.failed(NOW)
    assert guarded.is_locked(NOW)


def test_success_and_reset_forget_failures_but_not_the_sum() -> None:
    guarded = port(allowed=1)
    guarded.failed(NOW)
    guarded.succeeded()
    guarded.failed(NOW)
    assert not guarded.is_locked(NOW)
    guarded.failed(NOW)
    assert guarded.is_locked(NOW)
    guarded.thing.invocations[1](0)
    assert not guarded.is_locked(NOW)
    assert guarded.thing.failed_attempts == 0
    assert guarded.thing.cumulative_failed_attempts == 3


@pytest.mark.parametrize(
    ("mode", "status"),
    [
        (PortProtectionMode.LOCKED, PortProtectionStatus.LOCKED),
        (PortProtectionMode.UNLOCKED, PortProtectionStatus.UNLOCKED),
    ],
)
def test_modes_that_failures_do_not_change(
    mode: PortProtectionMode, status: PortProtectionStatus
) -> None:
    guarded = port(mode, allowed=0)
    guarded.failed(NOW)
    assert guarded.thing.protection_status is status
    assert guarded.is_locked(NOW) is (status is PortProtectionStatus.LOCKED)


def test_a_power_cut_does_not_unlock() -> None:
    guarded = port(allowed=0)
    guarded.failed(NOW)
    after = port(allowed=0)
    after.restore(guarded.state())
    assert after.is_locked(NOW + 59 * SECOND_US)
    assert not after.is_locked(NOW + 60 * SECOND_US)


@given(st.integers(0, 255), st.integers(0, 3), st.integers(1, 200))
def test_a_lock_out_is_never_shorter_than_the_one_before(
    steepness: int, allowed: int, failures: int
) -> None:
    guarded = port(steepness=max(1, steepness), allowed=allowed)
    last = 0
    for _ in range(failures):
        guarded.failed(0)
        lasts = guarded.due_us() or 0
        assert last <= lasts <= 200 * SECOND_US
        last = lasts


def test_a_clock_that_is_set_back_locks_no_longer() -> None:
    guarded = port(allowed=0)
    guarded.failed(NOW)
    back = NOW - 10_000 * SECOND_US
    assert guarded.is_locked(back)
    assert guarded.due_us() == back + 60 * SECOND_US
