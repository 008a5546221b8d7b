# SPDX-License-Identifier: Apache-2.0
"""The meters as the head-end works with them: registry rows in memory, keys unwrapped when needed.

The registry is the truth; this is its shadow in one process.  A title that is not in it is looked
up once more before it is called unknown, so a meter that was entered meanwhile is found.
"""

import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from openami.dlms.errors import SecurityError
from openami.dlms.security.ciphering import Cipher
from openami.dlms.security.keyset import KeySet
from openami.dlms.security.suites import SecuritySuite
from openami.headend.companion import Companion, Companions
from openami.runtime.errors import UserError
from openami.store import keys as key_epochs
from openami.store import registry
from openami.store.database import Database
from openami.store.keys import OPENS, KeyEpoch, KeyState
from openami.store.registry import Meter

GUEK: Final = "guek"
GAK: Final = "gak"
PUBLIC: Final = ("signing", "agreement")
SUITES: Final = {
    0: SecuritySuite.AES_GCM_128,
    64: SecuritySuite.ECDH_ECDSA_AES_GCM_128_SHA_256,
    96: SecuritySuite.ECDH_ECDSA_AES_GCM_256_SHA_384,
}
"""By the octets of the meter's public signing key: on P-256, on P-384, or none."""


class EpochCipher(NamedTuple):
    """The global keys of one epoch; all open, none that are retired seal."""

    epoch: int
    state: KeyState
    cipher: Cipher
    public: Mapping[str, bytes] = {}
    """Public keys of the meter by name, x || y; none in suite 0."""


@dataclass(frozen=True, slots=True)
class Place:
    """What a concentrator is called."""

    name: str
    region: str


class Directory:
    """Meters by title and number, their ciphers, and the names of concentrators.

    Args:
        database: The registry.
        unwrap: Takes a meter's key out of its wrapping (RFC 3394).
        places: Names of the concentrators by their titles.
        companions: What is known of kinds of meters; None takes what comes with us.
    """

    def __init__(
        self,
        database: Database,
        unwrap: Callable[[bytes], bytes],
        places: Mapping[bytes, Place] | None = None,
        companions: Companions | None = None,
    ) -> None:
        self.places = dict(places or {})
        self._companions = companions or Companions.load()
        self._database = database
        self._unwrap = unwrap
        self._by_title: dict[bytes, Meter] = {}
        self._by_id: dict[int, Meter] = {}
        self._ciphers: dict[int, list[EpochCipher]] = {}
        self.refresh()

    def refresh(self) -> None:
        """Read the registry anew."""
        meters = registry.meters(self._database)
        self._by_title = {meter.title: meter for meter in meters}
        self._by_id = {meter.meter_id: meter for meter in meters}
        self._ciphers.clear()

    def __len__(self) -> int:
        return len(self._by_id)

    def meters(self) -> Iterable[Meter]:
        """Return all meters, by number."""
        return self._by_id.values()

    def of_concentrator(self, title: bytes) -> list[Meter]:
        """Return the meters that a concentrator carries."""
        return [meter for meter in self._by_id.values() if meter.concentrator == title]

    def by_title(self, title: bytes) -> Meter | None:
        """Return the meter with this system title; None when the registry has none."""
        if (meter := self._by_title.get(title)) is None:
            meter = registry.by_title(self._database, title)
            if meter is not None:
                self.take(meter)
        return meter

    def by_id(self, meter_id: int) -> Meter:
        """Return a meter by its number.

        Raises:
            UnknownMeterError: The registry has none.
        """
        if (meter := self._by_id.get(meter_id)) is None:
            meter = registry.meter(self._database, meter_id)
            self.take(meter)
        return meter

    def take(self, meter: Meter) -> None:
        """Remember a newer row of a meter."""
        self._by_title[meter.title] = self._by_id[meter.meter_id] = meter

    def companion(self, meter: Meter) -> Companion:
        """Return what is known of meters of this kind."""
        return self._companions.of(meter.ldn)

    def place(self, concentrator: bytes) -> str:
        """Return the name of a concentrator, or its title when it has none."""
        known = self.places.get(concentrator)
        return known.name if known else concentrator.hex().upper()

    def ciphers(self, meter_id: int) -> list[EpochCipher]:
        """Return a meter's ciphers in the order in which they are tried on what it sends.

        Raises:
            SecurityError: A key does not come out of its wrapping.
        """
        if (known := self._ciphers.get(meter_id)) is None:
            known = self._ciphers[meter_id] = self._read_ciphers(meter_id)
        return known

    def read_keys(self, meter_ids: Iterable[int]) -> None:
        """Read the keys of many meters that will be spoken with, in one query.

        One that does not come out of its wrapping is named when its meter is spoken with.
        """
        new = [meter_id for meter_id in meter_ids if meter_id not in self._ciphers]
        for meter_id, found in key_epochs.epochs_of(self._database, new).items():
            with contextlib.suppress(SecurityError, UserError):
                self._ciphers[meter_id] = self._ciphers_of(found)

    def sealing_ciphers(self, meter_id: int) -> list[EpochCipher]:
        """Return the ciphers that may seal for a meter.

        That is the active one.  While it is open whether the meter has taken over the keys that
        were sent to it, those come first.

        Raises:
            SecurityError: The meter has no active keys.
        """
        found = {cipher.state: cipher for cipher in self.ciphers(meter_id)}
        if KeyState.ACTIVE not in found:
            raise SecurityError(
                "no active keys are in the registry; import its shipment again",
                f"meter {meter_id}",
                "docs/architecture.md, 6",
            )
        return [found[state] for state in (KeyState.SENT, KeyState.ACTIVE) if state in found]

    def forget_keys(self, meter_id: int) -> None:
        """Read a meter's keys anew when they are needed next: they have changed."""
        self._ciphers.pop(meter_id, None)

    def keys_changed(self, meter_id: int) -> bool:
        """Tell whether another process has changed a meter's keys since they were read here."""
        known = [(cipher.epoch, cipher.state) for cipher in self.ciphers(meter_id)]
        self.forget_keys(meter_id)
        return known != [(cipher.epoch, cipher.state) for cipher in self.ciphers(meter_id)]

    def _read_ciphers(self, meter_id: int) -> list[EpochCipher]:
        return self._ciphers_of(key_epochs.epochs(self._database, meter_id))

    def _ciphers_of(self, epochs: Iterable[KeyEpoch]) -> list[EpochCipher]:
        found = []
        for each in epochs:
            names = each.wrapped
            if each.state in OPENS and GUEK in names and GAK in names:
                public = {name: self._unwrap(names[name]) for name in PUBLIC if name in names}
                keys = KeySet(
                    suite=SUITES[len(public.get(PUBLIC[0], b""))],
                    encryption_key=self._unwrap(names[GUEK]),
                    authentication_key=self._unwrap(names[GAK]),
                )
                found.append(EpochCipher(each.epoch, each.state, Cipher(keys), public))
        return sorted(found, key=lambda cipher: (OPENS.index(cipher.state), -cipher.epoch))
