# SPDX-License-Identifier: Apache-2.0
"""New firmware for a concentrator at the head-end's word: from the command to what is read back."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from chain import CONCENTRATOR, REGION, Chain, until
from concentrator.booted import CRASH, Booted, bad_image, booted
from concentrator.own.flashes import KEY, image
from device import sealedmeter
from loops import in_loop
from openami.cli.main import openami
from openami.exchange.campaign import MeterState
from openami.headend.registry_import import import_shipment, load_shipment
from openami.runtime.errors import UserError
from openami.store import concentrator_devices as store
from openami.store.concentrator_devices import ConcentratorUpdate, WrappedKeys

S = MeterState


async def said(*words: object) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, openami, [str(word) for word in words])


def update_of(found: Booted) -> ConcentratorUpdate:
    (row,) = store.updates(found.chain.engine)
    return row


def signed(found: Booted, version: str, counter: int) -> Sequence[object]:
    file = found.home.parent / f"{version}.bin"
    file.write_bytes(found.image(version, counter).encode())
    key = found.chain.layout.firmware / "concentrator" / "development-key.pem"
    return ("--image", file, "-k", key, "--reason", "leap second", REGION)


def hurry(found: Booted) -> None:
    found.chain.headend.concentrator_updates.ask_s = 0.2
    found.chain.headend.concentrator_updates.look_s = 0.05


@pytest.mark.faults
@in_loop
async def test_a_concentrator_is_brought_new_firmware_and_asked_what_came_of_it(
    tmp_path: Path,
) -> None:
    async with booted(tmp_path) as found:
        await found.says("0.1.0+0 in bank A")
        hurry(found)
        home = ("--home", found.chain.layout.headend)
        words = signed(found, "0.2.0", 2)
        early = await said("headend", "concentrator", "update", *home, *words)
        assert "are not here: bring its keys.json" in str(early.exception)
        adopted = await said("headend", "concentrator", "adopt", *home, found.home / "keys.json")
        assert adopted.exit_code == 0, adopted.output
        asked = await said("headend", "concentrator", "update", *home, *words)
        assert asked.exit_code == 0, asked.output
        await until(lambda: update_of(found).blocks_there > 0)
        await found.chain.headend_ends()  # in the middle of the transfer
        halfway = update_of(found)
        assert halfway.state is S.TRANSFERRING
        assert halfway.blocks_there < halfway.blocks
        await found.chain.start_headend()
        hurry(found)
        await until(lambda: update_of(found).state in {S.CONFIRMED, S.FAILED, S.REVERTED})
        row = update_of(found)
        assert (row.state, row.version_before, row.version_after) == (
            S.CONFIRMED,
            "openami 0.1.0+0",
            "openami 0.2.0+0",
        ), row.note
        assert found.state.counter == 2
        shown = await said("headend", "concentrator", "status", *home, "--json")
        (told,) = json.loads(shown.output)
        assert (told["title"], told["state"]) == (CONCENTRATOR.hex().upper(), "confirmed")
        again = await said("headend", "concentrator", "update", *home, "--follow", *words)
        assert again.exit_code == 0
        assert "it runs openami 0.2.0+0 already" in again.output


@pytest.mark.long
@pytest.mark.faults
@in_loop
async def test_a_head_end_reads_back_that_bad_firmware_was_left(tmp_path: Path) -> None:
    async with booted(tmp_path) as found:
        await found.says("0.1.0+0 in bank A")
        found.chain.headend.concentrator_updates.ask_s = 0.2
        home = ("--home", found.chain.layout.headend)
        words = signed(found, "0.2.0", 2)
        (found.home.parent / "0.2.0.bin").write_bytes(bad_image(found, CRASH).encode())
        await said("headend", "concentrator", "adopt", *home, found.home / "keys.json")
        asked = await said("headend", "concentrator", "update", *home, "--follow", *words)
        assert "reverted" in asked.output, asked.output
        row = update_of(found)
        assert (row.state, row.version_after) == (S.REVERTED, "openami 0.1.0+0"), row.note
        await until(lambda: found.told.problem == "not-confirmed")


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[Chain]:
    """A head-end that does not run, with meters and a concentrator that it knows."""
    made = Chain(tmp_path, meters=1)
    import_shipment(made.engine, load_shipment(made.layout.headend / "shipment.json"))
    yield made
    made.close()


def refused(words: Sequence[object]) -> str:
    result = CliRunner().invoke(openami, [str(word) for word in words])
    assert isinstance(result.exception, UserError)
    return str(result.exception)


def file_of(folder: Path, octets: bytes, key: EllipticCurvePrivateKey) -> Sequence[object]:
    (folder / "image.bin").write_bytes(octets)
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (folder / "key.pem").write_bytes(pem)
    return ("--image", folder / "image.bin", "-k", folder / "key.pem", "--reason", "none")


def test_kinds_of_releases_are_kept_apart(chain: Chain, tmp_path: Path) -> None:
    home = ("--home", chain.layout.headend)
    ours = file_of(tmp_path, image("1.1.0", 2).encode(), KEY)
    campaign = refused(("headend", "campaign", "plan", *home, *ours, "--all"))
    assert "it is a concentrator's: `openami headend concentrator update` brings it" in campaign
    meters = file_of(tmp_path, sealedmeter.image("1.1.0", 2, key=KEY).encode(), KEY)
    update = refused(("headend", "concentrator", "update", *home, *meters, REGION))
    assert "is not sent to anybody" in update
    assert "give a concentrator's image" in update
    older = file_of(tmp_path, image("1.1.0", 2).encode(), KEY)
    update = refused(("headend", "concentrator", "update", *home, *older, "--counter", 3, REGION))
    assert "security counter 2, at least 3 is demanded" in update
    update = refused(("headend", "concentrator", "update", *home, *older, "nowhere"))
    assert f"known are {REGION}" in update


NORTH, SOUTH, EAST = (b"OAM" + n.to_bytes(5) for n in (1, 2, 3))


def states(chain: Chain) -> dict[bytes, tuple[MeterState, str]]:
    return {row.title: (row.state, row.note) for row in store.updates(chain.engine)}


def turns(chain: Chain) -> list[bytes]:
    return [row.title for row in store.in_turn(store.updates(chain.engine, only_open=True))]


def goes(chain: Chain, title: bytes, *path: MeterState) -> None:
    for state in path:
        found = next(row for row in store.updates(chain.engine) if row.title == title)
        assert store.advance(chain.engine, found, state, "")


def test_of_those_that_are_wanted_together_one_goes_after_the_other(chain: Chain) -> None:
    store.want_each(chain.engine, [SOUTH, NORTH, EAST], "0" * 64, by="ann", why="leap second")
    store.want(chain.engine, CONCENTRATOR, "0" * 64, by="ann", why="by itself")
    assert turns(chain) == [SOUTH, CONCENTRATOR]
    goes(chain, SOUTH, S.TRANSFERRING, S.ACTIVATING, S.TRIAL)
    assert turns(chain) == [SOUTH, CONCENTRATOR]
    goes(chain, SOUTH, S.IN_DOUBT)  # nobody knows yet: nobody goes on
    assert turns(chain) == [SOUTH, CONCENTRATOR]
    goes(chain, SOUTH, S.CONFIRMED)
    assert turns(chain) == [NORTH, CONCENTRATOR]
    goes(chain, NORTH, S.SKIPPED)  # it runs it already, or was cancelled
    assert turns(chain) == [EAST, CONCENTRATOR]


@pytest.mark.parametrize("end", [S.REVERTED, S.FAILED])
def test_the_first_that_comes_to_nothing_good_ends_it(chain: Chain, end: MeterState) -> None:
    store.want_each(chain.engine, [SOUTH, NORTH, EAST], "0" * 64, by="ann", why="leap second")
    store.want(chain.engine, CONCENTRATOR, "0" * 64, by="ann", why="by itself")
    goes(chain, SOUTH, S.TRANSFERRING, S.ACTIVATING, S.TRIAL, S.CONFIRMED)
    goes(chain, NORTH, S.TRANSFERRING, S.ACTIVATING, S.TRIAL, end)
    assert turns(chain) == [CONCENTRATOR]
    found = states(chain)
    assert found[EAST] == (S.SKIPPED, f"not begun: {NORTH.hex().upper()} is {end.value}")
    assert (found[SOUTH][0], found[CONCENTRATOR][0]) == (S.CONFIRMED, S.PLANNED)
    store.want_each(chain.engine, [NORTH, EAST], "1" * 64, by="ann", why="a better one")
    assert turns(chain) == [NORTH, CONCENTRATOR]


def test_waves_of_one_microsecond_are_two(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "real_us", lambda: 1_700_000_000_000_000)
    store.want_each(chain.engine, [SOUTH, NORTH], "0" * 64, by="ann", why="leap second")
    store.want_each(chain.engine, [EAST, CONCENTRATOR], "0" * 64, by="bob", why="leap second")
    goes(chain, SOUTH, S.TRANSFERRING, S.FAILED)
    found = states(chain)
    assert (found[NORTH][0], found[CONCENTRATOR][0]) == (S.SKIPPED, S.PLANNED)
    assert turns(chain) == [EAST]


def test_where_one_is_under_way_nothing_is_wanted_of_any(chain: Chain) -> None:
    store.want(chain.engine, NORTH, "0" * 64, by="ann", why="leap second")
    with pytest.raises(UserError, match=f"{NORTH.hex().upper()} is under way"):
        store.want_each(chain.engine, [SOUTH, NORTH], "1" * 64, by="bob", why="leap second")
    assert set(states(chain)) == {NORTH}


def test_several_are_asked_for_by_one_command(chain: Chain, tmp_path: Path) -> None:
    home = ("--home", chain.layout.headend)
    ours = file_of(tmp_path, image("1.1.0", 2).encode(), KEY)
    update = ("headend", "concentrator", "update", *home, *ours)
    assert "name concentrators, or give --all" in refused(update)
    assert "--all names all already" in refused((*update, "--all", REGION))
    twice = refused((*update, REGION, CONCENTRATOR.hex()))
    assert "is named twice" in twice
    for title in (NORTH, CONCENTRATOR):
        store.adopt(chain.engine, WrappedKeys(title=title, guek=b"1", gak=b"2"))
    words = [str(word) for word in (*update, NORTH.hex(), REGION)]
    done = CliRunner().invoke(openami, words)
    assert done.exit_code == 0, done.output
    assert done.output.count("is to run 1.1.0") == 2
    assert turns(chain) == [NORTH]
    goes(chain, NORTH, S.TRANSFERRING, S.ACTIVATING, S.REVERTED)
    words = [str(word) for word in (*update, "--follow", NORTH.hex(), SOUTH.hex())]
    assert "are not here" in str(CliRunner().invoke(openami, words).exception)
    assert states(chain)[NORTH][0] is S.REVERTED  # nothing was asked for


def test_one_update_at_a_time_and_what_was_told_to_start_is_not_cancelled(
    chain: Chain,
) -> None:
    engine = chain.engine
    store.want(engine, CONCENTRATOR, "0" * 64, by="ann", why="leap second")
    with pytest.raises(UserError, match="is under way"):
        store.want(engine, CONCENTRATOR, "1" * 64, by="bob", why="leap second")
    (planned,) = store.updates(engine, only_open=True)
    assert store.advance(engine, planned, S.ACTIVATING, "told", activated_real_us=1)
    assert not store.advance(engine, planned, S.FAILED, "too late")
    words = ("headend", "concentrator", "cancel", "--home", chain.layout.headend)
    text = refused((*words, "--reason", "holiday", REGION))
    assert "was told to start its image already" in text
    (told,) = store.updates(engine)
    assert store.advance(engine, told, S.REVERTED, "left")
    assert store.updates(engine, only_open=True) == []
    store.want(engine, CONCENTRATOR, "1" * 64, by="bob", why="leap second")
    done = CliRunner().invoke(
        openami, [*map(str, words), "--reason", "holiday", CONCENTRATOR.hex()]
    )
    assert done.exit_code == 0
    (cancelled,) = store.updates(engine)
    assert (cancelled.state, cancelled.note) == (S.SKIPPED, "cancelled: holiday")


def test_counters_are_given_once_and_never_below_what_the_concentrator_took(chain: Chain) -> None:
    engine = chain.engine
    with pytest.raises(UserError, match="bring its keys"):
        store.keys_of(engine, CONCENTRATOR)
    keys = WrappedKeys(title=CONCENTRATOR, guek=b"e" * 24, gak=b"a" * 24)
    store.adopt(engine, keys)
    assert store.keys_of(engine, CONCENTRATOR) == keys
    assert store.reserve(engine, CONCENTRATOR, 1, 10) == range(1, 11)
    assert store.reserve(engine, CONCENTRATOR, 100, 10) == range(100, 110)
    assert store.reserve(engine, CONCENTRATOR, 5, 10) == range(110, 120)
    store.adopt(engine, keys)  # counters go on
    assert store.reserve(engine, CONCENTRATOR, 1, 10) == range(120, 130)
    with pytest.raises(UserError, match="no invocation counters left"):
        store.reserve(engine, CONCENTRATOR, 2**32 - 5, 10)
    assert store.rewrap(engine, lambda octets: b"x" * 24 if octets[:1] == b"e" else None) == 1
    assert store.keys_of(engine, CONCENTRATOR).guek == b"x" * 24


def test_keys_of_concentrators_are_counted_with_the_others(chain: Chain) -> None:
    def counted() -> dict[str, int]:
        words = ["headend", "keystore", "status", "--home", str(chain.layout.headend), "--json"]
        found: dict[str, int] = json.loads(CliRunner().invoke(openami, words).output)
        return found

    (place, before), *_ = counted().items()
    file = chain.layout.concentrator(REGION) / "keys.json"
    words = ["headend", "concentrator", "adopt", "--home", str(chain.layout.headend), str(file)]
    assert CliRunner().invoke(openami, words).exit_code == 0
    assert counted() == {place: before + 2}
    store.adopt(chain.engine, WrappedKeys(title=NORTH, guek=b"1", gak=b"2"))
    assert counted() == {place: before + 2, "none of them": 2}
