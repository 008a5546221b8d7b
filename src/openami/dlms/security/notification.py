# SPDX-License-Identifier: Apache-2.0
"""A DataNotification in general-ciphering that is named by the counter it travels under.

DLMS UA 1000-2 Ed. 10, 9.2.7.2 and 9.3.10.  The long-invoke-id is taken from the invocation counter,
which never repeats, and is the transaction-id too.
"""

from typing import Final

from openami.dlms.apdu.invocation import LongInvokeIdAndPriority
from openami.dlms.security.agreement import Parties
from openami.dlms.security.ciphering import Cipher
from openami.dlms.security.counters import CounterBlock
from openami.dlms.security.envelopes import GeneralTerms, seal_general

_INVOKE_ID: Final = slice(1, 5)


def seal_notification(
    cipher: Cipher, counters: CounterBlock, parties: Parties, apdu: bytes
) -> tuple[bytes, int]:
    """Return a notification as it travels, and the four octets of its long-invoke-id.

    Args:
        cipher: The global keys.
        counters: Of these keys.
        parties: U sends to V.
        apdu: The DataNotification; what stands in place of the long-invoke-id goes, and says
            whether a confirm is asked for.
    """
    counter = counters.next()
    most = LongInvokeIdAndPriority.LARGEST_ID
    stamped = bytearray(apdu)
    asked = LongInvokeIdAndPriority.from_bytes(stamped[_INVOKE_ID])
    invoke_id = LongInvokeIdAndPriority.of(counter & most, confirmed=asked.confirmed)
    stamped[_INVOKE_ID] = invoke_id.encode()
    terms = GeneralTerms(
        transaction_id=invoke_id.encode(), originator=parties.u, recipient=parties.v
    )
    return seal_general(cipher, counter, bytes(stamped), terms), int(invoke_id)
