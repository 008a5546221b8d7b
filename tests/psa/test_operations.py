# SPDX-License-Identifier: Apache-2.0
"""Every state of every multi-part operation meets every call."""

import itertools
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openami.psa import algorithms, operations
from openami.psa.algorithms import CBC_NO_PADDING, ECB_NO_PADDING, GCM, SHA_256
from openami.psa.attributes import KeyType
from openami.psa.derivation import Step
from openami.psa.operations import Call, Operation, State
from openami.psa.status import PsaError, Status
from psaworld import World

if TYPE_CHECKING:
    from collections.abc import Callable

HKDF = algorithms.hkdf(SHA_256)
HMAC = algorithms.hmac(SHA_256)


class Bench:
    """An operation of one kind, and how to make each call so that only its state can refuse it."""

    def __init__(self, kind: str) -> None:
        world = World()
        crypto = world.crypto
        key = world.key(KeyType.AES, GCM, bytes(16))
        ecb = world.key(KeyType.AES, ECB_NO_PADDING, bytes(16))
        cbc = world.key(KeyType.AES, CBC_NO_PADDING, bytes(16))
        mac = world.key(KeyType.HMAC, HMAC, bytes(16))
        right_mac = crypto.mac_compute(mac, HMAC, b"")
        right_tag = crypto.aead_encrypt(key, GCM, bytes(12), b"", b"")
        self.calls: dict[Call, Callable[[], Any]]
        self.operation: Operation
        match kind:
            case "hash":
                it = self.operation = crypto.hash_operation()
                self.table = operations.HASH
                self.calls = {
                    Call.SETUP: lambda: it.setup(SHA_256),
                    Call.UPDATE: lambda: it.update(b""),
                    Call.CLONE: it.clone,
                    Call.FINISH: it.finish,
                    Call.VERIFY: lambda: it.verify(crypto.hash_compute(SHA_256, b"")),
                }
            case "mac":
                macs = self.operation = crypto.mac_operation()
                self.table = operations.MAC
                self.calls = {
                    Call.SIGN_SETUP: lambda: macs.sign_setup(mac, HMAC),
                    Call.VERIFY_SETUP: lambda: macs.verify_setup(mac, HMAC),
                    Call.UPDATE: lambda: macs.update(b""),
                    Call.FINISH: macs.sign_finish,
                    Call.VERIFY: lambda: macs.verify_finish(right_mac),
                }
            case "cipher":
                cipher = self.operation = crypto.cipher_operation()
                self.table = operations.CIPHER
                self.calls = {
                    Call.ENCRYPT_SETUP: lambda: cipher.encrypt_setup(cbc, CBC_NO_PADDING),
                    Call.DECRYPT_SETUP: lambda: cipher.decrypt_setup(cbc, CBC_NO_PADDING),
                    Call.SETUP_WITHOUT_IV: lambda: cipher.encrypt_setup(ecb, ECB_NO_PADDING),
                    Call.GENERATE_IV: cipher.generate_iv,
                    Call.SET_IV: lambda: cipher.set_iv(bytes(16)),
                    Call.UPDATE: lambda: cipher.update(b""),
                    Call.FINISH: cipher.finish,
                }
            case "aead":
                aead = self.operation = crypto.aead_operation()
                self.table = operations.AEAD
                self.calls = {
                    Call.ENCRYPT_SETUP: lambda: aead.encrypt_setup(key, GCM),
                    Call.DECRYPT_SETUP: lambda: aead.decrypt_setup(key, GCM),
                    Call.SET_LENGTHS: lambda: aead.set_lengths(0, 0),
                    Call.GENERATE_NONCE: aead.generate_nonce,
                    Call.SET_NONCE: lambda: aead.set_nonce(bytes(12)),
                    Call.UPDATE_AD: lambda: aead.update_ad(b""),
                    Call.UPDATE: lambda: aead.update(b""),
                    Call.FINISH: aead.finish,
                    Call.VERIFY: lambda: aead.verify(right_tag),
                }
            case _:
                made = self.operation = crypto.key_derivation()
                self.table = operations.DERIVATION
                self.calls = {
                    Call.SETUP: lambda: made.setup(HKDF),
                    Call.INPUT: lambda: made.input_bytes(Step.INFO, b""),
                    Call.GET_CAPACITY: made.get_capacity,
                    Call.SET_CAPACITY: lambda: made.set_capacity(10),
                    Call.READ: lambda: made.output_bytes(1),
                }
                self.secret = lambda: made.input_bytes(Step.SECRET, b"")

    def reach(self, state: State) -> None:
        """Bring the operation into a state by the shortest way through its table."""
        if state is State.ERROR:
            self.reach(State.ACTIVE if (State.INACTIVE, Call.SETUP) in self.table else self.first)
            with suppress(PsaError):
                next(iter(self.calls.values()))()  # a second setup
            return
        ways: list[tuple[State, tuple[Call, ...]]] = [(State.INACTIVE, ())]
        for at, way in ways:
            if at is state:
                break
            ways += [
                (to, (*way, call))
                for (start, call), to in self.table.items()
                if start is at and all(to is not known for known, _ in ways)
            ]
        for call in way:
            if call is Call.READ:
                self.calls[Call.INPUT]()
                self.secret()
            self.calls[call]()
        assert self.operation.state is state

    @property
    def first(self) -> State:
        return next(to for (start, _), to in self.table.items() if start is State.INACTIVE)


KINDS = ("hash", "mac", "cipher", "aead", "derivation")


def states(kind: str) -> list[State]:
    table = Bench(kind).table
    return list(dict.fromkeys([State.INACTIVE, *table.values(), State.ERROR]))


MEETINGS = [
    (kind, state, call)
    for kind in KINDS
    for state, call in itertools.product(states(kind), Bench(kind).calls)
]


@pytest.mark.parametrize(("kind", "state", "call"), MEETINGS)
def test_every_state_meets_every_call(kind: str, state: State, call: Call) -> None:
    bench = Bench(kind)
    bench.reach(state)
    assert bench.operation.state is state
    after = bench.table.get((state, call))
    if after is None:
        with pytest.raises(PsaError) as caught:
            bench.calls[call]()
        assert caught.value.status is Status.BAD_STATE
        assert bench.operation.state is (State.INACTIVE if state is State.INACTIVE else State.ERROR)
        return
    if kind == "derivation" and call is Call.READ and state is State.ACTIVE:
        bench.calls[Call.INPUT]()
        bench.secret()
    bench.calls[call]()
    assert bench.operation.state is after


@pytest.mark.parametrize("kind", KINDS)
def test_abort_leads_from_anywhere_to_a_fresh_operation(kind: str) -> None:
    for state in states(kind):
        bench = Bench(kind)
        bench.reach(state)
        bench.operation.abort()
        bench.operation.abort()
        assert bench.operation.state is State.INACTIVE
        bench.reach(bench.first)


@given(st.sampled_from(KINDS), st.lists(st.sampled_from(Call), max_size=12))
def test_any_sequence_keeps_to_the_table(kind: str, sequence: list[Call]) -> None:
    bench = Bench(kind)
    for call in sequence:
        if call not in bench.calls:
            continue
        before = bench.operation.state
        wanted = bench.table.get((before, call))
        try:
            bench.calls[call]()
        except PsaError as error:
            assert error.status is Status.BAD_STATE  # also an input that comes again  # noqa: PT017
            refused = State.INACTIVE if before is State.INACTIVE else State.ERROR
            assert bench.operation.state is refused
        else:
            assert bench.operation.state is wanted


def test_a_setup_that_fails_leaves_the_operation_as_it_was() -> None:
    world = World()
    operation = world.crypto.aead_operation()
    with pytest.raises(PsaError):
        operation.encrypt_setup(99, GCM)
    assert operation.state is State.INACTIVE
    key = world.key(KeyType.AES, GCM, bytes(16))
    operation.encrypt_setup(key, GCM)
    with pytest.raises(PsaError):
        operation.set_nonce(b"")
    assert operation.state is State.ERROR
