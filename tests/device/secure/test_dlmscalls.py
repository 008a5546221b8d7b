# SPDX-License-Identifier: Apache-2.0
"""Whatever a caller says in a call of DLMS/COSEM security, it is answered or refused."""

import os
from contextlib import suppress
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device.secure.worlds import ask, in_memory, otp_in_memory
from meter.house import HEAD_END
from meter.suites import Suite
from openami.device.secure.access import Caller
from openami.device.secure.calls import BY_NAME
from openami.device.secure.channels import WINDOW, Channels, bring_in
from openami.device.secure.codec import OCTETS, Value
from openami.device.secure.identity import Ground
from openami.device.secure.keyring import Secrets
from openami.device.secure.personal import personalise_device
from openami.device.secure.service import Session
from openami.device.secure.world import real_now
from openami.dlms.security.credentials import MasterKey
from openami.dlms.security.suites import SecuritySuite
from openami.firmware.bank import M2351_FLASH_OCTETS
from openami.firmware.flash import SimulatedFlash
from openami.psa.status import PsaError, Status
from openami.psa.storage import Storage, StorageInfo

KEY = bytes(16)
SECRETS = Secrets(
    title=b"OAM\0\0\0\0\1", epoch=1, encryption=KEY, authentication=KEY, master=KEY, password=KEY
)
NAMES = [name for name in BY_NAME if name.startswith("dlms_")]


@cache
def session(suite: int = 0) -> Session:
    flash = SimulatedFlash(M2351_FLASH_OCTETS)
    if suite:
        otp = otp_in_memory()
        personalise_device(flash, otp, Suite(SecuritySuite(suite)).personality, os.urandom)
        return in_memory(flash, otp=otp).connect(Caller.NON_SECURE)
    rooms = in_memory(flash).world.rooms
    bring_in(rooms.its, rooms.ps, SECRETS)
    return in_memory(flash).connect(Caller.NON_SECURE)


@pytest.mark.parametrize("suite", [0, 1])
@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_arguments_are_answered_or_refused(name: str, suite: int, data: st.DataObject) -> None:
    calls = session(suite)
    with suppress(PsaError):
        ask(calls, "dlms_open", bytes(8))
    small = st.one_of(
        st.integers(0, 8), st.sampled_from([0x10, 0x20, 0x30, 0xFF, 0x100, 2**32 - 1])
    )
    known = [b"", b"\xff", bytes(8), b"\xc0\1\xc1", b"\1\1\x10", HEAD_END, bytes(32), bytes(129)]
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


class Refusing:
    """Storage of a flash that refuses some entries."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self.refused: frozenset[int] = frozenset()

    def set(self, client: int, uid: int, data: bytes, flags: int = 0) -> None:
        if uid in self.refused:
            raise PsaError(Status.STORAGE_FAILURE, "the flash refuses", f"entry {uid}")
        self._storage.set(client, uid, data, flags)

    def get(self, client: int, uid: int, offset: int, octets: int) -> bytes:
        return self._storage.get(client, uid, offset, octets)

    def get_info(self, client: int, uid: int) -> StorageInfo:
        return self._storage.get_info(client, uid)

    def remove(self, client: int, uid: int) -> None:
        self._storage.remove(client, uid)


def refusing() -> tuple[Refusing, Refusing]:
    rooms = in_memory(SimulatedFlash(M2351_FLASH_OCTETS)).world.rooms
    bring_in(rooms.its, rooms.ps, SECRETS)
    return Refusing(rooms.its), Refusing(rooms.ps)


def on(its: Refusing, ps: Refusing) -> Channels:
    """Start on what is stored."""
    keys = in_memory().world.rooms.keys
    return Channels(its, Ground(keys=keys, ps=ps, random=os.urandom, now=real_now))


def wrapped(key: bytes) -> dict[str, bytes]:
    return {"encryption": MasterKey(KEY).wrap(key)}


def accepted_up_to(channels: Channels, number: int) -> None:
    channels.window.expected = number
    channels.note_window()


def test_a_window_that_the_flash_did_not_take_is_noted_with_the_next_request() -> None:
    its, ps = refusing()
    channels = on(its, ps)
    its.refused = frozenset({WINDOW})
    with pytest.raises(PsaError):
        accepted_up_to(channels, 7)

    its.refused = frozenset()
    accepted_up_to(channels, 8)

    assert on(its, ps).window.expected >= 8


def test_a_key_that_the_flash_did_not_take_leaves_the_former_one_and_its_window() -> None:
    its, ps = refusing()
    channels = on(its, ps)
    accepted_up_to(channels, 7)
    ps.refused = frozenset({1})

    with pytest.raises(PsaError):
        channels.transfer(wrapped(bytes(range(16))))

    assert channels.secrets == on(its, ps).secrets == SECRETS
    assert channels.window.expected == 7


def test_a_key_in_force_is_used_though_the_flash_did_not_take_its_window() -> None:
    its, ps = refusing()
    channels = on(its, ps)
    accepted_up_to(channels, 7)
    its.refused = frozenset({WINDOW})

    channels.transfer(wrapped(bytes(range(16))))

    assert channels.secrets == on(its, ps).secrets != SECRETS
    assert channels.window.expected == 0


def test_no_start_finds_a_key_that_came_back_without_its_window() -> None:
    its, ps = refusing()
    channels = on(its, ps)
    accepted_up_to(channels, 7)
    channels.transfer(wrapped(bytes(range(16))))
    its.refused = frozenset({WINDOW})

    with pytest.raises(PsaError):
        channels.transfer(wrapped(KEY))

    assert on(its, ps).secrets.encryption != KEY
    its.refused = frozenset()
    channels.transfer(wrapped(KEY))
    assert channels.window.expected == on(its, ps).window.expected == 7
