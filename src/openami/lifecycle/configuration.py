# SPDX-License-Identifier: Apache-2.0
"""The TOML files of every process, from the plan (docs/provisioning.md, 2).

A file is a mapping of tables to keys; values are text, whole numbers, fractions and lists of text,
which JSON and TOML write alike.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from openami.lifecycle.handedits import write_unless_edited
from openami.lifecycle.plan import (
    HEAD_END_TITLE,
    Plan,
    concentrator_title,
    logical_device_name,
    meter_title,
)
from openami.runtime.files import write_durably
from openami.runtime.layout import Layout

DRIFTING: Final = 0.2  # the part of a fleet whose crystals are off, where any are

Value = str | int | float | Sequence[str]
Tables = Mapping[str, Mapping[str, Value]]

HEADING: Final = (
    "# SPDX-License-Identifier: Apache-2.0\n"
    "# Written by `openami up` from plan.json and written again at each start;\n"
    "# docs/provisioning.md explains the keys.\n"
)
TLS: Final[Mapping[str, Value]] = {"ca": "ca.crt", "certificate": "tls.crt", "key": "tls.key"}
BACKOFF: Final[Mapping[str, Value]] = {
    "connect_timeout_s": 10.0,
    "backoff_first_s": 0.5,
    "backoff_most_s": 10.0,
}
STORE: Final[Mapping[str, Value]] = {"database": "../openami.db", "lake": "../lake"}
FULL_METER: Final = 1
HANDSHAKE_TIMEOUT_S: Final = 20.0
PAIRS_FILE: Final = "keypairs.json"
TOPOLOGY_FILE: Final = "topology.csv"
METERS_A_TRANSFORMER: Final = 8
TRANSFORMERS_A_FEEDER: Final = 4


def hexed(title: bytes) -> str:
    """Write a system title as files and certificates do."""
    return title.hex().upper()


def toml(tables: Tables, heading: str = HEADING) -> bytes:
    """Write tables as TOML."""
    lines = [heading] if heading else []
    for name, rows in tables.items():
        lines.append(f"[{name}]")
        lines += [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in rows.items()]
        lines.append("")
    return "\n".join(lines).encode()


def write_if_changed(path: Path, octets: bytes) -> None:
    """Write `octets` durably, unless they are there already."""
    if not path.exists() or path.read_bytes() != octets:
        write_durably(path, octets)


def kind_of(meter_id: int) -> str:
    """Say whether a meter runs in full or in the fleet."""
    return "full" if meter_id == FULL_METER else "fleet"


def device_toml(plan: Plan, meter_id: int) -> bytes:
    """Return a meter's `device.toml`."""
    region = plan.region_of(meter_id)
    plain = plan.plain_listener if meter_id == FULL_METER else ""
    return toml(
        {
            "meter": {
                "id": meter_id,
                "title": hexed(meter_title(meter_id)),
                "ldn": logical_device_name(meter_id),
                "kind": kind_of(meter_id),
                "region": region,
                "zone": plan.zone,
                "installed_us": plan.installed_us,
                "capture_period_s": plan.capture_period_s,
            },
            "load": {"seed": plan.seed},
            "uplink": {
                "url": str(plan.concentrator_url(region)),
                "concentrator_title": hexed(plan.concentrator_of(region)),
                "head_end_title": hexed(HEAD_END_TITLE),
                **BACKOFF,
            },
            "tls": TLS,
            "keys": {"file": "keys.json"},
            "listener": {"plain": plain},
        }
    )


def concentrator_toml(plan: Plan, region: str) -> bytes:
    """Return a concentrator's `config.toml`, without the heading."""
    title = concentrator_title(plan.regions.index(region) + 1)
    return toml(
        {
            "concentrator": {"name": region, "title": hexed(title), "region": region},
            "meters": {
                "listen": str(plan.concentrator_url(region)),
                "max_connections": 20_000,
                "handshake_timeout_s": HANDSHAKE_TIMEOUT_S,
            },
            "uplink": {
                "url": str(plan.uplink_url()),
                "head_end_title": hexed(HEAD_END_TITLE),
                **BACKOFF,
            },
            "journal": {"file": "journal.db", "quota_per_meter": 5000},
            "tls": TLS,
        },
        heading="",
    )


def headend_toml(plan: Plan) -> bytes:
    """Return the head-end's `config.toml`, without the heading."""
    pairs = {"pairs": PAIRS_FILE} if plan.suite else {}
    return toml(
        {
            "head_end": {"title": hexed(HEAD_END_TITLE), "zone": plan.zone},
            "uplink": {
                "listen": str(plan.uplink_url()),
                "max_connections": 1000,
                "handshake_timeout_s": HANDSHAKE_TIMEOUT_S,
            },
            "keys": {"keystore": "keystore", "shipment": "shipment.json", **pairs},
            "topology": {"file": TOPOLOGY_FILE},
            "store": {"database": STORE["database"]},
            "tls": TLS,
        },
        heading="",
    )


def topology_csv(plan: Plan) -> bytes:
    """Return where each meter hangs: eight to a transformer, four transformers to a feeder."""
    lines = ["meter,transformer,feeder"]
    placed = dict.fromkeys(plan.regions, 0)
    for meter_id in range(1, plan.meters + 1):
        region = plan.region_of(meter_id)
        transformer = placed[region] // METERS_A_TRANSFORMER
        placed[region] += 1
        feeder = transformer // TRANSFORMERS_A_FEEDER
        lines.append(f"{meter_id},{region}-t{transformer + 1},{region}-f{feeder + 1}")
    return ("\n".join(lines) + "\n").encode()


def write_topology(layout: Layout, plan: Plan) -> None:
    """Write the file, unless there is one that a person has changed.

    A plan grows at its end: what it wrote for fewer meters is how it begins.
    """
    path, wanted = layout.headend / TOPOLOGY_FILE, topology_csv(plan)
    if not path.exists() or (wanted.startswith(there := path.read_bytes()) and there != wanted):
        write_durably(path, wanted)


def write_configurations(layout: Layout, plan: Plan) -> list[str]:
    """Write every process's TOML file; folders and certificates are there already.

    Returns:
        Sentences on files that people edited and that differ from the plan.

    Raises:
        ConfigurationError: An edited file is no TOML.
    """
    told: list[str] = []
    for meter_id in range(1, plan.meters + 1):
        folder = layout.meter(meter_title(meter_id))
        write_if_changed(folder / "device.toml", device_toml(plan, meter_id))
    for region in plan.regions:
        path = layout.concentrator(region) / "config.toml"
        told += write_unless_edited(path, concentrator_toml(plan, region))
    told += write_unless_edited(layout.headend / "config.toml", headend_toml(plan))
    write_topology(layout, plan)
    carried = [hexed(meter_title(meter_id)) for meter_id in range(1, plan.meters + 1)]
    fleet: dict[str, Value] = {
        "meters": [title for title in carried if title != hexed(meter_title(FULL_METER))],
        "zone": plan.zone,
        "seed": plan.seed,
    }
    crystals: dict[str, Value] = {"drifting": DRIFTING, "drift_ppm": plan.drift_ppm}
    write_if_changed(layout.fleet / "config.toml", toml({"fleet": fleet, "clocks": crystals}))
    mdm: dict[str, Value] = {"zone": plan.zone, "capture_period_s": plan.capture_period_s}
    body = toml({"mdm": mdm, "store": STORE}, heading="")
    told += write_unless_edited(layout.mdm / "config.toml", body)
    web: dict[str, Value] = {
        "listen": f"http://{plan.host}:{plan.web_port}",
        "zone": plan.zone,
        "session_key": "session.key",
    }
    body = toml({"web": web, "store": STORE}, heading="")
    told += write_unless_edited(layout.web / "config.toml", body)
    return told
