# SPDX-License-Identifier: Apache-2.0
"""Service access points: who speaks on one physical connection (IEC 62056-47, 62056-46).

A SAP is a number of 16 bits.  The wrapper carries it as wPort; HDLC carries clients in 7 bits and
servers in 7 or 14.  Clients and servers number their SAPs apart, so 1 names both the client and
the server that manage.
"""

from typing import Final, NewType

Sap = NewType("Sap", int)

NO_STATION: Final = Sap(0x0000)

CLIENT_MANAGEMENT_PROCESS: Final = Sap(0x0001)
PUBLIC_CLIENT: Final = Sap(0x0010)

MANAGEMENT_LOGICAL_DEVICE: Final = Sap(0x0001)
ALL_STATION: Final = Sap(0x007F)  # every server of a wrapper connection
