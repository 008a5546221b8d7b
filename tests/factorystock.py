# SPDX-License-Identifier: Apache-2.0
"""Vendors' keys and first images, made once a process for all devices that its tests start.

Making one is seconds of processor time, and shows nothing that tests of the factory do not show.
"""

import atexit
import functools
import shutil
import tempfile
from pathlib import Path

from openami.concentrator.module import DELIVERY, model_of
from openami.concentrator.own.banks import BANK_OCTETS
from openami.device.factory import FACTORY_IMAGE, METER_MODEL, SIGNING_KEY, Model, development
from openami.runtime.layout import Layout


@functools.cache
def _made(name: str) -> Path:
    model: Model = model_of(BANK_OCTETS) if name == DELIVERY else METER_MODEL
    folder = Path(tempfile.mkdtemp(prefix="openami-factory-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    development(folder, model)
    return folder


def stock(layout: Layout, *, meters: bool = True, concentrators: bool = True) -> None:
    """Put them where factories look first."""
    wanted = {"": meters, DELIVERY: concentrators}
    for name in (each for each, is_wanted in wanted.items() if is_wanted):
        folder = layout.firmware / name
        folder.mkdir(parents=True, exist_ok=True)
        for file in (SIGNING_KEY, FACTORY_IMAGE):
            shutil.copy2(_made(name) / file, folder / file)
