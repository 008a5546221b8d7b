# SPDX-License-Identifier: Apache-2.0
"""The reference meter: its objects in a table, from which `reference-meter.json` is written.

Run ``python tests/cosem/reference_meter.py`` to write the file anew.  Values stand in the named
form of `openami.cosem.named`; what a row does not say is the least that its class allows.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from openami.cosem.classes.measurement import ProfileGeneric
from openami.cosem.dump import Dump, DumpedAttribute, DumpedMethod, DumpedObject, is_secret
from openami.cosem.kinds import Kind, Shape
from openami.cosem.literals import from_typed
from openami.cosem.model import REGISTRY, Access
from openami.cosem.named import from_named
from openami.dlms import data
from openami.dlms.data import (
    Array,
    BitString,
    Data,
    DateTimeOctets,
    Enum,
    OctetString,
    Structure,
    VisibleString,
)
from openami.dlms.obis import Obis

FILE: Final = (
    Path(__file__).parent.parent.parent / "src/openami/cosem/profiles/reference-meter.json"
)
TITLE: Final = bytes.fromhex("4F414DFE00000001")
NAME: Final = "OAM0000000090001"
CLOCK, STATUS, EVENT = "0.0.1.0.0.255", "0.0.96.10.1.255", "0.0.96.11.0.255"
PUSH: Final = "0.0.25.9.0.255"
OPEN_CLOCK: Final = bytes.fromhex("FFFFFFFFFFFFFFFFFF8000FF")

Values = Mapping[str, Any]
Row = tuple[str, int, int, Values]


def typed(name: str, value: Any) -> dict[str, Any]:
    return {name: value}


def text(value: str) -> dict[str, Any]:
    return typed("octet-string", value.encode().hex())


def column(class_id: int, at: str, index: int = 2) -> dict[str, Any]:
    return {
        "class_id": class_id,
        "logical_name": at,
        "attribute_index": index,
        "data_index": 0,
    }


def reference(class_id: int, at: str, index: int = 2) -> list[Any]:
    return [class_id, at, index]


def register(
    at: str, value: int, scaler: int, unit: int, width: str = "double-long-unsigned"
) -> Row:
    said = {"value": typed(width, value), "scaler_unit": {"scaler": scaler, "unit": unit}}
    return at, 3, 0, said


WH, VARH, VAH, W, VAR, VA, V, A, HZ, NONE = 30, 32, 31, 27, 29, 28, 35, 33, 44, 255
TOTALS: Final = {
    1: (48_213_904, WH), 2: (1_204_311, WH), 3: (9_120_044, VARH), 4: (310_221, VARH),
    5: (8_104_500, VARH), 6: (1_015_544, VARH), 7: (201_113, VARH), 8: (109_108, VARH),
    9: (50_002_113, VAH), 10: (1_300_101, VAH), 15: (49_418_215, WH), 16: (47_009_593, WH),
}  # fmt: skip
POWERS: Final = {
    1: (412, W), 2: (0, W), 3: (61, VAR), 4: (0, VAR), 9: (417, VA), 10: (0, VA),
    21: (140, W), 22: (0, W), 41: (137, W), 42: (0, W), 61: (135, W), 62: (0, W),
}  # fmt: skip
PHASES: Final = {1: (31, 32, 33), 2: (51, 52, 53), 3: (71, 72, 73)}


def identity() -> Iterator[Row]:
    yield "0.0.42.0.0.255", 1, 0, {"value": text(NAME)}
    yield "0.0.41.0.0.255", 17, 0, {"sap_assignment_list": [[1, NAME]]}
    yield "0.0.96.1.0.255", 1, 0, {"value": text("90001")}
    yield "0.0.96.1.1.255", 1, 0, {"value": text("OpenAMI reference meter")}
    yield "0.0.96.1.9.255", 1, 0, {"value": text("not installed")}
    yield "1.0.0.0.0.255", 1, 0, {"value": text("90001")}
    yield "1.0.0.2.0.255", 1, 0, {"value": text("OAM-REF-1.0")}
    yield "1.0.0.2.8.255", 1, 0, {"value": typed("octet-string", "5a17c0de")}
    yield "1.0.0.3.0.255", 1, 0, {"value": typed("double-long-unsigned", 1000)}
    yield "1.0.0.4.2.255", 1, 0, {"value": typed("long-unsigned", 1)}
    yield "1.0.0.4.3.255", 1, 0, {"value": typed("long-unsigned", 1)}
    yield "0.0.43.0.0.255", 64, 1, {
        "security_policy": 0x6C,
        "security_suite": 0,
        "server_system_title": "0x" + TITLE.hex(),
    }  # fmt: skip
    yield "0.0.43.1.0.255", 1, 0, {"value": typed("double-long-unsigned", 0)}


def clock_and_state() -> Iterator[Row]:
    yield CLOCK, 8, 0, {
        "time": "2026-03-01T00:00:00+01:00",
        "time_zone": -60,
        "daylight_savings_begin": typed("octet-string", "ffff03fe0702000000ffc400"),
        "daylight_savings_end": typed("octet-string", "ffff0afe0703000000ffc400"),
        "daylight_savings_deviation": 60,
        "daylight_savings_enabled": True,
        "clock_base": "internal-crystal",
    }  # fmt: skip
    yield STATUS, 1, 0, {"value": typed("unsigned", 0)}
    yield EVENT, 1, 0, {"value": typed("unsigned", 0)}
    yield "0.0.96.5.0.255", 1, 0, {"value": typed("bit-string", "00000000")}
    yield "0.0.96.7.21.255", 1, 0, {"value": typed("long-unsigned", 3)}
    yield "0.0.96.8.0.255", 3, 0, register("", 19_440, 0, 6)[3]
    yield "0.0.96.14.0.255", 1, 0, {"value": typed("octet-string", "01")}
    yield "0.0.97.97.0.255", 1, 0, {"value": typed("double-long-unsigned", 0)}
    yield "0.0.97.98.0.255", 1, 0, {"value": typed("double-long-unsigned", 0)}
    yield "0.0.97.98.10.255", 1, 0, {"value": typed("double-long-unsigned", 0xFFFF)}
    yield "0.0.94.91.0.255", 1, 0, {"value": typed("unsigned", 0)}


def measured() -> Iterator[Row]:
    for group_c, (value, unit) in TOTALS.items():
        yield register(f"1.0.{group_c}.8.0.255", value, 0, unit)
    for group_c in (1, 2):
        value, unit = TOTALS[group_c]
        for tariff, percent in ((1, 60), (2, 40), (3, 0), (4, 0)):
            yield register(f"1.0.{group_c}.8.{tariff}.255", value * percent // 100, 0, unit)
    for group_c in (21, 41, 61):
        yield register(f"1.0.{group_c}.8.0.255", TOTALS[1][0] // 3, 0, WH)
    for group_c, (value, unit) in POWERS.items():
        yield register(f"1.0.{group_c}.7.0.255", value, 0, unit)
    for current, voltage, factor in PHASES.values():
        yield register(f"1.0.{current}.7.0.255", 61, -2, A, "long-unsigned")
        yield register(f"1.0.{voltage}.7.0.255", 2304, -1, V, "long-unsigned")
        yield register(f"1.0.{factor}.7.0.255", 989, -3, NONE, "long")
    yield register("1.0.91.7.0.255", 4, -2, A, "long-unsigned")
    yield register("1.0.13.7.0.255", 989, -3, NONE, "long")
    yield register("1.0.14.7.0.255", 4999, -2, HZ, "long-unsigned")
    for group_c, value in ((1, 5120), (2, 940)):
        yield f"1.0.{group_c}.6.0.255", 4, 0, {
            "value": typed("double-long-unsigned", value),
            "scaler_unit": {"scaler": 0, "unit": W},
            "status": typed("unsigned", 0),
            "capture_time": "2026-02-14T18:30:00+01:00",
        }  # fmt: skip
        yield f"1.0.{group_c}.4.0.255", 5, 0, {
            "current_average_value": typed("double-long-unsigned", POWERS[group_c][0]),
            "last_average_value": typed("double-long-unsigned", POWERS[group_c][0]),
            "scaler_unit": {"scaler": 0, "unit": W},
            "status": typed("unsigned", 0),
            "capture_time": "2026-03-01T00:00:00+01:00",
            "start_time_current": "2026-03-01T00:00:00+01:00",
            "period": 900,
            "number_of_periods": 1,
        }  # fmt: skip


def profile(at: str, period: int, entries: int, *columns: dict[str, Any]) -> Row:
    said = {
        "buffer": typed("array", []),
        "capture_objects": list(columns),
        "capture_period": period,
        "sort_method": "fifo",
        "sort_object": columns[0],
        "entries_in_use": 0,
        "profile_entries": entries,
    }
    return at, 7, 1, said


def profiles() -> Iterator[Row]:
    clock, status = column(8, CLOCK), column(1, STATUS)
    energy = [column(3, f"1.0.{c}.8.0.255") for c in (1, 2, 3, 4)]
    tariffs = [column(3, f"1.0.{c}.8.{e}.255") for c in (1, 2) for e in (1, 2)]
    quality = [column(3, f"1.0.{c}.7.0.255") for c in (32, 52, 72, 31, 51, 71, 14)]
    yield profile("1.0.99.1.0.255", 900, 5760, clock, status, *energy[:2])
    yield profile("1.0.99.2.0.255", 86_400, 120, clock, status, *energy, *tariffs)
    yield profile("1.0.99.14.0.255", 600, 1440, clock, *quality)
    yield profile("0.0.98.1.0.255", 0, 24, clock, *energy[:2], *tariffs, column(4, "1.0.1.6.0.255"))
    for log in (0, 1, 2, 4):
        yield profile(f"0.0.99.98.{log}.255", 0, 200, clock, column(1, EVENT))


def tariffs_and_scripts() -> Iterator[Row]:
    def write(class_id: int, at: str, index: int, value: dict[str, Any]) -> list[Any]:
        return [1, class_id, at, index, value]

    def invoke(class_id: int, at: str, index: int) -> list[Any]:
        return [2, class_id, at, index, typed("integer", 0)]

    rates = [f"1.0.{c}.8.{e}.255" for c in (1, 2) for e in (1, 2)]
    yield "0.0.14.0.0.255", 6, 0, {
        "register_assignment": [[3, at] for at in rates],
        "mask_list": [["0x01", [1, 3]], ["0x02", [2, 4]]],
        "active_mask": "0x01",
    }  # fmt: skip
    masks = "0.0.14.0.0.255"
    yield "0.0.10.0.100.255", 9, 0, {
        "scripts": [
            [rate, [write(6, masks, 4, code), write(1, "0.0.96.14.0.255", 2, code)]]
            for rate, code in ((n, typed("octet-string", f"0{n}")) for n in (1, 2))
        ]
    }  # fmt: skip
    breaker = "0.0.96.3.10.255"
    yield "0.0.10.0.106.255", 9, 0, {
        "scripts": [[1, [invoke(70, breaker, 1)]], [2, [invoke(70, breaker, 2)]]]
    }  # fmt: skip
    yield "0.0.10.0.108.255", 9, 0, {"scripts": [[1, [invoke(40, PUSH, 1)]]]}
    holidays = ("ffff0101ff", "ffff0c19ff", "ffff0c1aff")
    yield "0.0.11.0.0.255", 11, 0, {
        "entries": [[n, f"0x{day}", 1] for n, day in enumerate(holidays, 1)]
    }  # fmt: skip
    days = [[1, [["00:00", "0.0.10.0.100.255", 2]]],
            [0, [["06:00", "0.0.10.0.100.255", 1], ["22:00", "0.0.10.0.100.255", 2]]]]  # fmt: skip
    season = [
        [
            text("year"),
            typed("octet-string", "ffff0101ff000000008000ff"),
            text("week"),
        ]
    ]
    week = [[text("week"), 0, 0, 0, 0, 0, 1, 1]]
    yield "0.0.13.0.0.255", 20, 0, {
        "calendar_name_active": text("two rates"),
        "season_profile_active": season,
        "week_profile_table_active": week,
        "day_profile_table_active": days,
        "calendar_name_passive": text("none"),
    }  # fmt: skip
    yield "0.0.15.0.0.255", 22, 0, {
        "executed_script": ["0.0.10.0.100.255", 0],
        "type": 1,
        "execution_time": [["00:00", "0xFFFFFF01FF"]],
    }  # fmt: skip
    yield "0.0.15.0.4.255", 22, 0, {
        "executed_script": ["0.0.10.0.108.255", 1],
        "type": 1,
        "execution_time": [["00:05", "0xFFFFFFFFFF"]],
    }  # fmt: skip


def control() -> Iterator[Row]:
    yield "0.0.96.3.10.255", 70, 0, {
        "output_state": True, "control_state": "connected", "control_mode": 4,
    }  # fmt: skip
    off, nothing = ["0.0.10.0.106.255", 1], ["0.0.0.0.0.0", 0]
    yield "0.0.17.0.0.255", 71, 0, {
        "monitored_value": reference(3, "1.0.1.7.0.255"),
        "threshold_active": typed("double-long-unsigned", 14_000),
        "threshold_normal": typed("double-long-unsigned", 14_000),
        "threshold_emergency": typed("double-long-unsigned", 3_000),
        "min_over_threshold_duration": 60,
        "min_under_threshold_duration": 60,
        "actions": [off, nothing],
    }  # fmt: skip
    yield "0.0.16.0.1.255", 21, 0, {
        "thresholds": [typed("long-unsigned", 2530)],
        "monitored_value": reference(3, "1.0.32.7.0.255"),
        "actions": [[nothing, nothing]],
    }  # fmt: skip
    yield "0.0.44.0.0.255", 18, 0, {"image_block_size": 512, "image_transfer_enabled": True}
    definitions = [column(40, PUSH), column(8, CLOCK)]
    for name in ("1.0.1.8.0.255", "1.0.2.8.0.255", "1.0.1.7.0.255"):
        definitions += [column(3, name), column(3, name, 3)]
    yield PUSH, 40, 0, {
        "push_object_list": definitions,
        "send_destination_and_method": ["tcp", text("127.0.0.1:4061"), "a-xdr"],
        "number_of_retries": 3,
        "repetition_delay": 30,
    }  # fmt: skip


def ports() -> Iterator[Row]:
    yield "0.0.22.0.0.255", 23, 1, {
        "window_size_transmit": 1, "window_size_receive": 1,
        "max_info_field_length_transmit": 128, "max_info_field_length_receive": 128,
        "inter_octet_time_out": 30, "inactivity_time_out": 120, "device_address": 17,
    }  # fmt: skip
    yield "0.0.20.0.0.255", 19, 1, {"device_addr": text("OAM90001")}
    yield "0.0.25.0.0.255", 41, 0, {
        "tcp_udp_port": 4059, "ip_reference": "0.0.25.1.0.255", "mss": 1460,
        "nb_of_sim_conn": 1, "inactivity_time_out": 180,
    }  # fmt: skip
    yield "0.0.25.1.0.255", 42, 0, {
        "dl_reference": "0.0.25.2.0.255", "ip_address": 0x7F000001, "use_dhcp_flag": True,
    }  # fmt: skip
    yield "0.0.25.2.0.255", 43, 0, {"mac_address": "0x020000000001"}
    yield "0.1.24.1.0.255", 72, 0, {
        "mbus_port_reference": "0.0.24.6.0.255",
        "capture_definition": [["0x0c", "0x14"]],
        "capture_period": 3600,
    }  # fmt: skip
    yield register("0.1.24.2.1.255", 0, -2, 14)


def payment() -> Iterator[Row]:
    """An account that is not active yet: 30 ct a kWh, from a credit that tokens fill."""
    energy, plain = reference(3, "1.0.1.8.0.255"), [3, -2]
    price = [plain, energy, [["0x", 30]]]
    yield "0.0.19.0.0.255", 111, 0, {
        "account_mode_and_status": ["prepayment", "new"],
        "credit_reference_list": ["0.0.19.10.0.255"],
        "charge_reference_list": ["0.0.19.20.0.255"],
        "currency": ["EUR", -2, "monetary"],
        "low_credit_threshold": 200,
    }  # fmt: skip
    yield "0.0.19.10.0.255", 112, 0, {
        "credit_type": "token", "priority": 1, "warning_threshold": 200,
        "credit_configuration": typed("bit-string", "00001"),
    }  # fmt: skip
    yield "0.0.19.20.0.255", 113, 0, {
        "charge_type": "consumption-based", "priority": 1,
        "unit_charge_active": price, "unit_charge_passive": price,
        "charge_configuration": typed("bit-string", "01"),
    }  # fmt: skip
    yield "0.0.19.40.0.255", 115, 0, {}


def guards() -> Iterator[Row]:
    tariff, sunday = "0.0.10.0.100.255", typed("bit-string", "0000001")
    yield "0.0.12.0.0.255", 10, 0, {
        "entries": [[1, False, tariff, 2, "12:00", 0xFFFF, sunday, typed("bit-string", ""),
                     "0xFFFFFFFFFF", "0xFFFFFFFFFF"]],
    }  # fmt: skip
    off, on = ["0.0.10.0.106.255", 1], ["0.0.10.0.106.255", 2]
    both = typed("bit-string", "11")
    yield "0.0.96.3.20.255", 68, 0, {
        "actions": [off, on], "permissions_table": [both, both],
        "weightings_table": [[10, 1], [1, 5]],
    }  # fmt: skip
    yield "0.0.44.1.0.255", 122, 0, {
        "activation_status": [[text("local display"), True]],
        "function_list": [[text("local display"), []]],
    }  # fmt: skip
    yield "0.0.44.2.0.255", 124, 0, {
        "protection_mode": "unlocked", "allowed_failed_attempts": 3,
        "initial_lockout_time": 60, "steepness_factor": 2, "max_lockout_time": 3600,
        "port_reference": "0.0.25.0.0.255",
    }  # fmt: skip
    yield "0.0.66.0.0.255", 62, 0, {
        "capture_objects": [column(62, "0.0.66.0.0.255", 4), column(8, CLOCK),
                            column(3, "1.0.1.8.0.255"), column(3, "1.0.2.8.0.255")],
        "template_id": 1, "capture_method": "implicit",
    }  # fmt: skip
    yield "0.0.16.2.0.255", 65, 0, {
        "parameter_list": [reference(7, "1.0.99.1.0.255", 4), reference(71, "0.0.17.0.0.255", 4)],
    }  # fmt: skip


ROWS: Final = (
    *identity(), *clock_and_state(), *measured(), *profiles(), *tariffs_and_scripts(),
    *control(), *ports(), *payment(), *guards(),
)  # fmt: skip


READ_ONLY: Final = {(72, 5)}
"""Attributes that a class lets be written and this meter does not: slave_install does."""


def least(kind: Kind[Any]) -> Data:
    """The least value that a class allows."""
    match kind.shape:
        case Shape.ARRAY:
            return Array()
        case Shape.STRUCTURE:
            return Structure(least(part) for part in kind.parts)
        case Shape.CHOICE:
            return least(kind.parts[0])
        case Shape.SIMPLE:
            return _least(kind)


def _least(kind: Kind[Any]) -> Data:
    if kind.is_choice:
        return None
    size = kind.size or 0
    candidates: list[Data] = [
        *(of(0) for of in data.INTEGER_TYPES),
        *(Enum(code) for codes in kind.codes for code in codes),
        False,
        OctetString(OPEN_CLOCK),
        DateTimeOctets(OPEN_CLOCK),
        OctetString(bytes(6)),
        OctetString(bytes(size)),
        BitString.from_bits("0" * size),
        VisibleString(""),
        None,
    ]
    for value in candidates:
        try:
            kind.strict(value)
        except Exception:  # noqa: BLE001, S112  whatever it is, this is not the value
            continue
        return value
    raise AssertionError(f"no least value of {kind.name}")


def dumped(row: Row) -> DumpedObject:
    at, class_id, version, said = row
    table = REGISTRY[class_id, version]
    names = {each.name for each in table.attributes()}
    assert set(said) <= names, f"{at} has no {set(said) - names}"
    attributes = []
    for each in table.attributes():
        if each.index == 1:
            value: Data = OctetString(Obis.parse(at).encode())
        elif each.name in said:
            named = said[each.name]
            is_open = each.kind.is_choice and isinstance(named, dict)
            value = from_typed(named) if is_open else from_named(each.kind, named)
        else:
            value = least(each.kind)
        secret = is_secret(class_id, each.index)
        access = Access.READ if (class_id, each.index) in READ_ONLY else each.access
        selects = table is ProfileGeneric and each.index == 2
        attributes.append(
            DumpedAttribute(
                index=each.index,
                mode=int(Access.WRITE if secret else access),
                selectors=(1, 2) if selects else (),
                octets=None if secret else data.encode(value),
                refused="may not be read" if secret else "",
            )
        )
    methods = tuple(DumpedMethod(index=each.index, mode=1) for each in table.methods())
    return DumpedObject(
        class_id=class_id,
        version=version,
        obis=Obis.parse(at),
        attributes=tuple(attributes),
        methods=methods,
    )


def reference_meter() -> Dump:
    return Dump(
        client=1,
        server=1,
        mechanism="gmac",
        association_version=1,
        system_title=TITLE,
        taken="2026-03-01T00:00:00+00:00",
        devices={1: NAME},
        objects=tuple(dumped(row) for row in ROWS),
    )


def text_of(dump: Dump) -> str:
    return json.dumps(dump.to_json(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(text_of(reference_meter()), encoding="utf-8")
