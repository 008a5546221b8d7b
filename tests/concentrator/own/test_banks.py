# SPDX-License-Identifier: Apache-2.0
"""What a concentrator's two banks take, what they refuse, and which of them runs."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from concentrator.own.flashes import KEY, KEYS, MAP, image, make, program, version_of
from device import sealedmeter
from openami.concentrator.installing import install_image
from openami.concentrator.module import model_of, start
from openami.concentrator.own.banks import BANK_OCTETS, KIND, map_of, open_flash, open_update
from openami.device.alone import alone
from openami.device.bootregion import BootRegion
from openami.device.payload.identity import CLASS_ID
from openami.device.payload.judge import policy
from openami.device.storage import StorageError
from openami.firmware.bank import Bank, two_banks
from openami.firmware.errors import ImageError, Reason
from openami.firmware.flash import PAGE_OCTETS
from openami.firmware.image import Image
from openami.firmware.keys import VerifyingKey
from openami.firmware.state import BootState, StateJournal, UpdateState
from openami.firmware.transfer import Terms, check
from openami.firmware.verify import verify
from openami.runtime.errors import UserError

ROM = bytes(32)
STRANGER = ec.derive_private_key(7, ec.SECP256R1())


@pytest.fixture
def home(tmp_path: Path) -> Path:
    make(tmp_path)
    return tmp_path


def state_of(home: Path) -> BootState:
    flash, flash_map = open_flash(home)
    found = StateJournal(flash, flash_map).read()
    flash.close()
    assert found is not None
    return found


def runs(home: Path) -> str:
    return version_of(start(home, ROM).program)


def test_an_image_is_installed_tried_and_confirmed_with_its_counter(home: Path) -> None:
    assert runs(home) == "1.0.0"
    install_image(home, image("1.1.0", 5).encode(), needs_uplink=True)
    assert state_of(home).state is UpdateState.STAGED
    started = start(home, ROM)
    assert version_of(started.program) == "1.1.0"
    assert started.record.trial
    assert started.record.bank is Bank.B
    assert [each.kind for each in started.record.components] == ["ROM", "AMI-DC", "PROGRAM"]
    assert started.record.components[1].signer == KEYS[0].keyhash
    assert state_of(home).counter == 1
    flash, update = open_update(home)
    update.accept()
    flash.close()
    assert (state_of(home).counter, state_of(home).confirmed) == (5, Bank.B)
    assert runs(home) == "1.1.0"


def test_a_trial_that_nobody_confirms_is_left_at_the_next_start(home: Path) -> None:
    install_image(home, image("1.1.0", 5).encode(), needs_uplink=True)
    assert runs(home) == "1.1.0"
    started = start(home, ROM)
    assert version_of(started.program) == "1.0.0"
    assert started.record.problem == "not-confirmed"
    assert state_of(home).counter == 1


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        (image("1.1.0", 2, key=STRANGER), Reason.KEY_UNKNOWN),
        (image("1.1.0", 0), Reason.COUNTER_LOW),
        (image("1.1.0", 2, class_id=CLASS_ID.bytes), Reason.IMAGE_CLASS),
        (sealedmeter.image("1.1.0", 2, key=KEY), Reason.IMAGE_CLASS),
        (image("1.1.0", 2, payload=b"no program" * 9), Reason.PAYLOAD),
        (image("1.1.0", 2, payload=program("1.1.0")[:-90]), Reason.PAYLOAD),
        (image("1.1.0", 2, payload=program("1", "openami.meter.part:main")), Reason.PAYLOAD),
    ],
    ids=["wrong key", "older", "meter's class", "meter's image", "rubbish", "torn", "meter's part"],
)
def test_what_is_not_for_this_concentrator_is_refused_and_the_old_bank_runs(
    home: Path, what: Image, reason: Reason
) -> None:
    with pytest.raises(UserError, match="the firmware stays as it is") as refused:
        install_image(home, what.encode(), needs_uplink=True)
    assert isinstance(refused.value.__context__, ImageError)
    assert refused.value.__context__.reason is reason
    assert state_of(home).state is UpdateState.FAILED
    assert runs(home) == "1.0.0"
    assert state_of(home).counter == 1


def test_a_meter_refuses_a_concentrators_image() -> None:
    with pytest.raises(ImageError) as refused:
        verify(image(key=sealedmeter.KEY), policy(sealedmeter.KEYS))
    assert refused.value.reason is Reason.IMAGE_CLASS


def test_an_altered_bank_makes_way_for_the_other_and_two_for_a_sentence(home: Path) -> None:
    install_image(home, image("1.1.0", 2).encode(), needs_uplink=True)
    assert runs(home) == "1.1.0"
    flash, update = open_update(home)
    update.accept()
    flash.close()
    spoil(home, Bank.B)
    with pytest.raises(UserError, match="no firmware runs") as refused:
        start(home, ROM)  # what is in bank A is older than the counter allows
    assert "openami concentrator install" in str(refused.value)
    install_image(home, image("1.2.0", 2).encode(), needs_uplink=True)
    assert runs(home) == "1.2.0"


def test_the_keys_are_those_that_were_burned(home: Path) -> None:
    path = home / "secure" / "flash.bin"
    octets = bytearray(path.read_bytes())
    strangers = BootRegion(program=b"", keys=(VerifyingKey.of(STRANGER),)).encode()
    octets[: len(strangers)] = strangers
    path.write_bytes(octets)
    with pytest.raises(UserError, match="boot region was altered"):
        start(home, ROM)


def test_a_running_concentrator_is_not_written_over(home: Path) -> None:
    with alone(home / "secure"), pytest.raises(UserError, match="runs: stop it"):
        install_image(home, image("1.1.0", 2).encode(), needs_uplink=True)
    with pytest.raises(UserError, match="`openami concentrator boot` makes it"):
        install_image(home / "nowhere", image().encode(), needs_uplink=True)


def spoil(home: Path, bank: Bank) -> None:
    path = home / "secure" / "flash.bin"
    octets = bytearray(path.read_bytes())
    octets[MAP.slot(bank).offset + 0x210] ^= 0x01
    path.write_bytes(octets)


@pytest.mark.parametrize("pages", [8, 128, BANK_OCTETS // PAGE_OCTETS])
def test_the_log_of_a_bank_has_room_for_blocks_of_1024_octets(pages: int) -> None:
    flash_map = two_banks(pages * PAGE_OCTETS)
    check(Terms(identifier=b"next", size=flash_map.room, block_octets=1024), flash_map)
    assert map_of(flash_map.end) == flash_map
    assert model_of(pages * PAGE_OCTETS).flash_octets == flash_map.end
    assert KIND.class_id != CLASS_ID.bytes


@pytest.mark.parametrize("octets", [0, 0x80000, MAP.end + 1, MAP.end + PAGE_OCTETS])
def test_a_file_of_another_size_is_no_flash(octets: int) -> None:
    with pytest.raises(StorageError, match="two banks"):
        map_of(octets)
