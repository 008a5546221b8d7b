# SPDX-License-Identifier: Apache-2.0
"""What each caller may do, keep and take, call by call."""

import pytest

from device.secure.worlds import RECORD, ask, in_memory
from openami.device.secure.access import ACCESS, KEYLESS, Caller, Limits
from openami.device.secure.calls import FUNCTIONS, Function, Kind
from openami.device.secure.codec import ATTRIBUTES, OCTETS, Reply, Request, Value, write
from openami.device.secure.service import HostileError
from openami.firmware.bank import M2351_FLASH_OCTETS
from openami.firmware.flash import SimulatedFlash
from openami.psa.attestation import Claims, verify_token
from openami.psa.attributes import PERSISTENT, KeyAttributes, KeyType, Usage
from openami.psa.lifecycle import STAGES, LifeCycle
from openami.psa.status import PsaError, Status

SHA_256 = 0x02000009
GCM = 0x05500200
KEY = KeyAttributes(type=KeyType.AES, bits=128, usage=Usage.ENCRYPT | Usage.DECRYPT, alg=GCM)
ZEROS: dict[object, Value] = {OCTETS: b"", ATTRIBUTES: KEY}


def some(function: Function) -> tuple[Value, ...]:
    return tuple(ZEROS.get(field, 0) for field in function.arguments)


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.name)
@pytest.mark.parametrize("caller", list(Caller))
def test_every_function_is_there_for_whom_the_table_names_and_for_nobody_else(
    caller: Caller, function: Function
) -> None:
    session = in_memory().connect(caller)
    request = Request(function.number, 1, write(function.arguments, some(function)))

    reply = Reply.decode(session.serve(request.encode()))

    if function.group in ACCESS[caller]:
        assert reply.status != Status.NOT_PERMITTED
    else:
        with pytest.raises(PsaError, match="may not call it") as caught:
            reply.results(function.results)
        assert caught.value.status is Status.NOT_PERMITTED


@pytest.mark.parametrize("state", [each for each in LifeCycle if not STAGES[each].keys])
@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.name)
def test_without_keys_there_is_only_what_needs_none(state: LifeCycle, function: Function) -> None:
    session = in_memory(state=state).connect(Caller.NON_SECURE)

    if function.group in KEYLESS:
        ask(session, function.name, *some(function))
    else:
        with pytest.raises(PsaError) as caught:
            ask(session, function.name, *some(function))
        assert caught.value.status is Status.NOT_PERMITTED


def test_each_kind_of_operation_lives_in_the_connection_that_began_it() -> None:
    service = in_memory()
    session, other = (service.connect(Caller.NON_SECURE) for _ in range(2))
    for kind in Kind:
        (handle,) = ask(session, "operation_open", kind.value)
        name = "key_derivation_abort" if kind is Kind.DERIVATION else f"{kind.name.lower()}_abort"
        ask(session, name, handle)
        with pytest.raises(PsaError) as caught:
            ask(other, name, handle)
        assert caught.value.status is Status.INVALID_HANDLE
        ask(session, "operation_close", handle)
        with pytest.raises(PsaError):
            ask(session, name, handle)


def test_an_operation_goes_on_from_call_to_call_and_is_cloned() -> None:
    session = in_memory().connect(Caller.NON_SECURE)
    (handle,) = ask(session, "operation_open", Kind.HASH.value)
    ask(session, "hash_setup", handle, SHA_256)
    ask(session, "hash_update", handle, b"ab")
    (clone,) = ask(session, "hash_clone", handle)
    ask(session, "hash_update", handle, b"c")

    assert ask(session, "hash_finish", handle) == ask(session, "hash_compute", SHA_256, b"abc")
    assert ask(session, "hash_finish", clone) == ask(session, "hash_compute", SHA_256, b"ab")


def test_a_handle_of_another_kind_is_none() -> None:
    session = in_memory().connect(Caller.NON_SECURE)
    (handle,) = ask(session, "operation_open", Kind.HASH.value)

    with pytest.raises(PsaError, match="no such operation"):
        ask(session, "mac_abort", handle)
    with pytest.raises(PsaError, match="no kind 9"):
        ask(session, "operation_open", 9)


def test_a_caller_may_take_only_so_much() -> None:
    service = in_memory(
        limits=Limits(connections=1, operations=2, volatile_keys=2, stored_octets=200)
    )
    session = service.connect(Caller.NON_SECURE)
    with pytest.raises(PsaError, match="may have no more"):
        service.connect(Caller.NON_SECURE)
    service.connect(Caller.TLS)  # it has its own

    for _ in range(2):
        ask(session, "operation_open", Kind.HASH.value)
    with pytest.raises(PsaError, match="2 operations are open"):
        ask(session, "operation_open", Kind.HASH.value)

    (first,) = ask(session, "generate_key", KEY)
    ask(session, "generate_key", KEY)
    with pytest.raises(PsaError, match="2 volatile keys"):
        ask(session, "generate_key", KEY)
    ask(session, "destroy_key", first)
    ask(session, "generate_key", KEY)

    ask(session, "its_set", 1, bytes(100), 0)
    with pytest.raises(PsaError, match="may keep 200 octets"):
        ask(session, "its_set", 2, bytes(100), 0)
    ask(session, "its_set", 1, bytes(120), 0)  # in place of what was there


def test_a_key_that_there_is_no_room_for_is_not_kept() -> None:
    session = in_memory(limits=Limits(stored_octets=40, volatile_keys=1)).connect(Caller.NON_SECURE)
    kept = KeyAttributes(
        type=KEY.type, bits=128, usage=KEY.usage, alg=GCM, lifetime=PERSISTENT, id=5
    )

    with pytest.raises(PsaError) as caught:
        ask(session, "generate_key", kept)

    assert caught.value.status is Status.INSUFFICIENT_STORAGE
    with pytest.raises(PsaError, match="no such key"):
        ask(session, "get_key_attributes", 5)


def test_with_its_last_connection_a_caller_loses_its_volatile_keys() -> None:
    service = in_memory()
    session, other = (service.connect(Caller.NON_SECURE) for _ in range(2))
    (key,) = ask(session, "generate_key", KEY)
    session.close()
    ask(other, "get_key_attributes", key)
    other.close()

    with pytest.raises(PsaError):
        ask(service.connect(Caller.NON_SECURE), "get_key_attributes", key)


def test_what_is_kept_is_there_after_a_restart() -> None:
    flash = SimulatedFlash(M2351_FLASH_OCTETS)
    kept = KeyAttributes(
        type=KEY.type, bits=128, usage=KEY.usage, alg=GCM, lifetime=PERSISTENT, id=5
    )
    session = in_memory(flash).connect(Caller.NON_SECURE)
    ask(session, "generate_key", kept)
    ask(session, "ps_set", 1, b"sealed", 0)
    (sealed,) = ask(session, "aead_encrypt", 5, GCM, bytes(12), b"", b"said")

    again = in_memory(flash).connect(Caller.NON_SECURE)

    assert ask(again, "ps_get", 1, 0, 9) == (b"sealed",)
    assert ask(again, "aead_decrypt", 5, GCM, bytes(12), b"", sealed) == (b"said",)


def test_a_token_tells_of_the_start_and_of_who_asked() -> None:
    service = in_memory()
    session = service.connect(Caller.TLS)
    with pytest.raises(PsaError):
        ask(session, "initial_attest_get_token", bytes(32))
    session = service.connect(Caller.NON_SECURE)

    (token,) = ask(session, "initial_attest_get_token", b"\x07" * 32)

    assert isinstance(token, bytes)
    assert ask(session, "initial_attest_get_token_size", 32) == (len(token),)
    found: Claims = verify_token(token, service.world.attestation_point())
    assert (found.nonce, found.client_id) == (b"\x07" * 32, Caller.NON_SECURE)
    assert found.boot_seed == RECORD.seed
    assert [each.kind for each in found.software] == ["BL", "SECURE"]


@pytest.mark.parametrize("octets", [b"", b"\x01", b"\xff\xff\x00\x00", b"\x00\x01\x00\x00\x00"])
def test_what_is_no_request_ends_the_connection(octets: bytes) -> None:
    session = in_memory().connect(Caller.NON_SECURE)

    with pytest.raises(HostileError) as caught:
        session.serve(octets)

    with pytest.raises(PsaError) as said:
        Reply.decode(caught.value.reply).results(())
    assert said.value.status is Status.PROGRAMMER_ERROR


def test_a_reply_that_is_too_long_is_asked_for_in_parts() -> None:
    session = in_memory().connect(Caller.NON_SECURE)

    with pytest.raises(HostileError):
        ask(session, "generate_random", 0x10001)
    assert len(ask(session, "generate_random", 0x10000)[0]) == 0x10000  # type: ignore[arg-type]
