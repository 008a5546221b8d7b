# SPDX-License-Identifier: Apache-2.0
"""Firmware update; the public suite has no tests of it, so all cases are ours.

Each case leaves the update READY.  What needs a start of the device, TRIAL and what follows it, is
held by tests/device/test_fwu.py, which asks every function in every state.
"""

from collections.abc import Iterator
from typing import Final

from device.sealedmeter import image
from openami.device.fwu import COMPONENT, ENCRYPTION, WRITE_OCTETS
from openami.device.secure.codec import Value
from openami.firmware.bank import M2351
from openami.firmware.state import UpdateState
from openami.psa.status import Status
from psa.functional.table import RESTART, Api, Ask, Case, Check, Group, ask, case, device

S: Final = Status
BAD: Final = Status.BAD_STATE
NEW: Final = image("1.1.0", 2).encode()
OLD: Final = image("0.9.0", 0).encode()
ALTERED: Final = NEW[:-1] + bytes((NEW[-1] ^ 1,))
OTHER: Final = 1
"""A component that the device does not have."""


def stands(state: UpdateState) -> Ask:
    """Ask how the update stands."""

    def check(_: Api, found: tuple[Value, ...]) -> None:
        assert found[0] == state

    return ask("fwu_query", COMPONENT, gives=check)


def written(octets: bytes = NEW) -> Iterator[Ask]:
    yield ask("fwu_start", COMPONENT, b"")
    for at in range(0, len(octets), WRITE_OCTETS):
        yield ask("fwu_write", COMPONENT, at, octets[at : at + WRITE_OCTETS])


def named(version: bytes) -> Check:
    def check(_: Api, found: tuple[Value, ...]) -> None:
        assert found == (UpdateState.READY, found[1], version, M2351.room, ENCRYPTION)

    return check


CANCEL: Final = ask("fwu_cancel", COMPONENT)
CLEAN: Final = ask("fwu_clean", COMPONENT)
FINISH: Final = ask("fwu_finish", COMPONENT)
INSTALL: Final = ask("fwu_install", gives=int(S.SUCCESS_REBOOT))
NO_PLACE: Final = {
    "write": ask("fwu_write", COMPONENT, 0, b"x", status=BAD),
    "finish": ask("fwu_finish", COMPONENT, status=BAD),
    "cancel": ask("fwu_cancel", COMPONENT, status=BAD),
    "clean": ask("fwu_clean", COMPONENT, status=BAD),
    "install": ask("fwu_install", status=BAD),
    "reject": ask("fwu_reject", b"no", status=BAD),
    "accept": ask("fwu_accept", status=BAD),
    "start": ask("fwu_start", COMPONENT, b"", status=BAD),
}
AT: Final[dict[UpdateState, tuple[tuple[Ask, ...], tuple[Ask, ...], tuple[str, ...]]]] = {
    UpdateState.READY: (
        (), (), ("write", "finish", "cancel", "clean", "install", "reject", "accept")),
    UpdateState.WRITING: (
        (ask("fwu_start", COMPONENT, b""),), (CANCEL, CLEAN),
        ("start", "clean", "install", "reject", "accept")),
    UpdateState.CANDIDATE: (
        (*written(), FINISH), (CANCEL, CLEAN),
        ("start", "write", "finish", "clean", "reject", "accept")),
    UpdateState.STAGED: (
        (*written(), FINISH, INSTALL), (ask("fwu_reject", b"no"), CLEAN),
        ("start", "write", "finish", "cancel", "clean", "install", "accept")),
    UpdateState.FAILED: (
        (ask("fwu_start", COMPONENT, b""), CANCEL), (CLEAN,),
        ("start", "write", "finish", "cancel", "install", "reject", "accept")),
}  # fmt: skip
"""How a state is reached, how it is left, and what has no place in it."""

CASES: Final[tuple[Case, ...]] = (
    case("own", "query tells version, room and flags",
         ask("fwu_query", COMPONENT, gives=named(b"1.0.0+0"))),
    *(
        case("own", f"{name} of a component that is not there",
             ask(f"fwu_{name}", OTHER, *more, status=S.DOES_NOT_EXIST))
        for name, more in {
            "query": (), "start": (b"",), "write": (0, b"x"),
            "finish": (), "cancel": (), "clean": (),
        }.items()
    ),
    *(
        case("own", f"{name} has no place while {state.name}", before, NO_PLACE[name],
             stands(state), after, stands(UpdateState.READY))
        for state, (before, after, names) in AT.items()
        for name in names
    ),
    *(
        case("own", f"a block: {name}", ask("fwu_start", COMPONENT, b""),
             ask("fwu_write", COMPONENT, at, octets, status=S.INVALID_ARGUMENT),
             stands(UpdateState.WRITING), CANCEL, CLEAN)
        for name, (at, octets) in {
            "between blocks": (1, b"x"),
            "of no octets": (0, b""),
            "longer than one": (0, bytes(WRITE_OCTETS + 1)),
            "behind the room": (1 << 20, b"x"),
        }.items()
    ),
    *(
        case("own", f"an image that is {name} fails", written(octets),
             ask("fwu_finish", COMPONENT, status=status), stands(UpdateState.FAILED), CLEAN)
        for name, octets, status in (
            ("older", OLD, S.NOT_PERMITTED),
            ("altered", ALTERED, S.INVALID_SIGNATURE),
            ("none", bytes(WRITE_OCTETS), S.DATA_INVALID),
        )
    ),
    case("own", "a manifest that is none",
         ask("fwu_start", COMPONENT, b"no manifest", status=S.INVALID_SIGNATURE),
         stands(UpdateState.READY)),
    case("own", "a candidate outlives a restart", written(), FINISH, device(RESTART),
         stands(UpdateState.CANDIDATE), CANCEL, CLEAN),
    case("own", "what is staged is given up without a restart", written(), FINISH, INSTALL,
         ask("fwu_reject", b"no", gives=int(S.SUCCESS)), stands(UpdateState.FAILED), CLEAN),
)  # fmt: skip

GROUP: Final = Group(
    "firmware update",
    CASES,
    "the public suite has none; TRIAL, REJECTED and UPDATED need a start: tests/device/test_fwu.py",
)
