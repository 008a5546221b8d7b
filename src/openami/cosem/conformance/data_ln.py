# SPDX-License-Identifier: Apache-2.0
"""Cases on GET, SET and ACTION by logical name (DLMS UA 1000-2 Ed. 10, 9.3.6 to 9.3.8)."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, TypeVar

from openami.cosem.classes.access_control import CURRENT_ASSOCIATION
from openami.cosem.conformance.answers import refused
from openami.cosem.conformance.case import (
    Exchange,
    Failed,
    Family,
    Group,
    Inconclusive,
    Need,
    NotApplicable,
    Script,
)
from openami.cosem.conformance.trial import READ_SN, Trial, shown, understood
from openami.cosem.refusals import AccessError
from openami.dlms.apdu.fields import AttributeDescriptor, AttributeSelection
from openami.dlms.apdu.get import (
    GetRequestNext,
    GetRequestNormal,
    GetRequestWithList,
    GetResponseNormal,
    GetResponseWithDatablock,
    GetResponseWithList,
)
from openami.dlms.apdu.initiate import Conformance
from openami.dlms.apdu.invocation import InvokeIdAndPriority
from openami.dlms.data import OctetString
from openami.dlms.obis import Obis
from openami.dlms.security.suites import SIGNED

T = TypeVar("T")

GET: Final = "DLMS UA 1000-2 Ed. 10, 9.3.6"
SET: Final = "DLMS UA 1000-2 Ed. 10, 9.3.7"
ACTION: Final = "DLMS UA 1000-2 Ed. 10, 9.3.8"
BLOCKS: Final = "DLMS UA 1000-2 Ed. 10, 9.4.6"
NEGOTIATION: Final = "DLMS UA 1000-2 Ed. 10, 9.4.4"

OBJECT_LIST: Final = (15, CURRENT_ASSOCIATION, 2)
LDN: Final = AttributeDescriptor(class_id=1, instance_id=Obis(0, 0, 42, 0, 0, 255), attribute_id=2)
OWN_NAME: Final = AttributeDescriptor(class_id=15, instance_id=CURRENT_ASSOCIATION, attribute_id=1)
SHORT_PDU_OCTETS: Final = 140
"""Few, and yet enough for a proof by ECDSA on P-384 under keys."""
SIGNATURE_ROOM_OCTETS: Final = 200
"""More than general-signing adds in suite 2: its header and 96 octets of signature."""
_ID: Final = InvokeIdAndPriority.of(5)

WRONG_GETS: Final[Mapping[str, bytes]] = MappingProxyType(
    {
        "GET of an unknown choice": bytes.fromhex("C009C1 0001 00002A0000FF 02 00"),
        "GET without its last elements": bytes.fromhex("C001C1 0001 00002A"),
        "GET without anything behind its tag": bytes.fromhex("C0"),
        "GET of an unknown logical name": bytes.fromhex("C001C1 0001 0763636363FF 02 00"),
        "GET of an unknown attribute": bytes.fromhex("C001C1 0001 00002A0000FF 63 00"),
        "GET of an unknown class": bytes.fromhex("C001C1 7FFF 00002A0000FF 02 00"),
    }
)
WRONG_SETS: Final[Mapping[str, bytes]] = MappingProxyType(
    {
        "SET of an unknown choice": bytes.fromhex("C109C1 0001 00002A0000FF 02 00 1101"),
        "SET without its value": bytes.fromhex("C101C1 0001 00002A0000FF 02 00"),
        "SET without anything behind its tag": bytes.fromhex("C1"),
        "SET of an unknown logical name": bytes.fromhex("C101C1 0001 0763636363FF 02 00 1101"),
        "SET of an unknown attribute": bytes.fromhex("C101C1 0001 00002A0000FF 63 00 1101"),
    }
)
WRONG_ACTIONS: Final[Mapping[str, bytes]] = MappingProxyType(
    {
        "ACTION of an unknown choice": bytes.fromhex("C309C1 0001 00002A0000FF 01 00"),
        "ACTION without its descriptor": bytes.fromhex("C301C1 0001"),
        "ACTION at an unknown logical name": bytes.fromhex("C301C1 0001 0763636363FF 01 00"),
        "ACTION of an unknown method": bytes.fromhex("C301C1 0001 00002A0000FF 63 00"),
    }
)


def _wrong(rows: Mapping[str, bytes]) -> Callable[[Trial], Script[str | None]]:
    def script(trial: Trial) -> Script[str | None]:
        client = yield from trial.opened()
        last = ""
        for said, octets in rows.items():
            answer = yield from trial.through(client, octets)
            last = refused(answer, said)
            yield from trial.alive(client)
        return f"the last of {len(rows)}: {last}"

    return script


def response_of(answer: bytes | None, said: str, kind: type[T]) -> T:
    """Return the answer as the APDU that it must be."""
    apdu = understood(answer)
    if not isinstance(apdu, kind):
        raise Failed(f"{shown(answer)} came to {said}; the clause accepts {kind.__name__}")
    return apdu


def _get_p1(trial: Trial) -> Script[str | None]:
    client = yield from trial.opened()
    for number in (0, 5, 15):
        request = GetRequestNormal(
            invoke_id_and_priority=InvokeIdAndPriority.of(number), attribute=OWN_NAME
        )
        answer = yield from trial.through(client, request.encode())
        apdu = response_of(answer, f"GET with invoke-id {number}", GetResponseNormal)
        found = InvokeIdAndPriority(apdu.invoke_id_and_priority).invoke_id
        if found != number:
            raise Failed(f"invoke-id {found} came to GET with invoke-id {number}")
        if apdu.result != OctetString(CURRENT_ASSOCIATION.encode()):
            raise Failed(f"{apdu.result!r} is not the logical name of the association")
    return None


def short_pdu_octets(trial: Trial) -> int:
    """Return the longest APDU of a client that wants blocks; a signed one has room for that."""
    signed = bool(trial.aa.policy.response_bits & SIGNED)
    return SHORT_PDU_OCTETS + SIGNATURE_ROOM_OCTETS * signed


def _list(trial: Trial) -> Script[str | None]:
    client = yield from trial.opened()
    rows = (OWN_NAME, LDN, OWN_NAME)
    singles = []
    for row in rows:
        request = GetRequestNormal(invoke_id_and_priority=_ID, attribute=row)
        answer = yield from trial.through(client, request.encode())
        apdu = response_of(answer, "GET", GetResponseNormal)
        singles.append(apdu.result)
    listed = GetRequestWithList(
        invoke_id_and_priority=_ID,
        attributes=tuple(AttributeSelection(attribute=row) for row in rows),
    )
    answer = yield from trial.through(client, listed.encode())
    found = response_of(answer, "GET with a list", GetResponseWithList)
    if list(found.results) != singles:
        raise Failed(
            f"GET of a list gives {found.results!r} where single reads give {tuple(singles)!r}"
        )
    return f"{len(rows)} results as single reads give them"


def measured(script: Script[bytes], sizes: list[int]) -> Script[bytes]:
    """Run a script and note how long each answer was as it travelled."""
    answer: bytes | None = None
    started = False
    while True:
        try:
            ask = script.send(answer) if started else next(script)
        except StopIteration as stop:
            result: bytes = stop.value
            return result
        started = True
        answer = yield ask
        if isinstance(ask, Exchange) and answer is not None:
            sizes.append(len(answer))


def _whole(trial: Trial) -> Script[bytes]:
    """Return the object list as it comes when APDUs may be long."""
    client = yield from trial.opened()
    return (yield from trial.steps(client.get_raw(*OBJECT_LIST)))


def _get_blocks(trial: Trial) -> Script[str | None]:
    whole = yield from _whole(trial)
    client = yield from trial.opened(max_receive_pdu_octets=short_pdu_octets(trial))
    parts = yield from trial.steps(client.get_raw(*OBJECT_LIST))
    if parts != whole:
        raise Failed(f"{len(parts)} octets came in blocks, other than the {len(whole)} at once")
    if len(whole) <= short_pdu_octets(trial):
        raise NotApplicable("the object list is too short to come in blocks")
    return f"{len(whole)} octets came in blocks as they come at once"


def _pdu_size(trial: Trial) -> Script[str | None]:
    client = yield from trial.opened(max_receive_pdu_octets=short_pdu_octets(trial))
    sizes: list[int] = []
    try:
        yield from measured(trial.steps(client.get_raw(*OBJECT_LIST)), sizes)
    except AccessError as error:
        # A meter without blocks must say so instead of sending more than the client takes.
        trial.remarks.append(str(error))
    most = short_pdu_octets(trial)
    if max(sizes) > most:
        raise Failed(f"an APDU of {max(sizes)} octets came; the client takes {most} at most")
    return f"{len(sizes)} APDUs came, the longest of {max(sizes)} octets"


def _block_number(trial: Trial) -> Script[str | None]:
    client = yield from trial.opened(max_receive_pdu_octets=short_pdu_octets(trial))
    first = AttributeDescriptor(class_id=15, instance_id=CURRENT_ASSOCIATION, attribute_id=2)
    request = GetRequestNormal(invoke_id_and_priority=_ID, attribute=first)
    answer = yield from trial.through(client, request.encode())
    if not isinstance(understood(answer), GetResponseWithDatablock):
        raise NotApplicable("the object list is too short to come in blocks")
    beyond = GetRequestNext(invoke_id_and_priority=_ID, block_number=9)
    answer = yield from trial.through(client, beyond.encode())
    said = "a request for the block behind block 9, of which the first was sent"
    words = refused(answer, said)
    yield from trial.alive(client)
    return words


def _no_long_get(trial: Trial) -> Script[str | None]:
    client = yield from trial.opened()
    request = GetRequestNext(invoke_id_and_priority=_ID, block_number=1)
    answer = yield from trial.through(client, request.encode())
    words = refused(answer, "a request for a next block when nothing is on its way")
    yield from trial.alive(client)
    return words


def _not_negotiated(trial: Trial) -> Script[str | None]:
    # Passes 3 and 4 of HLS are an ACTION.
    needed = Conformance.GET | (Conformance.ACTION if trial.aa.mechanism.is_hls else 0)
    client = yield from trial.opened(conformance=needed)
    if client.context.conformance & (Conformance.SET | Conformance.MULTIPLE_REFERENCES):
        raise Inconclusive("more was negotiated than was proposed (see APPL_OPEN_13_P)")
    listed = GetRequestWithList(
        invoke_id_and_priority=_ID, attributes=(AttributeSelection(attribute=OWN_NAME),) * 2
    )
    rows = {
        "GET with a list": listed.encode(),
        "SET": WRONG_SETS["SET of an unknown attribute"],
    }
    if not trial.aa.mechanism.is_hls:
        rows["ACTION"] = WRONG_ACTIONS["ACTION of an unknown method"]
    for said, octets in rows.items():
        answer = yield from trial.through(client, octets)
        refused(answer, f"{said}, which was not negotiated", silence=True)
    yield from trial.alive(client)
    return None


def _n4(trial: Trial) -> Script[str | None]:
    client = yield from trial.opened()
    answer = yield from trial.through(client, READ_SN)
    said = refused(answer, "ReadRequest by short name", silence=True, error=True)
    yield from trial.alive(client)
    return said


data_case = Family(prefix="APPL_DATA_LN_", group=Group.DATA_LN, needs=(Need.LN,)).case


REFUSAL: Final = "exception-response or a result other than success, and the association goes on"

CASES: Final = (
    data_case(
        "GET",
        "GET answers under its invoke-id",
        GET,
        "GET of the association's logical name under invoke-ids 0, 5 and 15",
        "get-response-normal with the name, under the same invoke-id",
        _get_p1,
        Need.GET,
    ),
    data_case(
        "N1",
        "GETs that cannot be served",
        GET,
        "; ".join(WRONG_GETS),
        REFUSAL,
        _wrong(WRONG_GETS),
        Need.GET,
    ),
    data_case(
        "ACTION_N",
        "ACTIONs that cannot be served",
        ACTION,
        "; ".join(WRONG_ACTIONS),
        REFUSAL,
        _wrong(WRONG_ACTIONS),
        Need.ACTION,
    ),
    data_case(
        "N3",
        "SETs that cannot be served",
        SET,
        "; ".join(WRONG_SETS),
        REFUSAL,
        _wrong(WRONG_SETS),
        Need.SET,
    ),
    data_case(
        "N4",
        "a service of the other referencing",
        GET,
        "ReadRequest",
        "exception-response, ConfirmedServiceError or silence, and the association goes on",
        _n4,
    ),
    data_case(
        "LIST",
        "GET with a list",
        GET,
        "GET of three attributes, alone and as a list",
        "the same results in the same order",
        _list,
        Need.GET,
        Need.MULTIPLE,
    ),
    data_case(
        "GET_BLOCKS",
        "a long answer comes in blocks",
        BLOCKS,
        f"GET of the object list, at once and with APDUs of {SHORT_PDU_OCTETS} octets",
        "blocks 1, 2, 3 … that hold the same octets",
        _get_blocks,
        Need.GET,
        Need.GET_BLOCKS,
    ),
    data_case(
        "BLOCK_NUMBER",
        "a block that is not due",
        BLOCKS,
        "GET of the object list; the block behind block 9",
        REFUSAL,
        _block_number,
        Need.GET,
        Need.GET_BLOCKS,
    ),
    data_case(
        "NO_LONG_GET",
        "a next block when nothing is on its way",
        BLOCKS,
        "get-request-next",
        REFUSAL,
        _no_long_get,
        Need.GET,
        Need.GET_BLOCKS,
    ),
    data_case(
        "PDU_SIZE",
        "no APDU is longer than the client takes",
        NEGOTIATION,
        f"AARQ with client-max-receive-pdu-size {SHORT_PDU_OCTETS}; GET of the object list",
        f"APDUs of at most {SHORT_PDU_OCTETS} octets",
        _pdu_size,
        Need.GET,
    ),
    data_case(
        "CONFORMANCE",
        "services that were not negotiated",
        NEGOTIATION,
        "AARQ that proposes GET alone; GET with a list; SET; ACTION",
        "a refusal or silence, and the association goes on",
        _not_negotiated,
        Need.GET,
    ),
)
