# SPDX-License-Identifier: Apache-2.0
"""The key of the link behind the wall: the non-secure world agrees with it, and never has it."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Final

import pytest

from device.secure.worlds import UNIQUE, InMemoryClient, in_memory
from openami.device.pairing import KEY_FILE, PEER_FILE, Pair, SoftwareKey, pair, pair_walled
from openami.device.secure.access import LINK_KEY_ID, Caller
from openami.device.secure.codec import Value
from openami.device.secure.linkkey import WalledAgreement
from openami.device.secure.world import link_key
from openami.psa import algorithms
from openami.psa.attributes import NULL, PERSISTENT, KeyAttributes, KeyType, Usage
from openami.psa.lifecycle import LifeCycle
from openami.psa.status import PsaError, Status
from openami.runtime.errors import UserError

COPY: Final = KeyAttributes(
    type=KeyType.ECC_KEY_PAIR_SECP_R1, bits=256, usage=Usage.EXPORT, alg=algorithms.ECDH
)
ES256: Final = algorithms.ecdsa(algorithms.SHA_256)
WAYS_TO_IT: Final[Mapping[str, tuple[Value, ...]]] = MappingProxyType(
    {
        "export_key": (LINK_KEY_ID,),
        "copy_key": (LINK_KEY_ID, COPY),
        "destroy_key": (LINK_KEY_ID,),
        "wrap_key": (LINK_KEY_ID, int(algorithms.AES_KW), LINK_KEY_ID),
        "sign_message": (LINK_KEY_ID, int(ES256), b"said"),
    }
)


def client(
    caller: Caller = Caller.NON_SECURE, state: LifeCycle = LifeCycle.SECURED
) -> InMemoryClient:
    return InMemoryClient(in_memory(state=state).connect(caller))


def test_it_agrees_as_a_key_in_a_file_does() -> None:
    here, there = WalledAgreement(client()), SoftwareKey.fresh(os.urandom)

    assert here.agree(there.public) == there.agree(here.public)
    with pytest.raises(ValueError, match="point"):
        here.agree(bytes(65))


def test_a_start_finds_the_same_key_and_another_device_another() -> None:
    assert WalledAgreement(client()).public == WalledAgreement(client()).public
    other = link_key(bytes(reversed(UNIQUE)))
    assert other.material != link_key(UNIQUE).material


@pytest.mark.parametrize("way", WAYS_TO_IT)
def test_the_non_secure_world_does_not_get_it(way: str) -> None:
    near = client()
    with pytest.raises(PsaError) as caught:
        near.call(way, *WAYS_TO_IT[way])

    assert caught.value.status is Status.NOT_PERMITTED
    assert WalledAgreement(near).public  # it is still there


def test_no_other_caller_uses_it() -> None:
    with pytest.raises(PsaError) as caught:
        client(Caller.TLS).call("export_public_key", LINK_KEY_ID)
    assert caught.value.status in {Status.INVALID_HANDLE, Status.DOES_NOT_EXIST}
    with pytest.raises(PsaError) as caught:
        client(Caller.POWER).call("export_public_key", LINK_KEY_ID)
    assert caught.value.status is Status.NOT_PERMITTED


def test_a_key_of_its_name_is_nobody_s_to_make() -> None:
    attributes = replace(COPY, id=LINK_KEY_ID, lifetime=PERSISTENT)
    with pytest.raises(PsaError):
        client().call("import_key", attributes, bytes(31) + b"\1")
    assert NULL != LINK_KEY_ID


def test_a_device_without_keys_is_one_sentence() -> None:
    with pytest.raises(UserError, match=r"no key of the link .*firmware"):
        WalledAgreement(client(state=LifeCycle.DECOMMISSIONED))


def test_modules_are_paired_with_it_and_a_file_of_before_goes_before_it(tmp_path: Path) -> None:
    walled, folders = WalledAgreement(client()), (tmp_path / "one", tmp_path / "other")
    pair_walled(*folders, walled.public, os.urandom)
    here, there = Pair.load(folders[0]), Pair.load(folders[1], walled)
    assert here.peer is not None
    assert there.peer is not None
    assert here.own.agree(here.peer) == there.own.agree(there.peer)
    assert [each.name for each in folders[1].iterdir()] == [PEER_FILE]

    pair(*folders, os.urandom)
    assert (folders[1] / KEY_FILE).exists()
    assert Pair.load(folders[1], walled).own is not walled
