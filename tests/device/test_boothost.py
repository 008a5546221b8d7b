# SPDX-License-Identifier: Apache-2.0
"""The boot of a device: what it hands over, what it measures, when it recovers."""

import contextlib
import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.sealedmeter import KEYS, flash_with, image, otp_with, spoil
from openami.device.attested import software_of_start
from openami.device.boothost import Measured, Started, start
from openami.device.bootregion import REGION, BootRegion, BootRegionError
from openami.device.handover import (
    Component,
    Handover,
    HandoverError,
    decode_components,
    encode_components,
    handed_over,
)
from openami.device.otp import BOOT, Otp
from openami.device.payload.judge import policy
from openami.device.sealed import SealError, octets_of, seal
from openami.firmware import cbor
from openami.firmware.bank import M2351, M2351_FLASH_OCTETS, Bank
from openami.firmware.flash import ERASED, PAGE_OCTETS, SimulatedFlash
from openami.firmware.image import Image
from openami.firmware.keys import VerifyingKey, fresh_p256
from openami.firmware.revocation import TYPE, Revocation
from openami.firmware.tlv import Tlv
from openami.firmware.update import Update
from openami.psa.lifecycle import STAGES, LifeCycle

SEED = bytes(range(32))
ROM = hashlib.sha256(b"rom").digest()


@pytest.fixture
def otp(tmp_path: Path) -> Otp:
    return otp_with(tmp_path / "otp.bin")


def started(flash: SimulatedFlash, otp: Otp) -> Started:
    found = start(flash, otp, SEED, "", Measured(rom=ROM))
    assert isinstance(found, Started), found
    return found


def receive(flash: SimulatedFlash, what: Image) -> Update:
    update = Update(flash, M2351, policy(KEYS))
    _transfer(update, what)
    return update


def put(update: Update, what: Image) -> None:
    _transfer(update, what)
    update.finish()
    update.install()


def _transfer(update: Update, what: Image) -> None:
    octets = what.encode()
    update.give_up()
    update.start(b"next", len(octets), 1024)
    for at in range(0, len(octets), 1024):
        update.write(at // 1024, octets[at : at + 1024])


def test_what_was_verified_is_handed_over_and_measured(otp: Otp) -> None:
    first = image()
    found = started(flash_with(first), otp)
    kinds = {each.kind: each for each in found.record.components}

    assert found.payload.management == b"runs 1.0.0"
    assert found.payload.secure == b"secure 1.0.0"
    assert (found.record.bank, found.record.trial) == (Bank.A, False)
    assert list(kinds) == ["ROM", "BL", "AMI-METER", "SECURE", "MANAGEMENT"]
    assert kinds["ROM"].measurement == ROM
    assert kinds["BL"].measurement == BootRegion(program=b"boot", keys=KEYS).digest
    assert kinds["AMI-METER"].measurement == hashlib.sha256(first.signed).digest()
    assert kinds["AMI-METER"].signer == KEYS[0].keyhash
    assert kinds["AMI-METER"].version == "1.0.0+0"
    assert kinds["MANAGEMENT"].measurement == hashlib.sha256(b"runs 1.0.0").digest()


def test_the_record_says_the_life_cycle_and_how_parts_are_kept_apart(otp: Otp) -> None:
    flash = flash_with()
    assert started(flash, otp).record.life_cycle == LifeCycle.ASSEMBLY_AND_TEST
    otp.burn(4, bytes([STAGES[LifeCycle.SECURED].fuses]))
    found = start(flash, otp, SEED, "it was not started by root", Measured(rom=ROM))
    assert isinstance(found, Started)
    assert found.record.life_cycle == LifeCycle.SECURED
    assert found.record.isolation == "it was not started by root"


def test_an_image_on_trial_is_told_and_left_at_the_next_start(otp: Otp) -> None:
    flash = flash_with()
    update = receive(flash, image("1.1.0", 2))
    update.finish()
    update.install()

    trial, back = started(flash, otp), started(flash, otp)

    assert (trial.record.trial, trial.record.bank) == (True, Bank.B)
    assert trial.payload.management == b"runs 1.1.0"
    assert (back.record.trial, back.record.bank) == (False, Bank.A)
    assert back.record.problem == "not-confirmed"


def test_a_bad_bank_makes_way_for_the_other_and_the_reason_is_told(otp: Otp) -> None:
    flash = flash_with()
    update = receive(flash, image("1.1.0"))
    update.finish()
    update.install()
    started(flash, otp)
    Update(flash, M2351, policy(KEYS)).accept()
    spoil(flash, Bank.B)

    found = started(flash, otp)

    assert found.payload.management == b"runs 1.0.0"
    assert "hash is another one" in found.record.problem


def test_a_key_is_given_up_when_the_image_that_says_so_is_confirmed(tmp_path: Path) -> None:
    root, second = fresh_p256(os.urandom), fresh_p256(os.urandom)
    keys = (*KEYS, VerifyingKey.of(second))
    region = BootRegion(program=b"boot", keys=keys, root=VerifyingKey.of(root))
    flash, octets = flash_with(), region.encode()
    for page in range(-(-len(octets) // PAGE_OCTETS)):
        flash.erase(REGION.offset + page * PAGE_OCTETS)
    flash.program(REGION.offset, octets + ERASED * (-len(octets) % 8))
    otp = Otp.open(tmp_path / "otp.bin")
    otp.burn(BOOT, region.digest)
    said = Tlv(TYPE, Revocation.make(KEYS, root).encode())
    update = Update(flash, M2351, policy(keys, root=region.root))
    put(update, image("1.1.0", 2, key=second, carried=(said,)))

    assert started(flash, otp).record.trial
    assert region.trusted(otp) == keys, "an image on trial decides nothing"
    Update(flash, M2351, policy(keys)).accept()
    assert not started(flash, otp).record.trial

    assert [key.keyhash for key in BootRegion.read(flash).trusted(otp)] == [keys[1].keyhash]
    spoil(flash, Bank.B)  # bank A was signed with the key that is gone
    found = start(flash, otp, SEED, "", Measured(rom=ROM))
    assert isinstance(found, str)
    assert "signed with a key that is not trusted here" in found


def test_a_region_with_a_root_key_is_read_as_it_was_written() -> None:
    root = VerifyingKey.of(fresh_p256(os.urandom))
    for region in (
        BootRegion(program=b"boot", keys=KEYS),
        BootRegion(program=b"boot", keys=KEYS * 3, root=root),
    ):
        flash, octets = SimulatedFlash(M2351_FLASH_OCTETS), region.encode()
        flash.program(REGION.offset, octets + ERASED * (-len(octets) % 8))
        found = BootRegion.read(flash)
        assert found.encode() == octets
        assert (found.root is None) is (region.root is None)


def test_with_no_good_bank_it_recovers_and_says_why(otp: Otp) -> None:
    flash = flash_with()
    spoil(flash, Bank.A)
    found = start(flash, otp, SEED, "", Measured(rom=ROM))
    assert isinstance(found, str)
    assert "bank A: the image was altered" in found
    assert "bank B: there is no image here" in found


def test_a_signed_image_that_holds_no_programs_is_no_candidate(otp: Otp) -> None:
    flash = flash_with()
    with pytest.raises(Exception, match="holds no programs of a meter"):
        receive(flash, image("1.1.0", payload=b"another device's code " * 99)).finish()
    assert started(flash, otp).payload.management == b"runs 1.0.0"


@given(at=st.integers(0, 4000))
def test_any_change_of_the_boot_region_is_refused(
    tmp_path_factory: pytest.TempPathFactory, at: int
) -> None:
    program = bytes(range(256)) * 16
    folder = tmp_path_factory.mktemp("otp")
    otp, flash = otp_with(folder / "otp.bin", program), flash_with(program=program)
    BootRegion.read(flash).verify(otp)
    flash.content[REGION.offset + at] ^= 0x80
    with pytest.raises(BootRegionError):
        BootRegion.read(flash).verify(otp)
    otp.close()


def test_a_flash_without_a_boot_is_refused() -> None:
    with pytest.raises(BootRegionError, match="holds no boot"):
        BootRegion.read(SimulatedFlash(0x80000))


components = st.builds(
    Component, st.text(max_size=9), st.binary(max_size=32), st.binary(max_size=9)
)
records = st.builds(
    Handover,
    bank=st.sampled_from(Bank),
    trial=st.booleans(),
    problem=st.text(max_size=20),
    seed=st.binary(min_size=32, max_size=32),
    life_cycle=st.integers(0, 0xFFFF),
    isolation=st.text(max_size=20),
    components=st.lists(components, max_size=3).map(tuple),
    from_source=st.booleans(),
)


@given(records)
def test_a_record_is_read_as_it_was_written(record: Handover) -> None:
    octets = record.encode()
    assert Handover.decode(octets) == record
    for end in range(len(octets)):
        with pytest.raises(HandoverError):
            Handover.decode(octets[:end])


@given(st.binary(max_size=60))
def test_any_octets_are_a_record_or_refused(octets: bytes) -> None:
    with contextlib.suppress(HandoverError):
        Handover.decode(octets)


@pytest.mark.parametrize("value", [b"", {1: 2}, {}, {**dict.fromkeys(range(1, 9), 0), 9: 0}])
def test_another_map_is_no_record(value: object) -> None:
    with pytest.raises(HandoverError):
        Handover.decode(cbor.encode(value))


def test_a_sealed_file_cannot_be_changed_and_an_unsealed_one_is_refused(tmp_path: Path) -> None:
    descriptor = seal("x", b"octets" * 1000)
    assert octets_of(descriptor) == b"octets" * 1000
    path = Path(f"/proc/self/fd/{descriptor}")
    with pytest.raises(OSError, match="Operation not permitted"):
        path.write_bytes(b"")
    with path.open("r+b", buffering=0) as file, pytest.raises(OSError, match="not permitted"):
        file.write(b"x")
    plain = tmp_path / "plain"
    plain.write_bytes(b"octets")
    with plain.open("rb") as file, pytest.raises(SealError):
        octets_of(file.fileno())


def test_a_record_is_taken_from_a_sealed_file_only(otp: Otp, tmp_path: Path) -> None:
    record = started(flash_with(), otp).record
    assert handed_over(seal("record", record.encode())) == record
    assert handed_over(None) is None
    path = tmp_path / "record"
    path.write_bytes(record.encode())
    with path.open("rb") as file, pytest.raises(SealError):
        handed_over(file.fileno())


def test_an_attestation_tells_of_every_component(otp: Otp) -> None:
    record = started(flash_with(), otp).record
    software = software_of_start(record)
    assert [each.kind for each in software] == ["ROM", "BL", "AMI-METER", "SECURE", "MANAGEMENT"]
    assert [each.measurement for each in software] == [
        each.measurement for each in record.components
    ]
    assert all(each.signer_id for each in software)


def test_what_stands_beside_the_module_is_told_last(otp: Otp) -> None:
    beside = (Component("AMI-MEASURE", bytes(32), bytes(range(32)), "1.2.3+0"),)
    assert decode_components(encode_components(beside)) == beside
    found = start(flash_with(), otp, SEED, "", Measured(rom=ROM, beside=beside))
    assert isinstance(found, Started)
    assert found.record.components[-1:] == beside
    assert software_of_start(found.record)[-1].kind == "AMI-MEASURE"


@pytest.mark.parametrize("octets", [b"", b"\xa0", cbor.encode([["kind", b""]]), cbor.encode({})])
def test_what_are_no_components_are_refused(octets: bytes) -> None:
    with pytest.raises(HandoverError):
        decode_components(octets)


def test_images_are_not_judged_by_keys_that_were_not_burned(otp: Otp) -> None:
    """Whoever exchanges the keys between the mask ROM's look and the boot's gains nothing."""
    with pytest.raises(BootRegionError, match="the boot region was altered"):
        start(flash_with(program=b"other"), otp, SEED, "", Measured(rom=ROM))
