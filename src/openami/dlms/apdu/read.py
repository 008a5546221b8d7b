# SPDX-License-Identifier: Apache-2.0
"""Read service of short name referencing.

DLMS UA 1000-2 Ed. 10, 9.3.14 (service) and 9.5 (abstract syntax, APDU tags 05 and 0C).
"""

from dataclasses import dataclass
from typing import ClassVar, Self, TypeAlias

from openami.dlms import data
from openami.dlms.apdu.codes import DataAccessResult
from openami.dlms.apdu.variables import CLAUSE, VariableAccess, encode_variables, read_variables
from openami.dlms.axdr import Reader, encode_length, encode_octet_string
from openami.dlms.data import Data


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadRequest:
    """Read variables: ReadRequest.

    ======  ==========  ====================================================
    octets  field       value
    ======  ==========  ====================================================
    1       tag         05
    n       variables   count, then 02 and a name, or 04 to 07, for each
    ======  ==========  ====================================================
    """

    TAG: ClassVar = 0x05

    variables: tuple[VariableAccess, ...]

    def encode(self) -> bytes:
        return bytes((self.TAG,)) + encode_variables(self.variables)

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        reader = Reader(octets).expect(cls.TAG, "APDU tag")
        apdu = cls(variables=read_variables(reader))
        reader.end()
        return apdu


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadBlock:
    """One block of a long answer: data-block-result, choice 02."""

    last_block: bool
    block_number: int
    raw_data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadBlockTaken:
    """A block of a long request was taken: block-number, choice 03."""

    block_number: int


ReadResult: TypeAlias = Data | DataAccessResult | ReadBlock | ReadBlockTaken
"""The value, choice 00; why there is none, choice 01; or a step of block transfer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadResponse:
    """What was read, in the order it was asked for: ReadResponse.

    ======  ========  ==============================================================
    octets  field     value
    ======  ========  ==============================================================
    1       tag       0C
    n       results   count, then 00 and Data, 01 and data-access-result, 02 and a
                      block, or 03 and a block number, for each
    ======  ========  ==============================================================
    """

    TAG: ClassVar = 0x0C

    results: tuple[ReadResult, ...]

    def encode(self) -> bytes:
        results = b"".join(map(_encode_result, self.results))
        return bytes((self.TAG,)) + encode_length(len(self.results)) + results

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        reader = Reader(octets).expect(cls.TAG, "APDU tag")
        count = reader.count("results", least_octets=2)
        results = tuple(_read_result(reader) for _ in range(count))
        reader.end()
        return cls(results=results)


def _encode_result(result: ReadResult) -> bytes:
    if isinstance(result, DataAccessResult):
        return bytes((0x01, result))
    if isinstance(result, ReadBlock):
        head = bytes((0x02, result.last_block)) + result.block_number.to_bytes(2)
        return head + encode_octet_string(result.raw_data)
    if isinstance(result, ReadBlockTaken):
        return b"\x03" + result.block_number.to_bytes(2)
    return b"\x00" + data.encode(result)


def _read_result(reader: Reader) -> ReadResult:
    match reader.unsigned(1, "read result choice"):
        case 0x00:
            return data.read(reader)
        case 0x01:
            return DataAccessResult(reader.unsigned(1, "data-access-error"))
        case 0x02:
            return ReadBlock(
                last_block=reader.boolean("last-block"),
                block_number=reader.unsigned(2, "block-number"),
                raw_data=reader.octet_string("raw-data"),
            )
        case 0x03:
            return ReadBlockTaken(block_number=reader.unsigned(2, "block-number"))
        case choice:
            problem = f"read result choice is {choice:02X}, not 00 to 03"
            raise reader.refusal(problem, back=1, clause=CLAUSE)
