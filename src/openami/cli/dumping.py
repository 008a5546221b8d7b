# SPDX-License-Identifier: Apache-2.0
"""Reading everything that a client can see of a meter, attribute by attribute."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from openami.cli.connecting import Work
from openami.cli.places import Objects
from openami.cli.read_options import MECHANISMS
from openami.cosem.access_modes import access_of
from openami.cosem.classes.access_control import (
    CURRENT_ASSOCIATION,
    AccessRights,
    AssociationLn,
    AttributeAccess,
    ObjectListElement,
    SapAssignment,
)
from openami.cosem.classes.measurement import ProfileGeneric
from openami.cosem.dump import (
    Dump,
    DumpedAttribute,
    DumpedMethod,
    DumpedObject,
    is_secret,
)
from openami.cosem.literals import text_or_hex
from openami.cosem.model import Access
from openami.cosem.refusals import AccessError
from openami.dlms import data as axdr_data
from openami.dlms.apdu.selective import ByEntry
from openami.dlms.data import Array, FixedInteger
from openami.dlms.errors import DlmsError
from openami.dlms.obis import Obis
from openami.runtime.errors import UserError

SAP_ASSIGNMENT: Final = Obis(0, 0, 41, 0, 0, 255)
ENTRIES_IN_USE: Final = 7
NO_ROWS: Final = b"\x01\x00"
NOT_ASKED: Final = "not asked: it is a secret"
ITSELF: Final = "the list of these objects"
NAMES: Final = {mechanism: name for name, mechanism in MECHANISMS.items()}

Said = Callable[[int, int, str], None]
"""Told how many of how many attributes are read, and which is next."""


def _silent(_done: int, _total: int, _what: str) -> None:
    """Tell nobody."""


@dataclass(slots=True)
class Dumper:
    """Reads a meter.

    Attributes:
        work: The open association.
        rows: How many of the newest rows of each profile are read.
        said: Hears of progress.
        ended: Why not everything was asked: Ctrl-C, or the connection; empty if everything was.
    """

    work: Work
    rows: int = 10
    said: Said = _silent
    ended: str = ""
    _done: int = 0
    _total: int = field(default=0, init=False)

    async def dump(self, taken: str) -> Dump:
        """Read the object list and every attribute that may be read.

        Raises:
            DlmsError: The meter hides its object list, or the association breaks.
        """
        client = self.work.session.client
        parameters = self.work.meter.parameters
        listed = await self.work.run(Objects(client, self.work.meter.client_name).elements())
        version = next((e.version for e in listed if e.logical_name == CURRENT_ASSOCIATION), 1)
        self._total = sum(len(element.access_rights.attributes) for element in listed)
        objects = [await self._object(element, version) for element in listed]
        return Dump(
            client=parameters.client_sap,
            server=parameters.server_sap,
            mechanism=NAMES[parameters.mechanism],
            association_version=version,
            system_title=client.context.server_title,
            taken=taken,
            devices=await self.devices(),
            objects=tuple(objects),
        )

    async def devices(self) -> dict[int, str]:
        """Return the logical devices that the SAP assignment names."""
        try:
            found = await self.work.run(
                self.work.session.client.get(SapAssignment.sap_assignment_list, at=SAP_ASSIGNMENT)
            )
        except (DlmsError, UserError):
            return {}
        return {each.sap: text_or_hex(each.logical_device_name) for each in found}

    async def _object(self, element: ObjectListElement, version: int) -> DumpedObject:
        rights: AccessRights = element.access_rights
        attributes: list[DumpedAttribute] = []
        for row in rights.attributes:
            attributes.append(await self._attribute(element, row, version))
            self._done += 1
        return DumpedObject(
            class_id=element.class_id,
            version=element.version,
            obis=element.logical_name,
            attributes=tuple(attributes),
            methods=tuple(
                DumpedMethod(index=row.method_id, mode=row.access_mode) for row in rights.methods
            ),
        )

    async def _attribute(
        self, element: ObjectListElement, row: AttributeAccess, version: int
    ) -> DumpedAttribute:
        index, mode = row.attribute_id, row.access_mode
        selectors = tuple(
            int(each)
            for each in (row.access_selectors if isinstance(row.access_selectors, Array) else ())
            if isinstance(each, FixedInteger)
        )
        octets, refused = None, ""
        own = element.logical_name == CURRENT_ASSOCIATION
        if not access_of(mode, version) & Access.READ:
            refused = "may not be read"
        elif is_secret(element.class_id, index):
            refused = NOT_ASKED
        elif own and index == AssociationLn.object_list.index:
            refused = ITSELF
        elif self.work.stop.asked or self.ended:
            self.ended = self.ended or "interrupted"
            refused = f"not asked: {self.ended}"
        else:
            self.said(self._done, self._total, f"{element.logical_name}:{index}")
            octets, refused = await self._value(element, index, selectors)
        return DumpedAttribute(
            index=index, mode=mode, selectors=selectors, octets=octets, refused=refused
        )

    async def _value(
        self, element: ObjectListElement, index: int, selectors: tuple[int, ...]
    ) -> tuple[bytes | None, str]:
        """Return an encoded value, or why there is none."""
        try:
            octets = await self._read(element, index, selectors)
            axdr_data.decode(octets)
        except AccessError as error:
            return None, str(error.result)
        except (DlmsError, UserError) as error:
            if not self.work.goes_on(error):
                self.ended = "interrupted" if self.work.stop.asked else str(error)
            return None, str(error)
        return octets, ""

    async def _read(
        self, element: ObjectListElement, index: int, selectors: tuple[int, ...]
    ) -> bytes:
        client, run = self.work.session.client, self.work.run
        class_id, at = element.class_id, element.logical_name
        is_buffer = class_id == ProfileGeneric.class_id and index == ProfileGeneric.buffer.index
        if not is_buffer:
            return await run(client.get_raw(class_id, at, index))
        in_use = await run(client.get_data(class_id, at, ENTRIES_IN_USE))
        count = int(in_use) if isinstance(in_use, FixedInteger) else 0
        if not self.rows:
            return NO_ROWS
        if count <= self.rows or (selectors and ByEntry.SELECTOR not in selectors):
            return await run(client.get_raw(class_id, at, index))
        newest = ByEntry(from_entry=count - self.rows + 1, to_entry=count)
        return await run(client.get_raw(class_id, at, index, selection=newest))
