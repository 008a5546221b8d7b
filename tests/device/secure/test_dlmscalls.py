# SPDX-License-Identifier: Apache-2.0
"""Whatever a caller says in a call of DLMS/COSEM security, it is answered or refused."""

from contextlib import suppress
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device.secure.worlds import ask, in_memory
from openami.device.secure.access import Caller
from openami.device.secure.calls import BY_NAME
from openami.device.secure.channels import Secrets, bring_in
from openami.device.secure.codec import OCTETS, Value
from openami.device.secure.service import Session
from openami.firmware.bank import M2351_FLASH_OCTETS
from openami.firmware.flash import SimulatedFlash
from openami.psa.status import PsaError, Status

KEY = bytes(16)
SECRETS = Secrets(
    title=b"OAM\0\0\0\0\1", epoch=1, encryption=KEY, authentication=KEY, master=KEY, password=KEY
)
NAMES = [name for name in BY_NAME if name.startswith("dlms_")]


@cache
def session() -> Session:
    flash = SimulatedFlash(M2351_FLASH_OCTETS)
    rooms = in_memory(flash).world.rooms
    bring_in(rooms.its, rooms.ps, SECRETS)
    return in_memory(flash).connect(Caller.NON_SECURE)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_arguments_are_answered_or_refused(name: str, data: st.DataObject) -> None:
    calls = session()
    with suppress(PsaError):
        ask(calls, "dlms_open", bytes(8))
    small = st.one_of(
        st.integers(0, 8), st.sampled_from([0x10, 0x20, 0x30, 0xFF, 0x100, 2**32 - 1])
    )
    known = [b"", b"\xff", bytes(8), b"\xc0\1\xc1", b"\1\1\x10"]
    octets = st.one_of(st.binary(max_size=24), st.sampled_from(known))
    values: list[Value] = [
        data.draw(octets if field is OCTETS else small) for field in BY_NAME[name].arguments
    ]

    with suppress(PsaError):
        ask(calls, name, *values)


def test_a_channel_is_of_the_connection_that_opened_it() -> None:
    with pytest.raises(PsaError) as caught:
        ask(session(), "dlms_unprotect", 999_999, b"")

    assert caught.value.status is Status.INVALID_HANDLE


def test_a_wrong_password_is_refused() -> None:
    ask(session(), "dlms_check_password", KEY)

    with pytest.raises(PsaError) as caught:
        ask(session(), "dlms_check_password", KEY[:-1])

    assert caught.value.status is Status.INVALID_SIGNATURE
