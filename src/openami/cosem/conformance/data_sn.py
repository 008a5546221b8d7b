# SPDX-License-Identifier: Apache-2.0
"""Cases on Read and Write by short name (DLMS UA 1000-2 Ed. 10, 9.3.14 and 9.3.15).

What is wrong inside a Read or a Write is answered in its own form, with a data-access-error; a
ConfirmedServiceError belongs to services that have no place in such an association.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from openami.cosem.classes.access_control import CURRENT_ASSOCIATION
from openami.cosem.classes.associations import AssociationSn, ShortNameElement
from openami.cosem.client import Client
from openami.cosem.conformance.answers import refused
from openami.cosem.conformance.case import Failed, Family, Group, Need, NotApplicable, Script
from openami.cosem.conformance.data_ln import NEGOTIATION, SHORT_PDU_OCTETS, measured, response_of
from openami.cosem.conformance.data_writing import other_value
from openami.cosem.conformance.trial import GET_LDN, READ_SN, Trial, Undo, shown, understood
from openami.cosem.kinds import KindError
from openami.dlms import data as axdr_data
from openami.dlms.apdu.codes import DataAccessResult
from openami.dlms.apdu.faults import ConfirmedServiceError
from openami.dlms.apdu.initiate import Conformance
from openami.dlms.apdu.read import ReadRequest, ReadResponse
from openami.dlms.apdu.variables import VariableName
from openami.dlms.apdu.write import UnconfirmedWriteRequest, WriteRequest, WriteResponse
from openami.dlms.data import Data, OctetString

READ: Final = "DLMS UA 1000-2 Ed. 10, 9.3.14"
WRITE: Final = "DLMS UA 1000-2 Ed. 10, 9.3.15"
OWN_NAME: Final = 0xFA00
OBJECT_LIST: Final = (12, CURRENT_ASSOCIATION, 2)
OBJECT_LIST_NAME: Final = 0xFA08
STEP: Final = 8
SAMPLES: Final = 20
"""Of how many objects the logical name is read."""

WRONG_READS: Final[Mapping[str, bytes]] = MappingProxyType(
    {
        "Read of an unknown choice": bytes.fromhex("0501 09 FA00"),
        "Read of an unknown short name": bytes.fromhex("0501 02 0003"),
        "Read without its short name": bytes.fromhex("0501 02"),
    }
)
WRONG_WRITES: Final[Mapping[str, bytes]] = MappingProxyType(
    {
        "Write of an unknown choice": bytes.fromhex("0601 09 FA00 01 1101"),
        "Write of an unknown short name": bytes.fromhex("0601 02 0003 01 1101"),
        "Write without its value": bytes.fromhex("0601 02 FA00"),
    }
)


def read_of(*names: int) -> bytes:
    """Return a ReadRequest for short names."""
    return ReadRequest(variables=tuple(VariableName(name=name) for name in names)).encode()


def _one(answer: bytes | None, said: str) -> Data:
    """Return the single value that was read."""
    response = response_of(answer, said, ReadResponse)
    (result,) = response.results if len(response.results) == 1 else (DataAccessResult.OTHER_REASON,)
    if isinstance(result, DataAccessResult) or type(result).__name__.startswith("Read"):
        raise Failed(f"{shown(answer)} came to {said}; a value is due")
    return result  # type: ignore[return-value]  # blocks were refused just now


def _p1(trial: Trial) -> Script[str | None]:
    client = yield from trial.opened()
    answer = yield from trial.through(client, READ_SN)
    name = _one(answer, "Read of FA00")
    if name != OctetString(CURRENT_ASSOCIATION.encode()):
        raise Failed(f"{name!r} is read at FA00; it is {CURRENT_ASSOCIATION}")
    return None


def _list(trial: Trial) -> Script[str | None]:
    client = yield from trial.opened()
    answer = yield from trial.through(client, read_of(OWN_NAME, 0x0003, OWN_NAME))
    results = response_of(answer, "Read of three names", ReadResponse).results
    own = OctetString(CURRENT_ASSOCIATION.encode())
    good = len(results) == 3 and results[0] == results[2] == own
    if not good or not isinstance(results[1], DataAccessResult):
        raise Failed(f"{results!r} came to Read of FA00, of no object, and of FA00")
    return f"{results[1]} stands between two values"


def _wrong(rows: Mapping[str, bytes], kind: type) -> Callable[[Trial], Script[str | None]]:
    def script(trial: Trial) -> Script[str | None]:
        client = yield from trial.opened()
        last = ""
        for said, octets in rows.items():
            answer = yield from trial.through(client, octets)
            apdu = understood(answer)
            if not isinstance(apdu, kind):
                accepted = f"{kind.__name__} with data-access-error"
                raise Failed(f"{shown(answer)} came to {said}; the clause accepts {accepted}")
            last = refused(answer, said)
            yield from _alive(trial, client)
        return f"the last of {len(rows)}: {last}"

    return script


def _alive(trial: Trial, client: Client) -> Script[None]:
    answer = yield from trial.through(client, READ_SN)
    if not isinstance(understood(answer), ReadResponse):
        raise Failed(f"the association did not survive: {shown(answer)} came to Read of FA00")


def _n3(trial: Trial) -> Script[str | None]:
    client = yield from trial.opened()
    answer = yield from trial.through(client, GET_LDN)
    if answer is not None and not isinstance(understood(answer), ConfirmedServiceError):
        accepted = "ConfirmedServiceError and silence"
        raise Failed(f"{shown(answer)} came to GET; the clause accepts {accepted}")
    yield from _alive(trial, client)
    return f"{shown(answer)} came to GET"


def elements(trial: Trial, client: Client) -> Script[tuple[ShortNameElement, ...]]:
    """Read the object list by short name.

    Raises:
        Failed: It is not what the class declares.
    """
    octets = yield from trial.steps(client.get_raw(*OBJECT_LIST))
    try:
        found = AssociationSn.object_list.kind.from_data(axdr_data.decode(octets))
    except KindError as error:
        raise Failed(f"the object list cannot be read: {error}") from None
    if not found:
        raise Failed("the object list is empty; the logical device name is mandatory")
    return found


def _objects(trial: Trial) -> Script[str | None]:
    client = yield from trial.opened()
    found = yield from elements(trial, client)
    bases = [each.base_name & 0xFFFF for each in found]
    if len(set(bases)) != len(bases):
        raise Failed("the object list gives one base name to several objects")
    odd = [f"{base:04X}" for base in bases if base % STEP]
    if odd:
        raise Failed(f"base names must be multiples of {STEP}: {', '.join(odd[:3])} are not")
    own = {each.base_name & 0xFFFF: each.logical_name for each in found}
    if own.get(OWN_NAME) not in {None, CURRENT_ASSOCIATION}:
        raise Failed(f"FA00 is {own[OWN_NAME]}, not the association")
    for each in found[:SAMPLES]:
        answer = yield from trial.through(client, read_of(each.base_name & 0xFFFF))
        name = _one(answer, f"Read of {each.base_name & 0xFFFF:04X}")
        if name != OctetString(each.logical_name.encode()):
            raise Failed(f"{name!r} is read at the base name of {each.logical_name}")
    return f"{len(found)} objects"


def _blocks(trial: Trial) -> Script[str | None]:
    client = yield from trial.opened()
    whole = yield from trial.steps(client.get_raw(*OBJECT_LIST))
    if len(whole) <= SHORT_PDU_OCTETS:
        raise NotApplicable("the object list is too short to come in blocks")
    client = yield from trial.opened(max_receive_pdu_octets=SHORT_PDU_OCTETS)
    sizes: list[int] = []
    parts = yield from measured(trial.steps(client.get_raw(*OBJECT_LIST)), sizes)
    if parts != whole:
        raise Failed(f"{len(parts)} octets came in blocks, other than the {len(whole)} at once")
    if max(sizes) > SHORT_PDU_OCTETS:
        raise Failed(f"an APDU of {max(sizes)} octets came; the client takes {SHORT_PDU_OCTETS}")
    return f"{len(sizes)} APDUs came, the longest of {max(sizes)} octets"


def _not_negotiated(trial: Trial) -> Script[str | None]:
    client = yield from trial.opened(conformance=Conformance.READ)
    answer = yield from trial.through(client, WRONG_WRITES["Write of an unknown short name"])
    refused(answer, "Write, which was not negotiated", silence=True, error=True)
    answer = yield from trial.through(client, read_of(OWN_NAME, OWN_NAME))
    refused(answer, "Read of a list, which was not negotiated", silence=True, error=True)
    yield from _alive(trial, client)
    return None


def _name_of_row(trial: Trial, client: Client) -> Script[int]:
    row = trial.declaration.test_attribute
    if row is None:
        raise NotApplicable("no test attribute is declared")
    for each in (yield from elements(trial, client)):
        if each.logical_name == row.logical_name and each.class_id == row.class_id:
            return (each.base_name & 0xFFFF) + STEP * (row.attribute - 1)
    raise NotApplicable(f"this association has not {row}")


def _write(trial: Trial, client: Client, name: int, value: Data) -> Script[DataAccessResult]:
    request = WriteRequest(variables=(VariableName(name=name),), values=(value,))
    answer = yield from trial.through(client, request.encode())
    results = response_of(answer, f"Write of {name:04X}", WriteResponse).results
    if len(results) != 1 or not isinstance(results[0], DataAccessResult):
        raise Failed(f"{shown(answer)} came to Write of {name:04X}; one result is due")
    return results[0]


def _begin_writing(trial: Trial) -> Script[tuple[Client, int, Data]]:
    client = yield from trial.opened()
    name = yield from _name_of_row(trial, client)
    value = _one((yield from trial.through(client, read_of(name))), f"Read of {name:04X}")
    result = yield from _write(trial, client, name, value)
    if result == DataAccessResult.READ_WRITE_DENIED:
        raise NotApplicable(f"this association may not write {name:04X}: {result}")
    if result != DataAccessResult.SUCCESS:
        raise Failed(f"{result} came to Write of {name:04X} with the value that it has")

    def undo(trial: Trial) -> Script[None]:
        client = yield from trial.opened()
        result = yield from _write(trial, client, name, value)
        if result != DataAccessResult.SUCCESS:
            raise Failed(f"{name:04X} could not be written back: {result}")

    trial.undo.append(Undo("the test attribute", undo))
    return client, name, value


def _written(trial: Trial) -> Script[str | None]:
    client, name, value = yield from _begin_writing(trial)
    wanted = other_value(value)
    result = yield from _write(trial, client, name, wanted)
    if result != DataAccessResult.SUCCESS:
        raise Failed(f"{result} came to Write of {name:04X}")
    found = _one((yield from trial.through(client, read_of(name))), f"Read of {name:04X}")
    if found != wanted:
        raise Failed(f"{found!r} is read where {wanted!r} was written with success")
    return None


def _unconfirmed(trial: Trial) -> Script[str | None]:
    client, name, value = yield from _begin_writing(trial)
    request = UnconfirmedWriteRequest(variables=(VariableName(name=name),), values=(value,))
    answer = yield from trial.through(client, request.encode())
    if answer is not None:
        raise Failed(f"{shown(answer)} came to UnconfirmedWrite; the clause asks for silence")
    yield from _alive(trial, client)
    return None


_case = Family(prefix="APPL_DATA_SN_", group=Group.DATA_SN, needs=(Need.SN,)).case


CASES: Final = (
    _case(
        "READ",
        "Read of one short name",
        READ,
        "Read of FA00",
        "the logical name of the association",
        _p1,
        Need.READ,
    ),
    _case(
        "LIST",
        "Read of several short names",
        READ,
        "Read of FA00, of a name that no object has, and of FA00",
        "two values and a data-access-error, in this order",
        _list,
        Need.READ,
        Need.MULTIPLE,
    ),
    _case(
        "N1",
        "Reads that cannot be served",
        READ,
        "; ".join(WRONG_READS),
        "ReadResponse with data-access-error, and the association goes on",
        _wrong(WRONG_READS, ReadResponse),
        Need.READ,
    ),
    _case(
        "N2",
        "Writes that cannot be served",
        WRITE,
        "; ".join(WRONG_WRITES),
        "WriteResponse with data-access-error, and the association goes on",
        _wrong(WRONG_WRITES, WriteResponse),
        Need.WRITE,
    ),
    _case(
        "N3",
        "a service of the other referencing",
        READ,
        "GET",
        "ConfirmedServiceError or silence, and the association goes on",
        _n3,
    ),
    _case(
        "OBJECT_LIST",
        "the object list gives each object its base name",
        READ,
        "Read of the object list; Read of base names",
        "base names of their own, multiples of 8, at which the logical name is read",
        _objects,
        Need.READ,
    ),
    _case(
        "BLOCKS",
        "a long answer comes in blocks, none longer than the client takes",
        READ,
        f"Read of the object list, at once and with APDUs of {SHORT_PDU_OCTETS} octets",
        "blocks 1, 2, 3 … that hold the same octets",
        _blocks,
        Need.READ,
        Need.GET_BLOCKS,
    ),
    _case(
        "CONFORMANCE",
        "services that were not negotiated",
        NEGOTIATION,
        "AARQ that proposes READ alone; Write; Read of a list",
        "a refusal or silence, and the association goes on",
        _not_negotiated,
        Need.READ,
        Need.UNPROVEN,
    ),
    _case(
        "WRITE",
        "what is written is read",
        WRITE,
        "Write of the test attribute with another value; Read",
        "success; the value written",
        _written,
        Need.WRITE,
        Need.WRITABLE,
        changes=True,
    ),
    _case(
        "UNCONFIRMED",
        "UnconfirmedWrite is not answered",
        WRITE,
        "UnconfirmedWrite of the test attribute with the value it has",
        "silence, and the association goes on",
        _unconfirmed,
        Need.WRITE,
        Need.UNCONFIRMED_WRITE,
        Need.WRITABLE,
        changes=True,
    ),
)
