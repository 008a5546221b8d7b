# SPDX-License-Identifier: Apache-2.0
"""Internal trusted storage, protected storage, attestation."""

from collections.abc import Iterator
from typing import Final

from openami.device.secure.codec import Value
from openami.psa.attestation import CHALLENGES_OCTETS, IDENTITY_OCTETS, PROFILE, verify_token
from openami.psa.attributes import PERSISTENT, KeyAttributes, KeyType
from openami.psa.lifecycle import LifeCycle
from openami.psa.status import Status
from openami.psa.storage import CreateFlags
from psa.functional.table import (
    KEEP_FLASH,
    OLD_FLASH,
    RESTART,
    Api,
    Ask,
    Case,
    Group,
    ask,
    case,
    device,
)

S: Final = Status
ONCE: Final = int(CreateFlags.WRITE_ONCE)
WAIVED: Final = int(CreateFlags.NO_CONFIDENTIALITY | CreateFlags.NO_REPLAY_PROTECTION)
DATA: Final = bytes(range(40))
TOO_LARGE: Final = 60_000
KEPT: Final = KeyAttributes(type=KeyType.AES, lifetime=PERSISTENT, id=0x31)


def both(store: str) -> Iterator[Case]:
    """Yield the cases that ITS and PS have in common; uids are used once."""

    def put(uid: int, data: bytes = DATA, flags: int = 0, status: Status = S.SUCCESS) -> Ask:
        return ask(f"{store}_set", uid, data, flags, status=status)

    def got(uid: int, offset: int, size: int, gives: bytes | None = None,
            status: Status = S.SUCCESS) -> Ask:  # fmt: skip
        return ask(f"{store}_get", uid, offset, size, status=status, gives=gives)

    def told(uid: int, size: int, flags: int = 0) -> Ask:
        return ask(f"{store}_get_info", uid, gives=(size, size, flags))

    def gone(uid: int, status: Status = S.SUCCESS) -> Ask:
        return ask(f"{store}_remove", uid, status=status)

    def nothing(uid: int) -> tuple[Ask, ...]:
        missing = S.DOES_NOT_EXIST
        return (
            got(uid, 0, 1, status=missing),
            ask(f"{store}_get_info", uid, status=missing),
            gone(uid, missing),
        )

    yield case("s001", "an entry that nobody set", nothing(5))
    yield case("s001", "an entry that was removed", put(5), put(6), gone(5), nothing(5), gone(6))
    yield case("s001", "another entry than was set", put(5), nothing(7), gone(5))
    yield case("s002", "set, then set once and for all", put(1), told(1, 40),
               put(1, DATA[:10], ONCE), told(1, 10, ONCE), put(1, DATA, status=S.NOT_PERMITTED),
               put(1, DATA, ONCE, status=S.NOT_PERMITTED), gone(1, S.NOT_PERMITTED),
               got(1, 0, 40, DATA[:10]))  # fmt: skip
    yield case("s002", "set once and for all", put(2, DATA, ONCE), gone(2, S.NOT_PERMITTED),
               put(2, DATA[:20], ONCE, S.NOT_PERMITTED), put(2, DATA, 0, S.NOT_PERMITTED),
               got(2, 0, 40, DATA), told(2, 40, ONCE))  # fmt: skip
    yield case("s002", "once and for all outlives a restart", put(3, DATA, ONCE), device(RESTART),
               gone(3, S.NOT_PERMITTED), got(3, 0, 40, DATA), told(3, 40, ONCE))  # fmt: skip
    yield case("s003", "more than there is room for",
               put(5, bytes(TOO_LARGE), status=S.INSUFFICIENT_STORAGE), nothing(5))  # fmt: skip
    yield case("s003", "what has no room leaves what was there", put(5),
               put(5, bytes(TOO_LARGE), status=S.INSUFFICIENT_STORAGE), got(5, 0, 40, DATA),
               gone(5))  # fmt: skip
    yield case("s004", "over a longer one", put(5), put(5, DATA[:20]), got(5, 0, 40, DATA[:20]),
               gone(5))  # fmt: skip
    for size in (1, 16, 255, 512):
        yield case("s005", f"{size} octets", put(4, bytes(size)), got(4, 0, size, bytes(size)),
                   told(4, size), gone(4), nothing(4))  # fmt: skip
    yield case("s005", "the largest uid", put(2**64 - 1), got(2**64 - 1, 0, 40, DATA),
               gone(2**64 - 1))  # fmt: skip
    for flags in (1 << 3, 1 << 31, WAIVED | 1 << 4):
        yield case("s006", f"flags {flags:#x}", put(5, DATA, flags, S.NOT_SUPPORTED), nothing(5))
    yield case("s006", "flags that waive", put(5, DATA, WAIVED), told(5, 40, WAIVED), gone(5))
    yield case("s007", "longer, then shorter", put(5, DATA[:20]), put(5, DATA),
               got(5, 0, 20, DATA[:20]), got(5, 0, 19, DATA[:19]), put(5, DATA[:10]),
               got(5, 0, 40, DATA[:10]), gone(5))  # fmt: skip
    yield case("s008", "to the end", put(5), got(5, 30, 10, DATA[30:]), gone(5))
    yield case("s008", "not to the end", put(5), got(5, 30, 5, DATA[30:35]), gone(5))
    yield case("s008", "at the end", put(5), got(5, 40, 1, b""), gone(5))
    yield case("s008", "behind the end", put(5), got(5, 41, 0, status=S.INVALID_ARGUMENT),
               got(5, 2**32 - 1, 1, status=S.INVALID_ARGUMENT), gone(5))  # fmt: skip
    yield case("s008", "more than there is", put(5), got(5, 0, 41, DATA), gone(5))
    yield case("s009", "an entry without octets", put(5, b""), told(5, 0), got(5, 0, 0, b""),
               got(5, 0, 9, b""), gone(5), nothing(5))  # fmt: skip
    yield case("s010", "the uid 0", put(0, status=S.INVALID_ARGUMENT),
               got(0, 0, 1, status=S.INVALID_ARGUMENT),
               ask(f"{store}_get_info", 0, status=S.INVALID_ARGUMENT),
               gone(0, S.INVALID_ARGUMENT))  # fmt: skip
    yield case("own", "an entry outlives a restart", put(8), device(RESTART), got(8, 0, 40, DATA),
               gone(8), device(RESTART), nothing(8))  # fmt: skip


def put_ps(uid: int, data: bytes) -> Ask:
    return ask("ps_set", uid, data, 0)


ROLLED_BACK: Final = (
    case("own", "a flash of yesterday is refused", put_ps(9, b"old"), device(KEEP_FLASH),
         put_ps(9, b"new"), device(OLD_FLASH, S.DATA_CORRUPT), over_the_wall=False),
    case("own", "a removal is not undone by it", put_ps(9, b"old"), device(KEEP_FLASH),
         ask("ps_remove", 9), device(OLD_FLASH, S.DATA_CORRUPT), over_the_wall=False),
    case("own", "a key that was destroyed does not come back",
         ask("import_key", KEPT, bytes(16)), device(KEEP_FLASH), ask("destroy_key", KEPT.id),
         device(OLD_FLASH, S.DATA_CORRUPT), over_the_wall=False),
    case("own", "the flash of today is taken", put_ps(9, b"new"), device(KEEP_FLASH),
         device(OLD_FLASH), ask("ps_get", 9, 0, 3, gives=b"new"), over_the_wall=False),
)  # fmt: skip
OPTIONAL: Final = (
    case("s011", "psa_ps_create and psa_ps_set_extended are not there, and say so",
         ask("ps_get_support", gives=0),
         ask("ps_create", 5, 40, 0, status=S.NOT_SUPPORTED),
         ask("ps_set_extended", 5, 0, DATA, status=S.NOT_SUPPORTED),
         ask("ps_get_info", 5, status=S.DOES_NOT_EXIST)),
)  # fmt: skip


def claims(size: int) -> Ask:
    """Ask for a token and hold it to what was asked and to what the profile wants."""
    challenge = bytes(range(size))

    def check(api: Api, found: tuple[Value, ...]) -> None:
        (token,) = found
        assert isinstance(token, bytes)
        told = verify_token(token, api.point, challenge)
        assert told.profile == PROFILE
        assert told.instance_id[0] == 1
        assert len(told.instance_id) == IDENTITY_OCTETS
        assert len(told.implementation_id) == 32
        assert 8 <= len(told.boot_seed) <= 32
        assert told.client_id == -1
        assert LifeCycle.of_claim(told.lifecycle) is LifeCycle.SECURED
        assert told.software
        assert all(each.measurement and each.signer_id for each in told.software)

    return ask("initial_attest_get_token", challenge, gives=check)


def told_size(size: int) -> Iterator[Ask]:
    """Ask for the size of a token, then hold a token to it."""
    sizes: list[Value] = []
    yield ask("initial_attest_get_token_size", size, gives=lambda _, found: sizes.append(found[0]))

    def check(_: Api, found: tuple[Value, ...]) -> None:
        assert isinstance(found[0], bytes)
        assert sizes.pop() == len(found[0])

    yield ask("initial_attest_get_token", bytes(size), gives=check)


WRONG_SIZES: Final = (0, 1, 31, 33, 47, 49, 63, 65, 1024)
ATTESTATION: Final[tuple[Case, ...]] = (
    *(
        case("a001", f"a challenge of {size} octets", claims(size))
        for size in sorted(CHALLENGES_OCTETS)
    ),
    *(
        case("a001", f"a token is as long as told, for {size} octets", told_size(size))
        for size in sorted(CHALLENGES_OCTETS)
    ),
    *(
        case("a001", f"a challenge of {size} octets",
             ask("initial_attest_get_token", bytes(size), status=S.INVALID_ARGUMENT),
             ask("initial_attest_get_token_size", size, status=S.INVALID_ARGUMENT))
        for size in WRONG_SIZES
    ),
)  # fmt: skip

GROUPS: Final = (
    Group(
        "ITS",
        tuple(both("its")),
        "STORAGE_FAILURE (held by tests/psa/test_pagestore.py)",
    ),
    Group(
        "PS",
        (*both("ps"), *ROLLED_BACK, *OPTIONAL),
        "s012 to s017 (psa_ps_set_extended, optional, is not offered); STORAGE_FAILURE",
    ),
    Group(
        "attestation",
        ATTESTATION,
        "BUFFER_TOO_SMALL; SERVICE_FAILURE and GENERIC_ERROR: the public suite cannot cause them",
    ),
)
