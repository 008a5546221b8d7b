# SPDX-License-Identifier: Apache-2.0
"""The flash of a concentrator: two banks in a file, and what an image must be to run from them.

The map is the meter's with larger banks (`firmware.bank.two_banks`).  How large they are is said
once, when the flash is made; from then on the file says it.  Images of meters are refused here and
ours are refused by meters: each carries the class of its device, under its signature.
"""

import io
import json
import zipfile
from pathlib import Path
from typing import Final

from openami.device.files import FLASH_FILE, SECURE
from openami.device.flash import FlashFile
from openami.device.fwu import update_of
from openami.device.payload.identity import CONCENTRATOR_CLASS_ID
from openami.device.payload.judge import Kind
from openami.device.payload.parts import CONCENTRATOR
from openami.device.storage import StorageError
from openami.firmware.bank import FlashMap, two_banks
from openami.firmware.errors import ImageError, Reason
from openami.firmware.flash import PAGE_OCTETS
from openami.firmware.image import Image
from openami.firmware.update import Update

BANK_OCTETS: Final = 1 << 20
LEAST_BANK_OCTETS: Final = 1 << 18
MOST_BANK_OCTETS: Final = 1 << 24
MEMBERS: Final = ("__main__.py", "table", "modules")
"""Of a program's file (`device.payload.pack`)."""


def _judge(image: Image) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(image.payload)) as archive:
            found = {name: archive.read(name) for name in MEMBERS}
            entry = json.loads(found["table"])["entry"]
    except (zipfile.BadZipFile, KeyError, TypeError, ValueError, EOFError) as error:
        raise ImageError(Reason.PAYLOAD, f"it holds no program ({error})", "the payload") from None
    if entry != CONCENTRATOR.entry:
        detail = f"its program begins at {entry!r}, a concentrator's at {CONCENTRATOR.entry!r}"
        raise ImageError(Reason.PAYLOAD, detail, "the payload")


KIND: Final = Kind(CONCENTRATOR_CLASS_ID.bytes, _judge)


def map_of(octets: int) -> FlashMap:
    """Return the map of a flash with so many octets.

    Raises:
        StorageError: No flash of ours is that large.
    """
    around = two_banks(0).end
    bank_octets, odd = divmod(octets - around, 2)
    if odd or bank_octets % PAGE_OCTETS or bank_octets < PAGE_OCTETS:
        raise StorageError(
            f"a flash of {octets} octets is none with two banks: restore it from a backup, "
            "or remove the folder `secure` and let it be made anew"
        )
    return two_banks(bank_octets)


def open_flash(home: Path) -> tuple[FlashFile, FlashMap]:
    """Open the flash of the concentrator in `home`.

    Raises:
        StorageError: It is not there, cannot be opened, or has a size that no flash has.
    """
    path = home / SECURE / FLASH_FILE
    if not path.exists():
        raise StorageError(f"{path} is not there: `openami concentrator boot` makes it")
    octets = path.stat().st_size
    flash_map = map_of(octets)
    return FlashFile.open(path, octets), flash_map


def open_update(home: Path) -> tuple[FlashFile, Update]:
    """Take up the update of the concentrator in `home`, as its flash tells.

    Raises:
        StorageError: The flash cannot be opened.
        FirmwareError: It was never prepared.
    """
    flash, flash_map = open_flash(home)
    return flash, update_of(flash, home / SECURE, flash_map, KIND)
