# SPDX-License-Identifier: Apache-2.0
"""The functional cases of the PSA APIs over the wall, and what only a wall refuses."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from device.sealedmeter import KEYS, flash_with
from device.secure.worlds import UNIQUE, Walled, in_memory, walled
from device.secure.worlds import ask as ask_session
from openami.device.fwu import FirmwareUpdate
from openami.device.payload.judge import policy
from openami.device.secure.access import LIMITS, Caller
from openami.device.secure.calls import Kind
from openami.device.secure.client import SecureClient
from openami.device.secure.codec import LARGEST_MESSAGE_OCTETS, Value
from openami.device.secure.service import Service
from openami.device.secure.world import attestation_key
from openami.firmware.bank import M2351
from openami.firmware.update import Update
from openami.psa import algorithms as alg
from openami.psa.formats import private_key, public_point
from openami.psa.status import Status
from psa.functional.groups import CASES, UPDATING
from psa.functional.keys import AES, ENCRYPT, imported, key
from psa.functional.table import RESTART, Case, ask, case, opened, run

POINT = public_point(private_key(attestation_key(UNIQUE).material).public_key())


@dataclass(slots=True)
class OverTheWall:
    """A secure world process, with a connection of its own."""

    wall: Walled
    point: bytes = POINT
    _client: SecureClient = field(init=False)

    def __post_init__(self) -> None:
        self._client = self.wall.connect()

    def call(self, name: str, *arguments: Value) -> tuple[Value, ...]:
        return self._client.call(name, *arguments)

    def device(self, event: str) -> None:
        assert event == RESTART
        self.wall.restart()
        self._client = self.wall.connect()

    def close(self) -> None:
        self._client.close()
        self.wall.clients.remove(self._client)


@pytest.fixture(scope="module")
def wall() -> Iterator[Walled]:
    with walled(f"{os.geteuid()}:-1") as found:
        found.clients.pop().close()  # with its last connection a caller loses its volatile keys
        yield found


@pytest.fixture
def api(wall: Walled) -> Iterator[OverTheWall]:
    found = OverTheWall(wall)
    yield found
    found.close()


LASTING = [name for name, each in CASES.items() if each.over_the_wall and not each.restarts]
RESTARTING = [name for name, each in CASES.items() if each.over_the_wall and each.restarts]


@pytest.mark.parametrize("name", LASTING)
def test_case(name: str, api: OverTheWall) -> None:
    run(api, CASES[name])


@pytest.mark.parametrize("tried", UPDATING.cases, ids=str)
def test_update_case(tried: Case, api: OverTheWall) -> None:
    run(api, tried)


class Inside:
    """The service of a device that started from its flash, without wall or process."""

    point = POINT

    def __init__(self) -> None:
        self._flash = flash_with()
        self.device(RESTART)

    def call(self, name: str, *arguments: Value) -> tuple[Value, ...]:
        return ask_session(self._session, name, *arguments)

    def device(self, event: str) -> None:
        assert event == RESTART
        update = Update(self._flash, M2351, policy(KEYS))
        firmware = FirmwareUpdate(self._flash, update, lambda: None)
        self._session = Service(in_memory().world, firmware).connect(Caller.NON_SECURE)


@pytest.mark.parametrize("tried", UPDATING.cases, ids=str)
def test_update_case_inside(tried: Case) -> None:
    run(Inside(), tried)


@pytest.mark.parametrize("name", RESTARTING)
def test_case_with_restarts(name: str, api: OverTheWall) -> None:
    run(api, CASES[name])


LIMITED: tuple[Case, ...] = (
    case("own", "more operations than a connection may have",
         *(opened(Kind.HASH) for _ in range(LIMITS.operations)),
         ask("operation_open", Kind.HASH.value, status=Status.INSUFFICIENT_MEMORY),
         ask("operation_close", "op"), opened(Kind.MAC)),
    case("own", "a clone is an operation more", opened(Kind.HASH),
         ask("hash_setup", "op", alg.SHA_256),
         *(opened(Kind.MAC, "other") for _ in range(LIMITS.operations - 1)),
         ask("hash_clone", "op", status=Status.INSUFFICIENT_MEMORY)),
    case("own", "more volatile keys than a caller may have",
         *(imported(key(AES), bytes(16)) for _ in range(LIMITS.volatile_keys)),
         ask("import_key", key(AES), bytes(16), status=Status.INSUFFICIENT_MEMORY),
         ask("destroy_key", "key"), imported(key(AES), bytes(16))),
    case("own", "a persistent key where entries took the room",
         ask("its_set", 11, bytes(700), 0), ask("ps_set", 11, bytes(700), 0),
         ask("import_key", key(0x1001, lifetime=1, number=0x41), bytes(900),
             status=Status.INSUFFICIENT_STORAGE),
         ask("get_key_attributes", 0x41, status=Status.INVALID_HANDLE),
         ask("its_remove", 11), ask("ps_remove", 11)),
    case("own", "a result that is longer than a message",
         imported(key(AES, usage=ENCRYPT, use_with=alg.CTR), bytes(16)),
         ask("cipher_encrypt", "key", alg.CTR, bytes(LARGEST_MESSAGE_OCTETS - 17),
             status=Status.BUFFER_TOO_SMALL)),
    case("own", "an operation of another kind", opened(Kind.HASH),
         ask("mac_update", "op", b"", status=Status.INVALID_HANDLE)),
    case("own", "an operation that nobody opened",
         ask("hash_update", 0xFFFF, b"", status=Status.INVALID_HANDLE)),
    case("own", "a kind that there is not",
         ask("operation_open", 9, status=Status.INVALID_ARGUMENT)),
    case("own", "more entries than the caller's room",
         ask("its_set", 12, bytes(LIMITS.stored_octets), 0, status=Status.INSUFFICIENT_STORAGE),
         ask("its_get_info", 12, status=Status.DOES_NOT_EXIST)),
)  # fmt: skip


@pytest.mark.parametrize("limited", LIMITED, ids=str)
def test_what_one_caller_may_take(limited: Case, api: OverTheWall) -> None:
    run(api, limited)
