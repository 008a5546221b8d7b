# SPDX-License-Identifier: Apache-2.0
"""The functional cases of the PSA APIs, against the core."""

import pytest

from openami.device.secure.calls import FUNCTIONS, Group
from openami.psa.status import PsaError, Status
from psa.functional.core import Core
from psa.functional.groups import CASES, GROUPS
from psa.functional.table import Ask, Case, ask, run

OFFERED = {
    function.name
    for function in FUNCTIONS
    if function.group in {Group.CRYPTO, Group.ITS, Group.PS, Group.ATTESTATION}
}


@pytest.mark.parametrize("name", CASES)
def test_case(name: str) -> None:
    run(Core(), CASES[name])


def test_no_case_hides_another() -> None:
    assert len(CASES) == sum(len(group.cases) for group in GROUPS)


def test_every_function_is_asked_and_every_one_is_refused_somewhere() -> None:
    asked = [each for case in CASES.values() for each in case.asks]
    assert OFFERED - {each.name for each in asked} == {"operation_close"}
    never = OFFERED - {each.name for each in asked if each.status is not Status.SUCCESS}
    assert never == {
        "operation_open", "operation_close", "generate_random", "ps_get_support",
        "hash_abort", "mac_abort", "cipher_abort", "aead_abort",
        "key_derivation_abort", "key_derivation_get_capacity",
    }  # fmt: skip


@pytest.mark.parametrize("store", ["its", "ps"])
def test_the_store_is_filled_emptied_and_filled_again(store: str) -> None:
    api = Core()

    def filled() -> list[int]:
        uids: list[int] = []
        while True:
            try:
                api.call(f"{store}_set", len(uids) + 1, bytes(512), 0)
            except PsaError as error:
                if error.status is not Status.INSUFFICIENT_STORAGE:
                    raise
                return uids
            uids.append(len(uids) + 1)

    first = filled()
    assert len(first) >= 4
    for uid in first:
        assert api.call(f"{store}_get", uid, 0, 512) == (bytes(512),)
        api.call(f"{store}_remove", uid)
    assert filled() == first


@pytest.mark.parametrize(
    "wrong",
    [
        ask("hash_compute", 0x02000009, b"", gives=bytes(32)),
        ask("hash_compute", 0x02000009, b"", status=Status.NOT_SUPPORTED),
        ask("export_key", 9),
        ask("export_key", 9, status=Status.NOT_PERMITTED),
    ],
    ids=["other result", "no refusal", "refusal", "other refusal"],
)
def test_a_case_that_does_not_hold_fails(wrong: Ask) -> None:
    with pytest.raises(AssertionError):
        run(Core(), Case("own", "wrong", (wrong,)))
