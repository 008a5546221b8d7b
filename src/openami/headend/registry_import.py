# SPDX-License-Identifier: Apache-2.0
"""`shipment.json` into the registry: what a manufacturer delivers with a pallet of meters.

Reading it again changes nothing: meters that are known stay as they are, and their keys too, which
may have been changed since.  Keys arrive wrapped and stay wrapped (docs/provisioning.md, 2.6).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from openami.dlms.errors import SecurityError
from openami.headend.directory import Place
from openami.headend.pairs import Believe
from openami.runtime.errors import ConfigurationError
from openami.runtime.files import read_json
from openami.store import registry
from openami.store.database import Database, transaction
from openami.store.keys import KeyState
from openami.store.registry import Meter, MeterKey

FORMAT: Final = "openami-shipment-1"
REMEDY: Final = "ask the manufacturer for the file again, or run `openami up` once to write it"
REMEDY_DOUBLE: Final = "ask the manufacturer which of both is right; nothing was entered"
KEY_NAMES: Final = ("guek", "gak", "kek", "lls")


@dataclass(frozen=True, slots=True)
class Shipment:
    """What the file says.

    Attributes:
        path: The file, for sentences.
        head_end: Title of the head-end for which the meters were made.
        places: Names of concentrators by title.
        meters: Rows of the registry.
        keys: Wrapped keys.
        certificates: Of meters of suites 1 and 2, by number: DER by what they are for.
    """

    path: Path
    head_end: bytes
    places: dict[bytes, Place]
    meters: list[Meter]
    keys: list[MeterKey]
    certificates: dict[int, dict[str, bytes]] = field(default_factory=dict)


def load_shipment(path: Path) -> Shipment:
    """Read a shipment file.

    Raises:
        ConfigurationError: It is missing, damaged, or of another format.
    """
    said = read_json(path, REMEDY)
    try:
        if said["format"] != FORMAT:
            raise ConfigurationError(f"{path} has format {said['format']!r}: {REMEDY}")
        shipment = Shipment(
            path=path,
            head_end=bytes.fromhex(said["head_end"]),
            places={
                bytes.fromhex(row["title"]): Place(row["name"], row["region"])
                for row in said["concentrators"]
            },
            meters=[_meter(row) for row in said["meters"]],
            keys=[key for row in said["meters"] for key in _keys(row)],
            certificates={
                int(row["meter_id"]): {
                    name: bytes.fromhex(octets) for name, octets in row["certificates"].items()
                }
                for row in said["meters"]
                if row.get("suite", 0)
            },
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigurationError(f"{path} is no shipment ({error!r}): {REMEDY}") from error
    _hold_apart(shipment, [])
    return shipment


def import_shipment(database: Database, shipment: Shipment, believe: Believe | None = None) -> int:
    """Enter what is not known yet; return how many meters were new.

    Args:
        database: The registry.
        shipment: What was delivered.
        believe: Judges the certificates of meters of suites 1 and 2; without it they are refused.

    Raises:
        ConfigurationError: A meter has the number or the system title of another that is known, or
            a certificate that is not believed.  Nothing was entered.
    """
    with transaction(database) as connection:
        _hold_apart(shipment, registry.meters(connection))
        new = registry.import_meters(connection, shipment.meters)
        known = {key.meter_id for key in registry.keys(connection)}
        fresh = [key for key in shipment.keys if key.meter_id not in known]
        registry.put_keys(connection, fresh + _public_keys(shipment, fresh, believe))
    return new


def _public_keys(
    shipment: Shipment, fresh: Iterable[MeterKey], believe: Believe | None
) -> list[MeterKey]:
    """Return the public keys of new meters of suites 1 and 2, to rest beside their keys."""
    titles = {meter.meter_id: meter.title for meter in shipment.meters}
    found = []
    for key in fresh:
        certificates = shipment.certificates.get(key.meter_id)
        if certificates is None or key.key_name != KEY_NAMES[0]:
            continue
        if believe is None:
            problem = f"{shipment.path}: nobody judges the certificates of meter {key.meter_id}"
            raise ConfigurationError(f"{problem}: enter it with the head-end's configuration")
        try:
            public = believe(titles[key.meter_id], certificates)
        except (SecurityError, KeyError) as error:
            problem = f"{shipment.path}: certificates of meter {key.meter_id}: {error}"
            raise ConfigurationError(f"{problem}: {REMEDY}") from error
        found += [replace(key, key_name=name, wrapped=octets) for name, octets in public.items()]
    return found


def _hold_apart(shipment: Shipment, known: Iterable[Meter]) -> None:
    """Refuse two meters of one number, or of one system title: keys and counters hang on them."""
    titles = {meter.meter_id: meter.title for meter in known}
    numbers = {title: meter_id for meter_id, title in titles.items()}
    for meter in shipment.meters:
        title = titles.setdefault(meter.meter_id, meter.title)
        number = numbers.setdefault(meter.title, meter.meter_id)
        if number != meter.meter_id:
            problem = f"meter {meter.meter_id} has the system title of meter {number}"
        elif title != meter.title:
            problem = f"meter {meter.meter_id} is known with system title {title.hex().upper()}"
        else:
            continue
        name = meter.title.hex().upper()
        raise ConfigurationError(f"{shipment.path}: {problem} ({name}): {REMEDY_DOUBLE}")


def _meter(row: dict[str, Any]) -> Meter:
    return Meter(
        meter_id=int(row["meter_id"]),
        title=bytes.fromhex(row["title"]),
        ldn=str(row["ldn"]),
        region=str(row["region"]),
        concentrator=bytes.fromhex(row["concentrator"]),
        installed_us=int(row["installed_us"]),
        capture_period_s=int(row["capture_period_s"]),
        address=row.get("address"),
        cell=str(row.get("cell", "")),
    )


def _keys(row: dict[str, Any]) -> list[MeterKey]:
    return [
        MeterKey(
            meter_id=int(row["meter_id"]),
            key_name=name,
            epoch=int(row["key_epoch"]),
            state=KeyState.ACTIVE.value,
            wrapped=bytes.fromhex(row["keys"][name]),
        )
        for name in KEY_NAMES
    ]
