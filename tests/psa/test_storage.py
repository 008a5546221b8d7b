# SPDX-License-Identifier: Apache-2.0
"""Internal Trusted Storage and Protected Storage: what both promise, and what only one does."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openami.psa import algorithms
from openami.psa.attributes import PERSISTENT, KeyAttributes, KeyType, Usage
from openami.psa.flash import PAGE_OCTETS, MemoryFlash
from openami.psa.keystore import KeyStore
from openami.psa.lifecycle import STAGES, LifeCycle
from openami.psa.pagestore import PageStore
from openami.psa.protected import (
    NONCE_OCTETS,
    SUPPORT,
    TAG_OCTETS,
    ProtectedStorage,
    StoredCounter,
    storage_key,
)
from openami.psa.status import PsaError, Status
from openami.psa.storage import CreateFlags, InternalTrustedStorage, KeysInStorage, Storage
from powercuts import Record, RecordedFlash, blank
from psaworld import CLIENT, OTHER, Noise

KEY = storage_key(b"the hardware unique key", LifeCycle.SECURED)
PAGES = 4


@dataclass
class Chip:
    """A device: flash outside, and the counter's flash inside."""

    outside: MemoryFlash = field(default_factory=lambda: MemoryFlash(PAGES))
    inside: MemoryFlash = field(default_factory=lambda: MemoryFlash(2))
    random: Noise = field(default_factory=Noise)

    def internal(self) -> InternalTrustedStorage:
        return InternalTrustedStorage(PageStore(self.outside))

    def protected(self, key: bytes = KEY) -> ProtectedStorage:
        counter = StoredCounter(PageStore(self.inside), 0)
        return ProtectedStorage(PageStore(self.outside), key, counter, self.random)

    def lose_and_find(self, outside: bytes, inside: bytes | None = None) -> "Chip":
        """Return the device with other octets in its flash."""
        found = Chip(random=self.random)
        found.outside.octets[:] = outside
        found.inside.octets[:] = self.inside.octets if inside is None else inside
        return found


both = pytest.mark.parametrize("made", [Chip.internal, Chip.protected], ids=["its", "ps"])
Made = Callable[[Chip], Storage]


def status_of(call: Callable[[], object]) -> Status:
    with pytest.raises(PsaError) as caught:
        call()
    return caught.value.status


@both
def test_what_is_set_is_got_after_a_restart(made: Made) -> None:
    chip = Chip()
    storage = made(chip)
    storage.set(CLIENT, 1, b"0123456789")
    for each in (storage, made(chip)):
        assert each.get(CLIENT, 1, 0, 10) == b"0123456789"
        assert each.get(CLIENT, 1, 3, 4) == b"3456"
        assert each.get(CLIENT, 1, 8, 100) == b"89"
        assert each.get(CLIENT, 1, 10, 5) == b""
        info = each.get_info(CLIENT, 1)
        assert (info.size, info.capacity, info.flags) == (10, 10, CreateFlags.NONE)
    storage.set(CLIENT, 1, b"", CreateFlags.NO_CONFIDENTIALITY)
    assert storage.get(CLIENT, 1, 0, 5) == b""
    assert storage.get_info(CLIENT, 1).flags is CreateFlags.NO_CONFIDENTIALITY
    storage.remove(CLIENT, 1)
    for each in (storage, made(chip)):
        assert status_of(lambda it=each: it.get(CLIENT, 1, 0, 1)) is Status.DOES_NOT_EXIST


ERRORS: dict[str, tuple[Callable[[Storage], object], Status]] = {
    "set: no uid": (lambda it: it.set(CLIENT, 0, b""), Status.INVALID_ARGUMENT),
    "set: long uid": (lambda it: it.set(CLIENT, 1 << 64, b""), Status.INVALID_ARGUMENT),
    "set: unknown flag": (lambda it: it.set(CLIENT, 5, b"", 8), Status.NOT_SUPPORTED),
    "set: written once": (lambda it: it.set(CLIENT, 2, b"other"), Status.NOT_PERMITTED),
    "set: written once, the same": (lambda it: it.set(CLIENT, 2, b"x", 1), Status.NOT_PERMITTED),
    "set: too much": (lambda it: it.set(CLIENT, 5, bytes(9000)), Status.INSUFFICIENT_STORAGE),
    "get: no uid": (lambda it: it.get(CLIENT, 0, 0, 0), Status.INVALID_ARGUMENT),
    "get: nothing there": (lambda it: it.get(CLIENT, 5, 0, 0), Status.DOES_NOT_EXIST),
    "get: another client's": (lambda it: it.get(OTHER, 1, 0, 1), Status.DOES_NOT_EXIST),
    "get: behind the end": (lambda it: it.get(CLIENT, 1, 6, 0), Status.INVALID_ARGUMENT),
    "get: before the start": (lambda it: it.get(CLIENT, 1, -1, 1), Status.INVALID_ARGUMENT),
    "get_info: no uid": (lambda it: it.get_info(CLIENT, 0), Status.INVALID_ARGUMENT),
    "get_info: nothing there": (lambda it: it.get_info(CLIENT, 5), Status.DOES_NOT_EXIST),
    "remove: no uid": (lambda it: it.remove(CLIENT, 0), Status.INVALID_ARGUMENT),
    "remove: nothing there": (lambda it: it.remove(CLIENT, 5), Status.DOES_NOT_EXIST),
    "remove: another client's": (lambda it: it.remove(OTHER, 1), Status.DOES_NOT_EXIST),
    "remove: written once": (lambda it: it.remove(CLIENT, 2), Status.NOT_PERMITTED),
}


@both
@pytest.mark.parametrize(("call", "status"), ERRORS.values(), ids=ERRORS)
def test_each_documented_error(
    made: Made, call: Callable[[Storage], object], status: Status
) -> None:
    chip = Chip()
    storage = made(chip)
    storage.set(CLIENT, 1, b"hello")
    storage.set(CLIENT, 2, b"x", CreateFlags.WRITE_ONCE)
    assert status_of(lambda: call(storage)) is status
    for each in (storage, made(chip)):
        assert each.get(CLIENT, 1, 0, 9) == b"hello"
        assert each.get(CLIENT, 2, 0, 9) == b"x"


@both
def test_clients_do_not_meet(made: Made) -> None:
    storage = made(Chip())
    for client in (CLIENT, OTHER, 0, -(2**31)):
        storage.set(client, 1, str(client).encode())
    for client in (CLIENT, OTHER, 0, -(2**31)):
        assert storage.get(client, 1, 0, 20) == str(client).encode()


SCRIPT: tuple[tuple[int, bytes | None], ...] = (
    (1, b"one" * 50),
    (2, b"two" * 90),
    (1, b"three" * 100),
    (2, None),
    (3, b"four" * 100),
    (1, b"five" * 120),
    (3, b"six" * 40),
    (3, None),
    (2, b"seven" * 100),
)


@both
def test_a_cut_at_any_moment_leaves_each_entry_old_or_new(made: Made) -> None:
    record = Record([blank(PAGES), blank(2)])
    outside, inside = record.flashes()
    storage = made(Chip(outside, inside))
    states: list[dict[int, bytes]] = [{}]
    ends = []
    for uid, data in SCRIPT * 2:
        after = dict(states[-1])
        if data is None:
            storage.remove(CLIENT, uid)
            del after[uid]
        else:
            storage.set(CLIENT, uid, data)
            after[uid] = data
        states.append(after)
        ends.append(len(record.steps))
    kinds = set()
    for moment, (left, counter) in record.cuts():
        done = sum(end <= moment for end in ends)
        chip = Chip().lose_and_find(left, counter)
        found = contents(made(chip))
        assert found in states[done : done + 2], f"after step {moment}"
        if moment in ends:
            assert found == states[done]
        kinds.add(found == states[done])
        again = made(chip)  # and goes on from there
        again.set(CLIENT, 9, b"more")
        assert contents(made(chip)) == found
    assert kinds == {True, False}


def contents(storage: Storage) -> dict[int, bytes]:
    found = {}
    for uid in (1, 2, 3):
        try:
            found[uid] = storage.get(CLIENT, uid, 0, PAGE_OCTETS)
        except PsaError as error:
            assert error.status is Status.DOES_NOT_EXIST  # noqa: PT017
    return found


def filled() -> Chip:
    chip = Chip()
    storage = chip.protected()
    for uid in (1, 2):
        storage.set(CLIENT, uid, b"a secret of the household")
    storage.set(OTHER, 1, b"another secret")
    return chip


def test_protected_entries_are_not_readable_on_flash() -> None:
    chip = filled()
    assert b"secret" not in bytes(chip.outside.octets)
    internal = Chip()
    internal.internal().set(CLIENT, 1, b"a secret")
    assert b"secret" in bytes(internal.outside.octets), "ITS relies on the chip, not on a cipher"


def swapped(chip: Chip, change: Callable[[dict[bytes, bytes]], dict[bytes, bytes]]) -> Chip:
    """Return the device after somebody wrote its flash with sound checksums."""
    store = PageStore(chip.outside)
    entries = {name: store.get(name) or b"" for name in store.names()}
    flash = MemoryFlash(PAGES)
    made = PageStore(flash)
    made.commit(change(entries))
    return chip.lose_and_find(bytes(flash.octets))


def name_of(client: int, uid: int) -> bytes:
    return b"\x02" + client.to_bytes(4, "little", signed=True) + uid.to_bytes(8, "little")


def test_an_entry_of_another_client_or_uid_is_not_taken() -> None:
    chip = filled()
    for other in (name_of(CLIENT, 2), name_of(OTHER, 1)):
        moved = swapped(chip, lambda held, other=other: held | {name_of(CLIENT, 1): held[other]})
        storage = moved.protected()
        for call in (
            lambda it=storage: it.get(CLIENT, 1, 0, 99),
            lambda it=storage: it.get_info(CLIENT, 1),
        ):
            assert status_of(call) is Status.INVALID_SIGNATURE
        assert storage.get(OTHER, 1, 0, 99) == b"another secret"


@pytest.mark.parametrize("octets", [b"", b"\x00" * 60])
def test_what_was_damaged_can_be_set_anew_unless_it_was_written_once(octets: bytes) -> None:
    chip = filled()
    chip.protected().set(CLIENT, 3, b"for ever", CreateFlags.WRITE_ONCE)
    damaged = {name_of(CLIENT, uid): octets for uid in (1, 2, 3)}
    storage = swapped(chip, lambda held: held | damaged).protected()
    storage.set(CLIENT, 1, b"new")
    assert storage.get(CLIENT, 1, 0, 9) == b"new"
    storage.remove(CLIENT, 2)
    assert status_of(lambda: storage.get(CLIENT, 2, 0, 9)) is Status.DOES_NOT_EXIST
    assert status_of(lambda: storage.set(CLIENT, 3, b"new")) is Status.NOT_PERMITTED
    assert status_of(lambda: storage.remove(CLIENT, 3)) is Status.NOT_PERMITTED


@given(st.data())
def test_an_altered_octet_is_noticed(data: st.DataObject) -> None:
    chip = filled()
    name = name_of(CLIENT, 1)
    size = len(PageStore(chip.outside).get(name) or b"")
    at = data.draw(st.integers(0, size - 1))
    flip = data.draw(st.integers(1, 255))

    def alter(held: dict[bytes, bytes]) -> dict[bytes, bytes]:
        octets = bytearray(held[name])
        octets[at] ^= flip
        return held | {name: bytes(octets)}

    storage = swapped(chip, alter).protected()
    assert status_of(lambda: storage.get(CLIENT, 1, 0, 99)) is Status.INVALID_SIGNATURE


def test_an_older_entry_is_not_taken_for_the_current_one() -> None:
    chip = filled()
    old = PageStore(chip.outside).get(name_of(CLIENT, 1)) or b""
    chip.protected().set(CLIENT, 1, b"changed")
    storage = swapped(chip, lambda held: held | {name_of(CLIENT, 1): old}).protected()
    assert status_of(lambda: storage.get(CLIENT, 1, 0, 99)) is Status.DATA_CORRUPT
    gone = swapped(chip, lambda held: {k: v for k, v in held.items() if k != name_of(CLIENT, 1)})
    assert status_of(lambda: gone.protected().get(CLIENT, 1, 0, 99)) is Status.DATA_CORRUPT
    short = swapped(chip, lambda held: held | {name_of(CLIENT, 1): b""})
    assert status_of(lambda: short.protected().get(CLIENT, 1, 0, 99)) is Status.DATA_CORRUPT


def test_an_older_flash_is_refused_as_a_whole() -> None:
    chip = Chip()
    images = []
    for number in range(4):
        chip.protected().set(CLIENT, 1, str(number).encode())
        images.append(bytes(chip.outside.octets))
    assert chip.lose_and_find(images[-1]).protected().get(CLIENT, 1, 0, 9) == b"3"
    for image in images[:-1]:
        assert status_of(chip.lose_and_find(image).protected) is Status.DATA_CORRUPT
    assert status_of(chip.lose_and_find(blank(PAGES)).protected) is Status.DATA_CORRUPT


def test_the_table_of_another_device_is_refused() -> None:
    chip = filled()
    other = storage_key(b"another hardware unique key", LifeCycle.SECURED)
    assert status_of(lambda: chip.protected(other)) is Status.INVALID_SIGNATURE
    for table in (b"", bytes(NONCE_OCTETS + TAG_OCTETS), bytes(99)):
        forged = swapped(chip, lambda held, table=table: held | {b"table": table})
        assert status_of(forged.protected) is Status.INVALID_SIGNATURE


@pytest.mark.parametrize("state", LifeCycle)
def test_the_key_is_there_while_the_life_cycle_permits_it(state: LifeCycle) -> None:
    huk = b"the hardware unique key"
    if STAGES[state].keys:
        assert storage_key(huk, state) == KEY, "what was provisioned stays readable"
    else:
        assert status_of(lambda: storage_key(huk, state)) is Status.NOT_PERMITTED


def test_a_counter_one_behind_is_a_cut_and_is_made_up_for() -> None:
    chip = Chip()
    chip.protected().set(CLIENT, 1, b"first")
    behind = bytes(chip.inside.octets)
    chip.protected().set(CLIENT, 1, b"second")
    cut = chip.lose_and_find(bytes(chip.outside.octets), behind)
    assert cut.protected().get(CLIENT, 1, 0, 9) == b"second"
    assert StoredCounter(PageStore(cut.inside), 0).read() == 2
    fresh = chip.lose_and_find(bytes(chip.outside.octets), blank(2))
    assert status_of(fresh.protected) is Status.DATA_CORRUPT


def test_what_is_not_supported_says_so() -> None:
    storage = Chip().protected()
    assert storage.get_support() == SUPPORT == 0
    assert status_of(lambda: storage.create(CLIENT, 1, 10)) is Status.NOT_SUPPORTED
    assert status_of(lambda: storage.set_extended(CLIENT, 1, 0, b"")) is Status.NOT_SUPPORTED


@both
def test_keys_lie_in_storage(made: Made) -> None:
    chip = Chip()
    attributes = KeyAttributes(
        type=KeyType.AES, usage=Usage.EXPORT, alg=algorithms.GCM, lifetime=PERSISTENT, id=7
    )
    keys = KeyStore(KeysInStorage(made(chip)), chip.random)
    assert keys.import_key(CLIENT, attributes, bytes(16)) == 7
    assert status_of(lambda: keys.import_key(CLIENT, attributes, bytes(16))) is (
        Status.ALREADY_EXISTS
    )
    again = KeyStore(KeysInStorage(made(chip)), chip.random)
    assert again.export_key(CLIENT, 7) == bytes(16)
    assert status_of(lambda: again.export_key(OTHER, 7)) is Status.INVALID_HANDLE
    again.destroy_key(CLIENT, 7)
    last = KeyStore(KeysInStorage(made(chip)), chip.random)
    assert status_of(lambda: last.export_key(CLIENT, 7)) is Status.INVALID_HANDLE


def test_recorded_flash_is_flash() -> None:
    record = Record([blank(2)])
    (flash,) = record.flashes()
    assert isinstance(flash, RecordedFlash)
    flash.program(0, b"abcd")
    assert {octets[:4] for (octets,) in record.left(1)} == {
        b"abcd",
        b"ab\xff\xff",
        b"\xff\xff\xff\xff",
    }
