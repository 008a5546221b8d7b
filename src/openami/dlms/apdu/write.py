# SPDX-License-Identifier: Apache-2.0
"""Write, unconfirmed write and information report of short name referencing.

DLMS UA 1000-2 Ed. 10, 9.3.15 to 9.3.17 (services) and 9.5 (abstract syntax, APDU tags 06, 0D, 16
and 18).
"""

from dataclasses import dataclass
from typing import ClassVar, Self, TypeAlias

from openami.dlms.apdu.codes import DataAccessResult
from openami.dlms.apdu.fields import encode_values, read_values
from openami.dlms.apdu.variables import CLAUSE, VariableAccess, encode_variables, read_variables
from openami.dlms.axdr import Reader, encode_length, encode_optional_octet_string
from openami.dlms.data import Data


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteRequest:
    """Write variables: WriteRequest.

    ======  ==========  ====================================================
    octets  field       value
    ======  ==========  ====================================================
    1       tag         06
    n       variables   count, then 02 and a name, or 04 to 07, for each
    n       values      count, then Data for each
    ======  ==========  ====================================================
    """

    TAG: ClassVar[int] = 0x06

    variables: tuple[VariableAccess, ...]
    values: tuple[Data, ...]

    def encode(self) -> bytes:
        return bytes((self.TAG,)) + encode_variables(self.variables) + encode_values(self.values)

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        reader = Reader(octets).expect(cls.TAG, "APDU tag")
        apdu = cls(variables=read_variables(reader), values=read_values(reader))
        reader.end()
        return apdu


@dataclass(frozen=True, slots=True, kw_only=True)
class UnconfirmedWriteRequest(WriteRequest):
    """Write variables without an answer: UnconfirmedWriteRequest, the same with tag 16."""

    TAG: ClassVar[int] = 0x16


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteBlockTaken:
    """A block of a long value was taken: block-number, choice 02."""

    block_number: int


WriteResult: TypeAlias = DataAccessResult | WriteBlockTaken
"""How one write ended; success is choice 00, any other data-access-error choice 01."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteResponse:
    """How each write ended: WriteResponse.

    ======  ========  ===================================================================
    octets  field     value
    ======  ========  ===================================================================
    1       tag       0D
    n       results   count, then 00, or 01 and data-access-error, or 02 and a block
                      number, for each
    ======  ========  ===================================================================
    """

    TAG: ClassVar = 0x0D

    results: tuple[WriteResult, ...]

    def encode(self) -> bytes:
        results = b"".join(map(_encode_result, self.results))
        return bytes((self.TAG,)) + encode_length(len(self.results)) + results

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        reader = Reader(octets).expect(cls.TAG, "APDU tag")
        results = tuple(_read_result(reader) for _ in range(reader.count("results")))
        reader.end()
        return cls(results=results)


def _encode_result(result: WriteResult) -> bytes:
    if isinstance(result, WriteBlockTaken):
        return b"\x02" + result.block_number.to_bytes(2)
    return b"\x00" if result is DataAccessResult.SUCCESS else bytes((0x01, result))


def _read_result(reader: Reader) -> WriteResult:
    match reader.unsigned(1, "write result choice"):
        case 0x00:
            return DataAccessResult.SUCCESS
        case 0x01:
            return DataAccessResult(reader.unsigned(1, "data-access-error"))
        case 0x02:
            return WriteBlockTaken(block_number=reader.unsigned(2, "block-number"))
        case choice:
            problem = f"write result choice is {choice:02X}, not 00 to 02"
            raise reader.refusal(problem, back=1, clause=CLAUSE)


@dataclass(frozen=True, slots=True, kw_only=True)
class InformationReport:
    """Variables reported by a server: InformationReportRequest.

    ======  =============  ======================================================
    octets  field          value
    ======  =============  ======================================================
    1       tag            18
    1 + n   current_time   00 none; 01, length, GeneralizedTime as text
    n       variables      count, then 02 and a name, or 04 to 07, for each
    n       values         count, then Data for each
    ======  =============  ======================================================
    """

    TAG: ClassVar = 0x18

    current_time: bytes | None = None
    variables: tuple[VariableAccess, ...]
    values: tuple[Data, ...]

    def encode(self) -> bytes:
        head = bytes((self.TAG,)) + encode_optional_octet_string(self.current_time)
        return head + encode_variables(self.variables) + encode_values(self.values)

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        reader = Reader(octets).expect(cls.TAG, "APDU tag")
        apdu = cls(
            current_time=reader.optional_octet_string("current-time"),
            variables=read_variables(reader),
            values=read_values(reader),
        )
        reader.end()
        return apdu
