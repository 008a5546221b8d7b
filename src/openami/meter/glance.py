# SPDX-License-Identifier: Apache-2.0
"""A look at a meter from outside its processes, without touching anything of theirs.

Metrology's journals are read as they stand, and the replayed load says what has flowed since: so
the registers are those that the metrology process shows.
"""

from pathlib import Path

from openami.device.files import JOURNAL, METROLOGY
from openami.device.journal import peek
from openami.meter.bank import decode_record
from openami.meter.config import MeterConfig
from openami.meter.metrology import Momentary
from openami.meter.metrology_process import metrology_of
from openami.meter.supply import SUPPLY, peeked
from openami.runtime.clock import MICROSECONDS, Clock
from openami.runtime.layout import Layout


class Glance:
    """One meter, seen through its files.

    Args:
        home: Its folder; a meter of the fleet has its journal with the fleet.

    Raises:
        ConfigurationError: `device.toml`, `keys.json` or `clock.json` cannot be used.
    """

    def __init__(self, home: Path) -> None:
        self.config = MeterConfig.load(home)
        layout = Layout(home.parent.parent)
        self._clock = Clock(layout.clock)
        self._supply = home / METROLOGY / SUPPLY
        own = home / METROLOGY / JOURNAL
        self._journal = own if own.exists() else layout.fleet / JOURNAL

    def momentary(self) -> Momentary:
        """Return what the meter shows now.

        Raises:
            StorageError: The journal cannot be read.
        """
        now_s = self._clock.now_us() // MICROSECONDS
        meter = metrology_of(self.config, supply=peeked(self._supply))
        for payload in peek(self._journal):
            meter_id, record = decode_record(payload)
            if meter_id == self.config.meter_id:
                meter.restore(record)
        meter.advance(now_s)
        return meter.momentary(now_s)
