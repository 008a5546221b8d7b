# SPDX-License-Identifier: Apache-2.0
"""How short name services say which variable they mean: Variable-Access-Specification.

DLMS UA 1000-2 Ed. 10, 9.3.12 and 9.5.  A short name is 16 bits: attribute k of an object with base
name b is b + 8 * (k - 1).  `read` and `write` use what is declared here.
"""

from dataclasses import dataclass
from typing import ClassVar, Final, TypeAlias

from openami.dlms import data
from openami.dlms.axdr import Reader, encode_length, encode_octet_string
from openami.dlms.data import Data

CLAUSE: Final = "IEC 62056-5-3, 9.5, Variable-Access-Specification"


@dataclass(frozen=True, slots=True, kw_only=True)
class VariableName:
    """A whole attribute: variable-name, choice 02."""

    CHOICE: ClassVar = 0x02

    name: int

    def encode(self) -> bytes:
        return bytes((self.CHOICE,)) + self.name.to_bytes(2)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterizedAccess:
    """A part of an attribute, or a method with its parameter: parameterized-access, choice 04."""

    CHOICE: ClassVar = 0x04

    name: int
    selector: int
    parameter: Data

    def encode(self) -> bytes:
        head = bytes((self.CHOICE,)) + self.name.to_bytes(2) + bytes((self.selector,))
        return head + data.encode(self.parameter)


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockNumberAccess:
    """The next block of a long answer: block-number-access, choice 05."""

    CHOICE: ClassVar = 0x05

    block_number: int

    def encode(self) -> bytes:
        return bytes((self.CHOICE,)) + self.block_number.to_bytes(2)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadDataBlockAccess:
    """One block of a long request: read-data-block-access, choice 06."""

    CHOICE: ClassVar = 0x06

    last_block: bool
    block_number: int
    raw_data: bytes

    def encode(self) -> bytes:
        head = bytes((self.CHOICE, self.last_block)) + self.block_number.to_bytes(2)
        return head + encode_octet_string(self.raw_data)


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteDataBlockAccess:
    """Which block of a long value the data of a write are: write-data-block-access, choice 07."""

    CHOICE: ClassVar = 0x07

    last_block: bool
    block_number: int

    def encode(self) -> bytes:
        return bytes((self.CHOICE, self.last_block)) + self.block_number.to_bytes(2)


VariableAccess: TypeAlias = (
    VariableName
    | ParameterizedAccess
    | BlockNumberAccess
    | ReadDataBlockAccess
    | WriteDataBlockAccess
)


def encode_variables(variables: tuple[VariableAccess, ...]) -> bytes:
    """Return a SEQUENCE OF Variable-Access-Specification: its count, then each."""
    return encode_length(len(variables)) + b"".join(variable.encode() for variable in variables)


def read_variables(reader: Reader) -> tuple[VariableAccess, ...]:
    """Take a SEQUENCE OF Variable-Access-Specification off the front of `reader`."""
    count = reader.count("variables", least_octets=3)
    return tuple(_read_variable(reader) for _ in range(count))


def _read_variable(reader: Reader) -> VariableAccess:
    match reader.unsigned(1, "variable-access-specification"):
        case VariableName.CHOICE:
            return VariableName(name=reader.unsigned(2, "variable-name"))
        case ParameterizedAccess.CHOICE:
            return ParameterizedAccess(
                name=reader.unsigned(2, "variable-name"),
                selector=reader.unsigned(1, "selector"),
                parameter=data.read(reader),
            )
        case BlockNumberAccess.CHOICE:
            return BlockNumberAccess(block_number=reader.unsigned(2, "block-number"))
        case ReadDataBlockAccess.CHOICE:
            return ReadDataBlockAccess(
                last_block=reader.boolean("last-block"),
                block_number=reader.unsigned(2, "block-number"),
                raw_data=reader.octet_string("raw-data"),
            )
        case WriteDataBlockAccess.CHOICE:
            return WriteDataBlockAccess(
                last_block=reader.boolean("last-block"),
                block_number=reader.unsigned(2, "block-number"),
            )
        case choice:
            problem = f"variable-access-specification is {choice:02X}, not 02 or 04 to 07"
            raise reader.refusal(problem, back=1, clause=CLAUSE)
