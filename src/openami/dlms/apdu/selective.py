# SPDX-License-Identifier: Apache-2.0
"""Selective access to the buffer of a profile generic (IEC 62056-6-2, 4.3.6).

Selector 1 asks for the rows whose restricting column lies in a range, selector 2 for rows by
their number.
"""

from dataclasses import dataclass
from typing import ClassVar, Self

from openami.dlms.apdu.fields import SelectiveAccess
from openami.dlms.data import (
    Array,
    Data,
    DoubleLongUnsigned,
    FixedInteger,
    Integer,
    LongUnsigned,
    OctetString,
    Structure,
)
from openami.dlms.obis import Obis


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureObject:
    """One column of a profile: capture_object_definition.

    `data_index` 0 is the whole attribute, n its n-th element.
    """

    class_id: int
    instance_id: Obis
    attribute_id: int
    data_index: int = 0

    def to_data(self) -> Structure:
        """Return the structure that stands for this column."""
        return Structure(
            (
                LongUnsigned(self.class_id),
                OctetString(self.instance_id.encode()),
                Integer(self.attribute_id),
                LongUnsigned(self.data_index),
            )
        )

    @classmethod
    def from_data(cls, value: Data) -> Self:
        """Read the structure back.

        Raises:
            ValueError: It is not a structure of class, logical name, attribute and index, or one
                of its numbers does not fit.
        """
        match value:
            case Structure(
                (
                    FixedInteger() as class_id,
                    bytes() as name,
                    FixedInteger() as attribute_id,
                    FixedInteger() as data_index,
                )
            ):
                return cls(
                    class_id=int(LongUnsigned(class_id)),
                    instance_id=Obis.decode(name),
                    attribute_id=int(Integer(attribute_id)),
                    data_index=int(LongUnsigned(data_index)),
                )
        raise ValueError(f"a column is {{class, logical name, attribute, index}}, not {value!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ByRange:
    """Rows whose `restricting_object` lies between two values, both included: range_descriptor.

    Attributes:
        restricting_object: The column that is compared, as a rule the clock.
        from_value: The oldest or smallest value; for the clock an `OctetString` of 12 octets.
        to_value: The newest or largest value.
        selected_columns: The columns wanted; none means all.
    """

    SELECTOR: ClassVar = 1

    restricting_object: CaptureObject
    from_value: Data
    to_value: Data
    selected_columns: tuple[CaptureObject, ...] = ()

    def access(self) -> SelectiveAccess:
        """Return the selective access that travels."""
        columns = Array(column.to_data() for column in self.selected_columns)
        parameters = (self.restricting_object.to_data(), self.from_value, self.to_value, columns)
        return SelectiveAccess(selector=self.SELECTOR, parameters=Structure(parameters))

    @classmethod
    def from_access(cls, access: SelectiveAccess) -> Self:
        """Read a selective access whose selector is 1.

        Raises:
            ValueError: The parameters are no range_descriptor.
        """
        match access:
            case SelectiveAccess(
                selector=cls.SELECTOR,
                parameters=Structure((restricting, from_value, to_value, Array() as columns)),
            ):
                return cls(
                    restricting_object=CaptureObject.from_data(restricting),
                    from_value=from_value,
                    to_value=to_value,
                    selected_columns=tuple(CaptureObject.from_data(each) for each in columns),
                )
        raise ValueError(
            "selector 1 takes {restricting object, from, to, array of columns},"
            f" not selector {access.selector} with {access.parameters!r}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ByEntry:
    """Rows by number, and columns by number: entry_descriptor.

    Attributes:
        from_entry: First row; 1 is the oldest.
        to_entry: Last row; 0 is the newest there is.
        from_selected_value: First column; 1 is the leftmost.
        to_selected_value: Last column; 0 is the rightmost there is.
    """

    SELECTOR: ClassVar = 2

    from_entry: int
    to_entry: int = 0
    from_selected_value: int = 1
    to_selected_value: int = 0

    def access(self) -> SelectiveAccess:
        """Return the selective access that travels."""
        parameters = (
            DoubleLongUnsigned(self.from_entry),
            DoubleLongUnsigned(self.to_entry),
            LongUnsigned(self.from_selected_value),
            LongUnsigned(self.to_selected_value),
        )
        return SelectiveAccess(selector=self.SELECTOR, parameters=Structure(parameters))

    @classmethod
    def from_access(cls, access: SelectiveAccess) -> Self:
        """Read a selective access whose selector is 2.

        Raises:
            ValueError: The parameters are no entry_descriptor, or a number does not fit.
        """
        match access:
            case SelectiveAccess(
                selector=cls.SELECTOR,
                parameters=Structure(
                    (
                        FixedInteger() as from_entry,
                        FixedInteger() as to_entry,
                        FixedInteger() as from_value,
                        FixedInteger() as to_value,
                    )
                ),
            ):
                return cls(
                    from_entry=int(DoubleLongUnsigned(from_entry)),
                    to_entry=int(DoubleLongUnsigned(to_entry)),
                    from_selected_value=int(LongUnsigned(from_value)),
                    to_selected_value=int(LongUnsigned(to_value)),
                )
        raise ValueError(
            "selector 2 takes {from entry, to entry, from value, to value},"
            f" not selector {access.selector} with {access.parameters!r}"
        )
