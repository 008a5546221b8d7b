# SPDX-License-Identifier: Apache-2.0
"""What a server sends without being asked, by logical and by short names, by the octet of its tag.

DLMS UA 1000-2 Ed. 10, 9.3.10 to 9.3.12: EventNotification, DataNotification, InformationReport.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

from openami.dlms.apdu.ciphered import BY_PLAIN
from openami.dlms.apdu.notification import DataNotification, EventNotification
from openami.dlms.apdu.write import InformationReport

Unasked: TypeAlias = EventNotification | DataNotification | InformationReport
_Kind: TypeAlias = type[EventNotification] | type[DataNotification] | type[InformationReport]

_KINDS: Final[tuple[_Kind, ...]] = (EventNotification, DataNotification, InformationReport)

UNASKED: Final[Mapping[bytes, _Kind]] = MappingProxyType(
    {bytes((kind.TAG,)): kind for kind in _KINDS}
)
TOLD_BY_TAG: Final = frozenset(UNASKED) | {
    bytes((tag,))
    for kind in _KINDS
    if (row := BY_PLAIN.get(kind.TAG)) is not None
    for tag in (row.glo, row.ded)
}
"""Tags of these, plain and with the tags of glo- and ded-; the general kinds do not tell."""
