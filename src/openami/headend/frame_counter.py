# SPDX-License-Identifier: Apache-2.0
"""The invocation counter that a meter expects, as the public client may read it.

The object tells the last counter accepted or the next one expected, as the model has it: one
above what it tells suits both.  Nothing protects the answer; `Associations` bounds what it believes
and never counts back.
"""

import os
from typing import Final

from openami.cosem.classes.measurement import Data
from openami.cosem.client import Client, ClientParameters
from openami.dlms.hls import Mechanism
from openami.dlms.obis import Obis
from openami.dlms.sap import PUBLIC_CLIENT
from openami.exchange.uplink import MANAGEMENT_SERVER
from openami.transport.session import DlmsSession

PARAMETERS: Final = ClientParameters(
    client_sap=PUBLIC_CLIENT, server_sap=MANAGEMENT_SERVER, mechanism=Mechanism.LOWEST
)


async def read_frame_counter(session: DlmsSession, at: Obis) -> int | None:
    """Return the next invocation counter to use; None where the meter has no number there.

    `at` is usually 0.0.43.1.0.255; where a model has it elsewhere, its companion profile says so.

    Raises:
        DlmsError: The meter refuses the public client, or the object.
        WireError: It does not answer.
    """
    client = Client(PARAMETERS, entropy=os.urandom)
    await session.run(client.associate())
    value = await session.run(client.get(Data.value, at=at))
    await session.run(client.release())
    return int(value) + 1 if isinstance(value, int) and not isinstance(value, bool) else None
