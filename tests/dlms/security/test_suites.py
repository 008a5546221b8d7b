# SPDX-License-Identifier: Apache-2.0
"""Security control octets and policies, walked whole."""

import contextlib

import pytest

from openami.dlms.errors import SecurityError
from openami.dlms.security.suites import SecurityControl, SecurityPolicy, SecuritySuite


@pytest.mark.parametrize("octet", range(256))
def test_every_control_octet(octet: int) -> None:
    if octet & 0x80 or octet & 0x0F > 2:
        with pytest.raises(SecurityError):
            SecurityControl(octet)
        return
    control = SecurityControl(octet)

    assert control == octet
    assert control == SecurityControl.of(
        control.suite,
        authenticated=control.authenticated,
        encrypted=control.encrypted,
        broadcast=control.broadcast,
    )
    assert (control.authenticated, control.encrypted) == (bool(octet & 16), bool(octet & 32))


@pytest.mark.parametrize("octet", [-1, 256, 0x100 | 0x30])
def test_a_control_is_one_octet(octet: int) -> None:
    with pytest.raises(SecurityError):
        SecurityControl(octet)


@pytest.mark.parametrize(
    ("version_0", "version_1", "bits"),
    [(0, 0x00, 0x00), (1, 0x24, 0x10), (2, 0x48, 0x20), (3, 0x6C, 0x30)],
)
def test_policy_of_version_0(version_0: int, version_1: int, bits: int) -> None:
    policy = SecurityPolicy.from_version_0(version_0)

    assert policy == version_1
    assert policy.request_bits == policy.response_bits == bits
    assert policy.to_version_0() == version_0


@pytest.mark.parametrize("number", [-1, 4, 255])
def test_version_0_ends_at_3(number: int) -> None:
    with pytest.raises(SecurityError, match="is not 0 to 3"):
        SecurityPolicy.from_version_0(number)


@pytest.mark.parametrize("octet", range(0, 256, 4))
def test_version_0_cannot_say_every_policy(octet: int) -> None:
    policy = SecurityPolicy(octet)
    same = {SecurityPolicy.from_version_0(number) for number in range(4)}

    with contextlib.ExitStack() as refused:
        if policy not in same:
            refused.enter_context(pytest.raises(SecurityError, match="version 0 cannot say"))
        assert SecurityPolicy.from_version_0(policy.to_version_0()) == policy


def test_policy_bits_by_direction() -> None:
    policy = SecurityPolicy.AUTHENTICATED_REQUEST | SecurityPolicy.ENCRYPTED_RESPONSE

    assert policy.request_bits == 0x10
    assert policy.response_bits == 0x20


@pytest.mark.parametrize("suite", SecuritySuite)
def test_key_sizes(suite: SecuritySuite) -> None:
    assert suite.key_octets == {0: 16, 1: 16, 2: 32}[suite]
