# SPDX-License-Identifier: Apache-2.0
"""Any history of a key store, over storage and restarts, against a dictionary."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from openami.psa.algorithms import GCM
from openami.psa.attributes import PERSISTENT, KeyAttributes, KeyType, Usage
from openami.psa.flash import MemoryFlash
from openami.psa.keystore import KeyStore
from openami.psa.pagestore import PageStore
from openami.psa.status import PsaError, Status
from openami.psa.storage import InternalTrustedStorage, KeysInStorage
from psaworld import CLIENT, OTHER, Noise

clients = st.sampled_from([CLIENT, OTHER])
key_ids = st.integers(1, 3)
usages = st.builds(
    lambda copies, caches: Usage.EXPORT | (Usage.COPY * copies) | (Usage.CACHE * caches),
    st.integers(0, 1),
    st.integers(0, 1),
)
AES = KeyAttributes(type=KeyType.AES, alg=GCM)


class Histories(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.flash = MemoryFlash(4)
        self.kept: dict[tuple[int, int], tuple[int, bytes]] = {}
        self.volatile: dict[tuple[int, int], tuple[int, bytes]] = {}
        self.restart()

    @rule()
    def restart(self) -> None:
        self.volatile = {}
        its = InternalTrustedStorage(PageStore(self.flash))
        self.keys = KeyStore(KeysInStorage(its), Noise())

    @rule(client=clients, key_id=key_ids, usage=usages, data=st.binary(min_size=16, max_size=16))
    def keep(self, client: int, key_id: int, usage: int, data: bytes) -> None:
        attributes = replace(AES, lifetime=PERSISTENT, id=key_id, usage=int(usage))
        try:
            self.keys.import_key(client, attributes, data)
        except PsaError as error:
            assert error.status is Status.ALREADY_EXISTS  # noqa: PT017
            assert (client, key_id) in self.kept
        else:
            assert (client, key_id) not in self.kept
            self.kept[client, key_id] = (int(usage), data)

    @rule(client=clients, usage=usages, data=st.binary(min_size=32, max_size=32))
    def hold(self, client: int, usage: int, data: bytes) -> None:
        key = self.keys.import_key(client, replace(AES, usage=int(usage)), data)
        self.volatile[client, key] = (int(usage), data)

    @rule(data=st.data())
    def copy(self, data: Any) -> None:
        held = self.kept | self.volatile
        if not held:
            return
        client, key = data.draw(st.sampled_from(sorted(held)))
        usage, octets = held[client, key]
        wanted = replace(AES, usage=int(Usage.EXPORT | Usage.COPY))
        if usage & Usage.COPY:
            made = self.keys.copy_key(client, key, wanted)
            self.volatile[client, made] = (int(Usage.EXPORT | Usage.COPY), octets)
        else:
            with pytest.raises(PsaError, match="NOT_PERMITTED"):
                self.keys.copy_key(client, key, wanted)

    @rule(client=clients, key_id=key_ids, purges=st.booleans())
    def drop(self, client: int, key_id: int, *, purges: bool) -> None:
        call = self.keys.purge_key if purges else self.keys.destroy_key
        if (client, key_id) in self.kept:
            call(client, key_id)
            if not purges:
                del self.kept[client, key_id]
        else:
            with pytest.raises(PsaError, match="INVALID_HANDLE"):
                call(client, key_id)

    @rule(client=clients)
    def leave(self, client: int) -> None:
        self.keys.forget_client(client)
        self.volatile = {at: key for at, key in self.volatile.items() if at[0] != client}

    @invariant()
    def each_key_is_what_it_was(self) -> None:
        for (client, key), (usage, data) in (self.kept | self.volatile).items():
            assert self.keys.export_key(client, key) == data
            assert self.keys.attributes(client, key).usage == usage
        for client in (CLIENT, OTHER):
            for key_id in (1, 2, 3):
                if (client, key_id) not in self.kept:
                    with pytest.raises(PsaError, match="INVALID_HANDLE"):
                        self.keys.export_key(client, key_id)


Histories.TestCase.settings = settings(max_examples=40, stateful_step_count=25)
TestHistories = Histories.TestCase


def test_a_full_storage_takes_no_key_and_keeps_the_others() -> None:
    keys = KeyStore(KeysInStorage(InternalTrustedStorage(PageStore(MemoryFlash(2)))), Noise())
    raw = KeyAttributes(type=KeyType.RAW_DATA, usage=Usage.EXPORT, lifetime=PERSISTENT)
    keys.import_key(CLIENT, replace(raw, id=1), bytes(1000))
    with pytest.raises(PsaError, match="INSUFFICIENT_STORAGE"):
        keys.import_key(CLIENT, replace(raw, id=2), bytes(1000))
    with pytest.raises(PsaError, match="INVALID_HANDLE"):
        keys.export_key(CLIENT, 2)
    assert keys.export_key(CLIENT, 1) == bytes(1000)
    keys.destroy_key(CLIENT, 1)
    keys.import_key(CLIENT, replace(raw, id=2), bytes(1000))
