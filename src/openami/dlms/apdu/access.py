# SPDX-License-Identifier: Apache-2.0
"""ACCESS service: several reads, writes and methods in one exchange.

DLMS UA 1000-2 Ed. 10, 9.3.9 (service) and 9.5 (abstract syntax, APDU tags D9 and DA).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Self, TypeAlias

from openami.dlms.apdu.codes import ActionResult, DataAccessResult
from openami.dlms.apdu.fields import (
    CLAUSE,
    AttributeDescriptor,
    MethodDescriptor,
    SelectiveAccess,
    encode_values,
    read_date_time,
    read_values,
)
from openami.dlms.apdu.invocation import LongInvokeIdAndPriority
from openami.dlms.axdr import Reader, encode_length, encode_octet_string
from openami.dlms.data import Data

_GET: Final = 0x01
_SET: Final = 0x02
_ACTION: Final = 0x03
_GET_WITH_SELECTION: Final = 0x04
_SET_WITH_SELECTION: Final = 0x05


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessGet:
    """Read an attribute: Access-Request-Get or Access-Request-Get-With-Selection."""

    attribute: AttributeDescriptor
    access: SelectiveAccess | None = None

    def encode(self) -> bytes:
        if self.access is None:
            return bytes((_GET,)) + self.attribute.encode()
        return bytes((_GET_WITH_SELECTION,)) + self.attribute.encode() + self.access.encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessSet:
    """Write an attribute: Access-Request-Set or Access-Request-Set-With-Selection."""

    attribute: AttributeDescriptor
    access: SelectiveAccess | None = None

    def encode(self) -> bytes:
        if self.access is None:
            return bytes((_SET,)) + self.attribute.encode()
        return bytes((_SET_WITH_SELECTION,)) + self.attribute.encode() + self.access.encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessAction:
    """Invoke a method: Access-Request-Action."""

    method: MethodDescriptor

    def encode(self) -> bytes:
        return bytes((_ACTION,)) + self.method.encode()


AccessSpecification: TypeAlias = AccessGet | AccessSet | AccessAction


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessOutcome:
    """How one part ended: Access-Response-Specification.

    `result` is a data-access-result after get and set, an action-result after action.
    """

    choice: int
    """1 get, 2 set, 3 action."""
    result: DataAccessResult | ActionResult

    def encode(self) -> bytes:
        return bytes((self.choice, self.result))

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Take one outcome off the front of `reader`."""
        choice = reader.unsigned(1, "access-response-specification")
        if choice not in {_GET, _SET, _ACTION}:
            problem = f"access-response-specification is {choice:02X}, not 01 to 03"
            raise reader.refusal(problem, back=1, clause=CLAUSE)
        kind = ActionResult if choice == _ACTION else DataAccessResult
        return cls(choice=choice, result=kind(reader.unsigned(1, "result")))


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRequest:
    """Ask for several things at once: Access-Request.

    ======  ===========================  ==================================================
    octets  field                        value
    ======  ===========================  ==================================================
    1       tag                          D9
    4       long_invoke_id_and_priority  bits 23..0 id, 28 self-descriptive, 29 break on
                                         error, 30 confirmed, 31 high priority
    1 + n   date_time                    length 0 or 12, then the octets
    n       specifications               count, then 01 to 05 and descriptors for each
    n       values                       count, then Data for each; null-data for a get
    ======  ===========================  ==================================================
    """

    TAG: ClassVar = 0xD9

    long_invoke_id_and_priority: LongInvokeIdAndPriority
    date_time: bytes = b""
    specifications: tuple[AccessSpecification, ...]
    values: tuple[Data, ...]

    def encode(self) -> bytes:
        head = bytes((self.TAG,)) + self.long_invoke_id_and_priority.to_bytes(4)
        head += encode_octet_string(self.date_time)
        return head + _encode_specifications(self.specifications) + encode_values(self.values)

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        reader = Reader(octets).expect(cls.TAG, "APDU tag")
        apdu = cls(
            long_invoke_id_and_priority=LongInvokeIdAndPriority.read(reader),
            date_time=read_date_time(reader),
            specifications=_read_specifications(reader),
            values=read_values(reader),
        )
        reader.end()
        return apdu


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessResponse:
    """What became of each part: Access-Response.

    ======  ===========================  ==============================================
    octets  field                        value
    ======  ===========================  ==============================================
    1       tag                          DA
    4       long_invoke_id_and_priority  as in the request
    1 + n   date_time                    length 0 or 12, then the octets
    1 + n   specifications               00 none; 01 and those of the request
    n       values                       count, then Data for each
    n       outcomes                     count, then 01 to 03 and the result for each
    ======  ===========================  ==============================================
    """

    TAG: ClassVar = 0xDA

    long_invoke_id_and_priority: LongInvokeIdAndPriority
    date_time: bytes = b""
    specifications: tuple[AccessSpecification, ...] | None = None
    values: tuple[Data, ...]
    outcomes: tuple[AccessOutcome, ...]

    def encode(self) -> bytes:
        return self._head() + encode_values(self.values) + self._tail()

    def encode_with(self, values: Sequence[bytes]) -> bytes:
        """Return the octets with `values`, which are encoded already, in the place of its own."""
        return self._head() + encode_length(len(values)) + b"".join(values) + self._tail()

    def _head(self) -> bytes:
        head = bytes((self.TAG,)) + self.long_invoke_id_and_priority.to_bytes(4)
        head += encode_octet_string(self.date_time)
        if self.specifications is None:
            return head + b"\x00"
        return head + b"\x01" + _encode_specifications(self.specifications)

    def _tail(self) -> bytes:
        outcomes = b"".join(outcome.encode() for outcome in self.outcomes)
        return encode_length(len(self.outcomes)) + outcomes

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        reader = Reader(octets).expect(cls.TAG, "APDU tag")
        invoke_id = LongInvokeIdAndPriority.read(reader)
        date_time = read_date_time(reader)
        specifications = None
        if reader.present("presence of specifications"):
            specifications = _read_specifications(reader)
        values = read_values(reader)
        count = reader.count("outcomes", least_octets=2)
        outcomes = tuple(AccessOutcome.read(reader) for _ in range(count))
        reader.end()
        return cls(
            long_invoke_id_and_priority=invoke_id,
            date_time=date_time,
            specifications=specifications,
            values=values,
            outcomes=outcomes,
        )


def _encode_specifications(specifications: tuple[AccessSpecification, ...]) -> bytes:
    parts = b"".join(specification.encode() for specification in specifications)
    return encode_length(len(specifications)) + parts


def _read_specifications(reader: Reader) -> tuple[AccessSpecification, ...]:
    count = reader.count("specifications", least_octets=10)
    return tuple(_read_specification(reader) for _ in range(count))


def _read_specification(reader: Reader) -> AccessSpecification:
    choice = reader.unsigned(1, "access-request-specification")
    if choice == _ACTION:
        return AccessAction(method=MethodDescriptor.read(reader))
    if choice not in {_GET, _SET, _GET_WITH_SELECTION, _SET_WITH_SELECTION}:
        problem = f"access-request-specification is {choice:02X}, not 01 to 05"
        raise reader.refusal(problem, back=1, clause=CLAUSE)
    kind = AccessGet if choice in {_GET, _GET_WITH_SELECTION} else AccessSet
    attribute = AttributeDescriptor.read(reader)
    selected = choice in {_GET_WITH_SELECTION, _SET_WITH_SELECTION}
    return kind(attribute=attribute, access=SelectiveAccess.read(reader) if selected else None)
