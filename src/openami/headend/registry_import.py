# SPDX-License-Identifier: Apache-2.0
"""`shipment.json` into the registry: what a manufacturer delivers with a pallet of meters.

Reading it again changes nothing: meters that are known stay as they are, and their keys too, which
may have been changed since.  Keys arrive wrapped and stay wrapped (docs/provisioning.md, 2.6).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from openami.headend.directory import Place
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
    """

    path: Path
    head_end: bytes
    places: dict[bytes, Place]
    meters: list[Meter]
    keys: list[MeterKey]


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
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigurationError(f"{path} is no shipment ({error!r}): {REMEDY}") from error
    _hold_apart(shipment, [])
    return shipment


def import_shipment(database: Database, shipment: Shipment) -> int:
    """Enter what is not known yet; return how many meters were new.

    Raises:
        ConfigurationError: A meter has the number or the system title of another that is known.
            Nothing was entered.
    """
    with transaction(database) as connection:
        _hold_apart(shipment, registry.meters(connection))
        new = registry.import_meters(connection, shipment.meters)
        known = {key.meter_id for key in registry.keys(connection)}
        registry.put_keys(connection, [key for key in shipment.keys if key.meter_id not in known])
    return new


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
