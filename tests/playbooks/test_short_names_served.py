# SPDX-License-Identifier: Apache-2.0
"""Our server by short names, asked in octets: every form of every service, and every refusal."""

import pytest

from openami.cosem.classes.disconnect import ControlState
from openami.cosem.classes.measurement import Register
from openami.dlms import data as axdr_data
from openami.dlms.apdu.acse import Aare, AcseServiceUser, AssociationResult
from openami.dlms.apdu.codes import DataAccessResult
from openami.dlms.apdu.faults import ConfirmedServiceError
from openami.dlms.apdu.initiate import Conformance, InitiateRequest, InitiateResponse
from openami.dlms.apdu.read import ReadBlock, ReadResponse
from openami.dlms.apdu.write import WriteResponse
from openami.dlms.association import ApplicationContext, State
from openami.dlms.data import DoubleLongUnsigned, OctetString
from playbooks.demo_meter import (
    CLOCK,
    DISCONNECT,
    ENERGY,
    LOAD_PROFILE,
    NAME,
    NOTE,
    PUBLIC,
    READER,
    SAPS,
    aarq,
    row,
)
from playbooks.named_meter import (
    BLOCKS,
    EVERYTHING,
    MIRROR,
    OPEN,
    Line,
    NamedMeter,
)

DENIED, UNDEFINED, UNMATCHED = "0c010103", "0c010104", "0c01010c"
SCOPE, OTHER = "0c01010d", "0c0101fa"
ENERGY_VALUE = "06" + "0001e240"


def read(name: str) -> str:
    return "050102" + name


def ask_with(name: str, selector: int, parameter: str) -> str:
    return f"050104{name}{selector:02x}{parameter}"


def write(name: str, value: str) -> str:
    return f"060102{name}01{value}"


@pytest.fixture
def line() -> Line:
    return Line().open()


def test_one_variable(line: Line) -> None:
    name = line.meter.at(ENERGY)
    for _ in range(2):  # the second time by the short way
        assert line.ask(read(name)) == "0c0100" + ENERGY_VALUE
    assert line.ask(read(line.meter.at(ENERGY, 0))) == "0c010009060100010800ff"
    assert line.ask(read("fd08")) == "0c01000910" + NAME.hex()
    assert line.ask(read("fc00")) == "0c01000906" + SAPS.encode().hex()
    assert line.ask(read("fa00")) == "0c010009060000280000ff"


def test_a_value_that_changes_is_read_anew(line: Line) -> None:
    name = line.meter.at(ENERGY)
    line.ask(read(name))
    energy = line.meter[ENERGY]
    assert isinstance(energy, Register)
    energy.value = DoubleLongUnsigned(7)
    assert line.ask(read(name)) == "0c01000600000007"


def test_several_variables_each_with_its_own_result(line: Line) -> None:
    meter = line.meter
    request = "0504" + "02" + meter.at(ENERGY) + "020000" + "02fa58" + "02fd08"
    assert line.ask(request) == (
        "0c04" + "00" + ENERGY_VALUE + "0104" + "010d" + "000910" + NAME.hex()
    )


def test_names_that_stand_for_nothing(line: Line) -> None:
    gaps = ("0000", "00f8", "ffff", "fa01", line.meter.at(ENERGY, 0x18), line.meter.at(ENERGY, 1))
    for name in gaps:
        assert line.ask(read(name)) == UNDEFINED
        assert line.ask(write(name, "1105")) == "0d010104"


def test_what_the_client_may_not_see_does_not_exist() -> None:
    line = Line(client_sap=PUBLIC).open()
    assert line.ask(read(line.meter.at(ENERGY))) == UNDEFINED
    assert line.ask(read("fd08")) == "0c01000910" + NAME.hex()
    listed = line.ask(read("fa08"))
    assert listed is not None
    assert "0100010800ff" not in listed
    assert line.ask(write("fd08", "0900")) == "0d010103"


def test_a_row_without_a_value(line: Line) -> None:
    assert line.ask(read(line.meter.at(CLOCK, 0x28))) == "0c01010b"


def test_a_selection(line: Line) -> None:
    line = Line(NamedMeter(rows=3)).open()
    entries = "02040600000002060000000212000112" + "0000"
    answer = line.ask(ask_with(line.meter.at(LOAD_PROFILE), 2, entries))
    assert answer == "0c0100" + axdr_data.encode(axdr_data.Array([row(1)])).hex()
    assert line.ask(ask_with(line.meter.at(LOAD_PROFILE), 9, "00")) == SCOPE
    assert line.ask(ask_with(line.meter.at(ENERGY), 1, "00")) == SCOPE


def test_a_method_with_return_data(line: Line) -> None:
    reflect = line.meter.at(MIRROR, 0x08)
    assert line.ask(ask_with(reflect, 0, "09026162")) == "0c0100090461626162"
    assert line.ask(ask_with(reflect, 0, "0906726566757365")) == "0c010102"
    assert line.ask(ask_with(reflect, 0, "1105")) == UNMATCHED
    assert line.ask(ask_with(reflect, 0, "00")) == UNMATCHED
    assert line.ask(ask_with(reflect, 1, "09026162")) == SCOPE
    assert line.ask(ask_with(line.meter.at(MIRROR, 0x18), 0, "0900")) == DENIED, "nothing is bound"
    swallow = line.meter.at(MIRROR, 0x10)
    assert line.ask(ask_with(swallow, 0, "090161")) == "0c010000", "null-data"
    assert line.meter.swallowed == [b"a"]


def test_a_name_of_a_method_alone_starts_nothing(line: Line) -> None:
    assert line.ask(read(line.meter.at(MIRROR, 0x10))) == SCOPE
    assert line.ask(read(line.meter.at(DISCONNECT, 0x20))) == SCOPE
    assert line.meter.swallowed == []
    assert line.meter.switch.moves == []


@pytest.mark.parametrize("argument", ["0f00", "00"])
def test_a_method_without_return_data(line: Line, argument: str) -> None:
    assert line.ask(write(line.meter.at(DISCONNECT, 0x20), argument)) == "0d0100"
    assert line.ask(ask_with(line.meter.at(DISCONNECT, 0x28), 0, argument)) == "0c010000"
    assert line.meter.switch.moves == [ControlState.DISCONNECTED, ControlState.CONNECTED]


def test_a_write(line: Line) -> None:
    name = line.meter.at(NOTE)
    assert line.ask(write(name, "09036e6577")) == "0d0100"
    assert line.ask(read(name)) == "0c010009036e6577"
    assert line.ask(write(name, "1105")) == "0d01010c", "another type than it has"
    assert line.ask(write(line.meter.at(ENERGY), ENERGY_VALUE)) == "0d010103", "read only"
    assert line.ask("060104" + name + "0100" + "010900") == "0d01010d", "a part of it"


def test_several_writes(line: Line) -> None:
    meter = line.meter
    request = "0603" + "02" + meter.at(NOTE) + "020000" + "02" + meter.at(MIRROR, 0x08)
    values = "03" + "090161" + "1105" + "0906726566757365"
    assert line.ask(request + values) == "0d03" + "00" + "0104" + "0102"
    assert line.ask(request + "02" + "090161" + "1105") == "0d03" + "010c" * 3


def test_a_write_that_nobody_confirms(line: Line) -> None:
    name = line.meter.at(NOTE)
    assert line.ask("16" + write(name, "090178")[2:]) is None
    assert line.ask(read(name)) == "0c0100090178"
    for nonsense in ("16", "1601", "160102ffff01", "16ff", "1600", "160102" + name + "00"):
        assert line.ask(nonsense) is None
    assert line.ask(read(name)) == "0c0100090178"


@pytest.mark.parametrize(
    "apdu",
    [
        "05",
        "0500",
        "0501",
        "050102",
        "050102fa",
        "050102fa0800",
        "050103fa08",
        "0501ff",
        "05020508",
        "058405",
        "050104fa0800",
        "050104fa080019",
        "0502" + "050001" + "02fa08",
        "050107010001",
        "05010601000105aabb",
    ],
)
def test_a_malformed_read(line: Line, apdu: str) -> None:
    answer = line.ask(apdu)
    assert answer is not None
    response = ReadResponse.decode(bytes.fromhex(answer))
    assert isinstance(response.results[0], DataAccessResult)
    assert response.results[0] is not DataAccessResult.SUCCESS
    assert line.ask(read("fd08")) == "0c01000910" + NAME.hex(), "the association lives"


@pytest.mark.parametrize(
    "apdu",
    [
        "06",
        "0600",
        "060000",
        "060102fa08",
        "060102fa0801",
        "060102fa080109",
        "060103fa08010900",
        "0601050001010900",
        "060106010001000109" + "00",
        "06010700000101" + "1105",
        "060102fa08010900" + "00",
    ],
)
def test_a_malformed_write(line: Line, apdu: str) -> None:
    answer = line.ask(apdu)
    assert answer is not None
    response = WriteResponse.decode(bytes.fromhex(answer))
    assert isinstance(response.results[0], DataAccessResult)
    assert response.results[0] is not DataAccessResult.SUCCESS
    assert line.server.state(OPEN) is State.ASSOCIATED


@pytest.mark.parametrize(
    "apdu", ["c001c100080000010000ff0200", "c1", "c3", "d9", "18", "0c0100", "77"]
)
def test_services_that_have_no_place_among_short_names(line: Line, apdu: str) -> None:
    answer = line.ask(apdu)
    assert answer == "0e010302"
    error = ConfirmedServiceError.decode(bytes.fromhex(answer))
    assert error.name == "service-unsupported"
    assert line.server.state(OPEN) is State.ASSOCIATED


def test_services_without_an_association() -> None:
    line = Line()
    assert line.ask(read("fd08")) == "0e050201"
    assert line.ask(write("fd08", "0900")) == "0e060201"
    assert line.ask("c001c100080000010000ff0200") == "0e010201"
    assert ConfirmedServiceError.decode(bytes.fromhex("0e050201")).name == "no-dlms-context"
    assert line.ask("") == "d80101"


def missing(bits: Conformance) -> Line:
    return Line().open(EVERYTHING & ~bits, pdu_octets=64)


def test_what_was_not_negotiated_is_refused_in_the_form_of_its_service() -> None:
    name = missing(Conformance.READ).meter.at(ENERGY)
    assert missing(Conformance.READ).ask(read(name)) == SCOPE
    assert missing(Conformance.WRITE).ask(write(name, "1105")) == "0d01010d"
    assert missing(Conformance.PARAMETERIZED_ACCESS).ask(ask_with("fa08", 1, "0100")) == SCOPE
    one_at_a_time = missing(Conformance.MULTIPLE_REFERENCES)
    assert one_at_a_time.ask("0502" + ("02" + name) * 2) == "0c02" + "010d" * 2
    assert one_at_a_time.ask("0602" + ("02" + name) * 2 + "02" + "1105" * 2) == "0d02" + "010d" * 2
    assert one_at_a_time.ask(read(name)) == "0c0100" + ENERGY_VALUE
    without_blocks = missing(BLOCKS)
    assert without_blocks.ask(read("fa08")) == OTHER
    assert without_blocks.ask("0501060100010101") == SCOPE
    assert without_blocks.ask("06010701000101090100") == "0d01010d"
    quiet = missing(Conformance.UNCONFIRMED_WRITE)
    assert quiet.ask("16" + write(quiet.meter.at(NOTE), "090178")[2:]) is None
    assert quiet.ask(read(quiet.meter.at(NOTE))) != "0c0100090178"


def blocks_of(line: Line, first: str) -> bytes:
    """Ask, and collect all blocks of the answer."""
    raw, apdu = b"", first
    for number in range(1, 10_000):
        answer = line.ask(apdu)
        assert answer is not None
        (block,) = ReadResponse.decode(bytes.fromhex(answer)).results
        assert isinstance(block, ReadBlock)
        assert block.block_number == number
        raw += block.raw_data
        if block.last_block:
            return raw
        apdu = f"050105{number:04x}"
    pytest.fail("it has no end")


@pytest.mark.parametrize("pdu_octets", [12, 20, 64, 131, 132, 200, 260, 300])
def test_a_long_answer_in_blocks(pdu_octets: int) -> None:
    whole = Line().open(pdu_octets=0).ask(read("fa10"))
    line = Line().open(pdu_octets=pdu_octets)
    assert whole is not None
    assert blocks_of(line, read("fa10")).hex() == whole[2:], "count, choice and value"
    names = "02fa10" + "020000" + "02fa08"
    assert blocks_of(line, "0503" + names).hex().startswith("03" + whole[4:] + "0104")


def test_blocks_fill_the_pdu() -> None:
    line = Line().open(pdu_octets=100)
    first = line.ask(read("fa08"))
    assert first is not None
    assert len(first) == 2 * 100


def test_blocks_of_one_value_as_another_library_reads_them() -> None:
    line = Line(NamedMeter(value_blocks=True)).open(pdu_octets=64)
    whole = Line().open(pdu_octets=0).ask(read("fa08"))
    assert whole is not None
    assert blocks_of(line, read("fa08")).hex() == whole[6:]
    assert blocks_of(line, "0502" + "02fa08" * 2).hex() == "02" + whole[4:] * 2


def test_blocks_of_an_answer_out_of_turn() -> None:
    line = Line().open(pdu_octets=40)
    none, wrong = "0c010110", "0c010113"
    assert line.ask("0501050001") == none
    line.ask(read("fa08"))
    assert line.ask("0501050002") == wrong
    assert line.ask("0501050001") == none
    line.ask(read("fa08"))
    line.ask(read("fd00"))
    assert line.ask("0501050001") == none, "another request has ended it"
    line.ask(read("fa08"))
    line.ask(read("fd00"))
    line.ask(read("fa08"))
    line.ask(read("fd00"))
    assert line.ask("0501050001") == none, "by the short way too"


@pytest.mark.parametrize("size", [1, 5, 40])
def test_a_long_read_request_in_blocks(line: Line, size: int) -> None:
    variables = "03" + "02fd08" + "04" + line.meter.at(MIRROR) + "00" + "090161" + "020000"
    raw = bytes.fromhex(variables)
    pieces = [raw[at : at + size] for at in range(0, len(raw), size)]
    for number, piece in enumerate(pieces, start=1):
        last = number == len(pieces)
        answer = line.ask(f"050106{last:02x}{number:04x}{len(piece):02x}{piece.hex()}")
        if not last:
            assert answer == f"0c0103{number:04x}"
    assert answer == "0c03" + "000910" + NAME.hex() + "0009026161" + "0104"


def test_blocks_of_a_read_request_out_of_turn(line: Line) -> None:
    none, wrong = "0c010110", "0c010113"
    assert line.ask("05010600000201aa") == none
    assert line.ask("0501060000010101") == "0c01030001"
    assert line.ask("05010601000302fd08") == wrong
    assert line.ask("05010601000202fd08") == none
    assert line.ask("0501060000010101") == "0c01030001"
    assert line.ask(read("fd00")) == "0c0100090600002a0000ff"
    assert line.ask("05010601000202fd08") == none
    assert line.ask("0501060100010101") == OTHER, "the whole makes no sense"


def test_a_request_that_never_ends(line: Line) -> None:
    piece = bytes(1000).hex()
    for number in range(1, 66):
        assert line.ask(f"05010600{number:04x}8203e8{piece}") == f"0c0103{number:04x}"
        assert line.ask(f"06010700{number:04x}01098203e8{piece}") == f"0d0102{number:04x}"
    assert line.ask(f"050106000042{'8203e8'}{piece}") == "0c01010f"
    assert line.ask(f"060107000042{'01098203e8'}{piece}") == "0d010111"


@pytest.mark.parametrize("size", [1, 7, 60])
def test_a_long_write_in_blocks(line: Line, size: int) -> None:
    name = line.meter.at(NOTE)
    value = bytes(range(200))
    whole = "02" + "02" + name + "02ffff" + "02" + "0981c8" + value.hex() + "1105"
    raw = bytes.fromhex(whole)
    pieces = [raw[at : at + size] for at in range(0, len(raw), size)]
    for number, piece in enumerate(pieces, start=1):
        last = number == len(pieces)
        head = f"060107{last:02x}{number:04x}01"
        answer = line.ask(head + axdr_data.encode(OctetString(piece)).hex())
        if not last:
            assert answer == f"0d0102{number:04x}"
    assert answer == "0d02" + "00" + "0104"
    assert line.ask(read(name)) == "0c01000981c8" + value.hex()


def test_blocks_of_a_write_out_of_turn(line: Line) -> None:
    none, wrong = "0d010112", "0d010113"
    name = line.meter.at(NOTE)
    assert line.ask("0601070000020109" + "00") == none
    assert line.ask("0601070000010109" + "0101") == "0d01020001"
    assert line.ask("0601070100030109" + "0102") == wrong
    assert line.ask("0601070100020109" + "0102") == none
    assert line.ask("0601070000010109" + "0101") == "0d01020001"
    assert line.ask(write(name, "090161")) == "0d0100"
    assert line.ask("0601070100020109" + "0102") == none
    assert line.ask("0601070100010109" + "0101") == "0d0101fa"


def test_many_results_that_do_not_fit() -> None:
    line = Line().open(EVERYTHING & ~BLOCKS, pdu_octets=20)
    name = line.meter.at(NOTE)
    assert line.ask("060a" + ("02" + name) * 10 + "0a" + "090161" * 10) == "0d0101fa"
    assert line.ask(read(name)) != "0c0100090161", "refused before anything was done"
    assert line.ask("050a" + ("02" + name) * 10) == OTHER


def test_a_request_longer_than_the_server_takes(line: Line) -> None:
    assert line.ask("05820200" + "02fd08" * 0x200) == "d80104"


def test_conformance_holds_no_bit_of_the_other_way() -> None:
    line = Line()
    answer = line.server.receive(
        OPEN,
        aarq(
            application_context_name=ApplicationContext.SN.oid,
            sender_acse_requirements=None,
            mechanism_name=None,
            calling_authentication_value=None,
            user_information=InitiateRequest(
                proposed_conformance=Conformance(0xFFFFFF), client_max_receive_pdu_size=500
            ).encode(),
        ).encode(),
    )
    assert answer is not None
    response = InitiateResponse.decode(Aare.decode(answer).user_information or b"")
    assert response.vaa_name == 0xFA00
    either_way = Conformance.GENERAL_BLOCK_TRANSFER | Conformance.DATA_NOTIFICATION
    assert response.negotiated_conformance == EVERYTHING | either_way


@pytest.mark.parametrize("proposed", [Conformance.GET | Conformance.SET, BLOCKS])
def test_a_client_that_offers_nothing_useful(proposed: Conformance) -> None:
    line = Line()
    answer = line.server.receive(
        OPEN,
        aarq(
            application_context_name=ApplicationContext.SN.oid,
            sender_acse_requirements=None,
            mechanism_name=None,
            calling_authentication_value=None,
            user_information=InitiateRequest(
                proposed_conformance=proposed, client_max_receive_pdu_size=500
            ).encode(),
        ).encode(),
    )
    assert answer is not None
    aare = Aare.decode(answer)
    assert aare.result is AssociationResult.REJECTED_PERMANENT
    assert aare.user_information == bytes.fromhex("0e010602")
    assert aare.application_context_name == ApplicationContext.SN.oid


def test_each_client_has_one_way_of_naming() -> None:
    line = Line(client_sap=READER)
    answer = line.server.receive(READER, aarq().encode())
    assert answer is not None
    diagnostic = Aare.decode(answer).result_source_diagnostic
    assert diagnostic is AcseServiceUser.APPLICATION_CONTEXT_NAME_NOT_SUPPORTED
