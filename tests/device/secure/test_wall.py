# SPDX-License-Identifier: Apache-2.0
"""Nobody looks behind the wall, and through its door goes only who may: each way is tried."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from device.secure.worlds import UNIQUE, Walled, walled
from openami.device.files import FLASH_FILE, OTP_FILE
from openami.device.secure.access import LIMITS
from openami.device.secure.codec import LARGEST_MESSAGE_OCTETS
from openami.psa.attributes import PERSISTENT, KeyAttributes, KeyType
from openami.psa.lifecycle import LifeCycle
from openami.psa.status import PsaError, Status
from openami.runtime.users import Part, User, users_here

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root starts processes as others")
SHA_256: Final = 0x02000009

LOOKS: Final = {
    "memory": "open(f'/proc/{pid}/mem', 'rb')",
    "map": "open(f'/proc/{pid}/maps').read()",
    "environment": "open(f'/proc/{pid}/environ', 'rb').read()",
    "descriptors": "os.listdir(f'/proc/{pid}/fd')",
    "an open file": "os.stat(f'/proc/{pid}/fd/0')",
    "working folder": "os.readlink(f'/proc/{pid}/cwd')",
    "debugger": "debug(pid)",
}
FILES: Final = {
    "flash": f"open(secure + '/{FLASH_FILE}', 'rb').read(1)",
    "flash to write": f"open(secure + '/{FLASH_FILE}', 'r+b')",
    "one-time-programmable memory": f"open(secure + '/{OTP_FILE}', 'rb').read(1)",
    "folder": "os.listdir(secure)",
    "its name": "os.rename(secure, secure + '-away')",
}
ENDS: Final = {
    "killing": "os.kill(pid, signal.SIGKILL)",
    "stopping": "os.kill(pid, signal.SIGSTOP)",
    "limits": "resource.prlimit(pid, resource.RLIMIT_CPU, (1, 1))",
}
HEAD: Final = """
import ctypes, os, resource, signal, sys
pid, secure = int(sys.argv[1]), sys.argv[2]
def debug(pid):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(16, pid, 0, 0):
        raise PermissionError(ctypes.get_errno(), "ptrace")
    os.waitpid(pid, 0x40000000)
    libc.ptrace(17, pid, 0, 0)
"""


def tried(attempt: str, pid: int, secure: Path, user: User | None) -> str:
    """Try something as a user; return `done`, or the name of the refusal."""
    code = f"""{HEAD}
try:
    {attempt}
    print("done")
except OSError as error:
    print(type(error).__name__)
"""
    found = subprocess.run(
        [sys.executable, "-c", code, str(pid), str(secure)],
        user=None if user is None else user.uid,
        group=None if user is None else user.gid,
        extra_groups=None if user is None else (),
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return found.stdout.strip()


def user_of(part: Part) -> User:
    found = users_here().get(part)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def apart() -> Iterator[Walled]:
    """A secure world as its own user; management and the TLS partition may call."""
    management, tls = user_of(Part.MANAGEMENT), user_of(Part.TLS)
    callers = f"{management.uid}:-1,{tls.uid}:1,0:-1"
    with walled(callers, user_of(Part.SECURE)) as wall:
        yield wall


@pytest.fixture
def mine() -> Iterator[Walled]:
    """A secure world of the user who runs the tests."""
    with walled(f"{os.geteuid()}:-1") as wall:
        yield wall


# Looking in -----------------------------------------------------------------------------------


@needs_root
@pytest.mark.parametrize("attempt", LOOKS | FILES | ENDS)
def test_another_user_neither_looks_in_nor_ends_it(attempt: str, apart: Walled) -> None:
    code = (LOOKS | FILES | ENDS)[attempt]
    management = user_of(Part.MANAGEMENT)

    assert tried(code, apart.process.pid, apart.home / "secure", management) == "PermissionError"
    assert apart.process.poll() is None
    assert apart.clients[0].octets("hash_compute", SHA_256, b"")


@needs_root
@pytest.mark.parametrize("attempt", LOOKS)
def test_not_even_its_own_user_looks_in(attempt: str, apart: Walled) -> None:
    secure = user_of(Part.SECURE)

    assert tried(LOOKS[attempt], apart.process.pid, apart.home, secure) == "PermissionError"


@needs_root
@pytest.mark.parametrize("attempt", {**LOOKS, **ENDS})
def test_all_of_that_is_done_to_a_process_that_is_not_closed(attempt: str) -> None:
    user = user_of(Part.SECURE)
    command = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"]
    kept = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "cwd": "/", "extra_groups": ()}
    with subprocess.Popen(command, user=user.uid, group=user.gid, **kept) as process:  # type: ignore[call-overload]
        process.stdout.readline()
        found = tried((LOOKS | ENDS)[attempt], process.pid, Path("/"), user)
        process.kill()

    assert found == "done" or (attempt, found) == ("debugger", "PermissionError")  # as Yama likes


# Through the door -----------------------------------------------------------------------------


def test_calls_go_through(mine: Walled) -> None:
    client = mine.connect()

    assert client.whole("client_id") == -1
    assert client.whole("rot_lifecycle_state") == LifeCycle.SECURED
    assert len(client.octets("generate_random", 32)) == 32
    client.call("its_set", 7, b"kept", 0)
    assert client.octets("its_get", 7, 0, 10) == b"kept"
    client.call("ps_set", 7, b"sealed", 0)
    assert client.octets("ps_get", 7, 0, 10) == b"sealed"


def call_as(user: User, wall: Walled, name: str, *arguments: int) -> str:
    code = f"""
import sys
from pathlib import Path
from openami.device.secure.client import SecureClient
from openami.psa.status import PsaError
try:
    client = SecureClient.connect(Path(sys.argv[1]))
    print(client.whole("client_id"))
    client.call({name!r}, *{arguments!r})
    print("done")
except PsaError as error:
    print(error.status.name)
"""
    found = subprocess.run(
        [sys.executable, "-c", code, str(wall.door)],
        user=user.uid,
        group=user.gid,
        extra_groups=(),
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return " ".join(found.stdout.split())


@needs_root
def test_the_system_says_who_calls_and_the_table_what_it_may(apart: Walled) -> None:
    assert call_as(user_of(Part.MANAGEMENT), apart, "fwu_query", 0) == "-1 done"
    assert call_as(user_of(Part.TLS), apart, "generate_random", 8) == "1 done"
    assert call_as(user_of(Part.TLS), apart, "fwu_query", 0) == "1 NOT_PERMITTED"
    assert call_as(user_of(Part.TLS), apart, "ps_get_support") == "1 NOT_PERMITTED"
    assert call_as(user_of(Part.METROLOGY), apart, "fwu_query", 0) == "COMMUNICATION_FAILURE"


@needs_root
def test_a_partition_finds_nothing_of_another_ones(apart: Walled) -> None:
    apart.clients[0].call("its_set", 0xAB, b"of management", 0)  # root is the same client here

    assert call_as(user_of(Part.MANAGEMENT), apart, "its_get", 0xAB, 0, 4) == "-1 done"
    assert call_as(user_of(Part.TLS), apart, "its_get", 0xAB, 0, 4) == "1 DOES_NOT_EXIST"


def test_callers_are_told_when_it_is_gone(mine: Walled) -> None:
    client = mine.connect()
    mine.process.kill()
    mine.process.wait(timeout=60)

    with pytest.raises(PsaError) as caught:
        client.call("its_get", 1, 0, 4)
    assert caught.value.status is Status.COMMUNICATION_FAILURE
    with pytest.raises(PsaError, match="nobody is there"):
        mine.connect()


@pytest.mark.parametrize(
    "octets",
    [b"\x00", b"\xff\xff\x00\x00", b"\x00\x01\x00\x00", bytes(LARGEST_MESSAGE_OCTETS + 1)],
    ids=["no head", "no function", "no arguments", "too long"],
)
def test_who_breaks_the_rules_loses_its_connection_and_nobody_else_does(
    octets: bytes, mine: Walled
) -> None:
    other = mine.connect()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as knocking:
        knocking.settimeout(60)
        knocking.connect(str(mine.door))
        knocking.send(octets)

        assert knocking.recv(1000)[2:6] == int(Status.PROGRAMMER_ERROR).to_bytes(
            4, "little", signed=True
        )
        assert knocking.recv(1000) == b""
    assert other.whole("client_id") == -1


def test_who_does_not_fetch_its_replies_loses_its_connection(mine: Walled) -> None:
    other = mine.connect()
    deaf = mine.connect()

    def flood() -> None:
        for _ in range(100_000):
            deaf._socket.send(b"\x01\x06\x00\x00")
            assert other.whole("client_id") == -1

    with pytest.raises(ConnectionError):
        flood()
    assert other.whole("client_id") == -1


def test_a_caller_has_only_so_many_connections(mine: Walled) -> None:
    held = [mine.connect() for _ in range(LIMITS.connections - len(mine.clients))]

    # It is told so, unless its own call comes too late for that.
    assert mine.refused("client_id").status in {
        Status.CONNECTION_BUSY,
        Status.COMMUNICATION_FAILURE,
    }
    held.pop().close()
    mine.connect()


@pytest.mark.parametrize("state", [LifeCycle.DECOMMISSIONED, LifeCycle.RECOVERABLE_PSA_ROT_DEBUG])
def test_a_device_that_was_opened_uses_no_keys(state: LifeCycle) -> None:
    with walled(f"{os.geteuid()}:-1", state=state) as wall:
        assert wall.connect().whole("rot_lifecycle_state") == state
        assert wall.refused("generate_random", 1).status is Status.NOT_PERMITTED
        assert wall.refused("its_get", 1, 0, 1).status is Status.NOT_PERMITTED


def test_no_secret_of_it_stands_in_the_clear_on_the_disk(mine: Walled) -> None:
    secret = b"a secret of 16.."
    kept = KeyAttributes(type=KeyType.AES, bits=128, lifetime=PERSISTENT, id=5)
    mine.connect().call("ps_set", 5, secret, 0)
    mine.connect().call("import_key", kept, secret)

    held = (mine.home / "secure" / FLASH_FILE).read_bytes()
    assert secret not in held
    assert UNIQUE not in held


def test_a_restart_that_is_asked_for_is_one(mine: Walled) -> None:
    mine.connect().call("fwu_request_reboot")

    assert mine.process.wait(timeout=60) == 3


def test_sigterm_ends_it(mine: Walled) -> None:
    mine.process.send_signal(signal.SIGTERM)

    assert mine.process.wait(timeout=60) == 0
