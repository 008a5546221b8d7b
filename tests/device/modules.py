# SPDX-License-Identifier: Apache-2.0
"""Two modules that were paired, and one that was not."""

from random import Random
from typing import Final

from openami.device.link import Link
from openami.device.pairing import Pair, SoftwareKey

KEYS: Final = [SoftwareKey.fresh(Random(seed).randbytes) for seed in (1, 2)]
MODULES: Final = (Pair(KEYS[0], KEYS[1].public), Pair(KEYS[1], KEYS[0].public))
"""The one that opens sessions first."""
STRANGER: Final = SoftwareKey.fresh(Random(3).randbytes)


def link(*, opens: bool, seed: int = 0, pair: Pair | None = None) -> Link:
    """Return one end of a link between the two, or of a module with another pair of keys."""
    entropy = Random(2 * seed + opens).randbytes
    return Link(pair=pair or MODULES[0 if opens else 1], opens=opens, entropy=entropy)
