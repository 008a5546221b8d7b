# SPDX-License-Identifier: Apache-2.0
"""The best exchange with the head-end, noted for a process that starts anew in the same boot.

Monotonic time goes on between two processes of one boot, so what was measured against it holds: a
concentrator whose host is wrong has the right time from its start, the head-end away or not.  After
another boot the note says nothing.  It is not synced to the disk, as a power cut makes it void.
"""

import json
import logging
import operator
from dataclasses import asdict
from pathlib import Path
from typing import Final

from openami.exchange.timesync import ClockError, Exchange
from openami.runtime.clock import boot_id

log = logging.getLogger(__name__)

FILE: Final = "time.json"


class LastTime:
    """The note below a concentrator's folder."""

    def __init__(self, home: Path) -> None:
        self._path = home / FILE
        self._noted: Exchange | None = None

    def recall(self, now_us: int) -> Exchange | None:
        """Return what was noted in this boot; None where there is nothing.

        Args:
            now_us: Monotonic time.
        """
        if not self._path.exists():
            return None
        try:
            said = json.loads(self._path.read_bytes())
            boot = said.pop("boot")
            found = Exchange(**{name: operator.index(us) for name, us in said.items()})
            found.verify()
            if boot != boot_id() or found.heard_us > now_us:
                return None
        except (OSError, ValueError, TypeError, KeyError, AttributeError, ClockError) as error:
            log.warning("%s says no time (%s): the host's clock goes first", self._path, error)
            return None
        return found

    def note(self, best: Exchange | None) -> None:
        """Note the best exchange where it is another than before."""
        if best is None or best == self._noted:
            return
        temporary = self._path.with_suffix(".new")
        try:
            temporary.write_text(json.dumps({"boot": boot_id()} | asdict(best)), encoding="utf-8")
            temporary.replace(self._path)
        except OSError as error:
            log.warning("%s is not written (%s): a new start begins without it", self._path, error)
            return
        self._noted = best
