# SPDX-License-Identifier: Apache-2.0
"""Notifications outside an association: sealed by a device, opened by whom they are for.

DLMS UA 1000-2 Ed. 10, 9.3.10 and 9.3.11.  Inside an association `ServerConnection.notify` protects
what goes out and `ClientAssociation.unasked` opens it, in the order of counters.  A notification
that waits in journals may come behind a later one, so no such order can be asked of it: `Sender`
opens it and tells its `NotificationIdentity`, and whoever stores it accepts each identity once, in
any order, in the transaction that stores it.
"""

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from openami.cosem.device import Ciphering
from openami.dlms.apdu.block import Assembler, GeneralBlockTransfer, cut
from openami.dlms.apdu.ciphered import (
    BY_GLO,
    GENERAL_CIPHERING,
    GENERAL_GLO_CIPHERING,
    GeneralCiphering,
    GeneralGloCiphering,
    ServiceCiphering,
)
from openami.dlms.apdu.notification import (
    NOTIFICATIONS,
    DataNotification,
    DataNotificationConfirm,
    Notification,
)
from openami.dlms.block_transfer import data_octets
from openami.dlms.errors import DecodeError, SecurityError
from openami.dlms.security.ciphering import Cipher
from openami.dlms.security.counters import InvocationCounter, NotificationIdentity
from openami.dlms.security.credentials import Credentials
from openami.dlms.security.envelopes import (
    UNPROTECTED,
    Envelope,
    GeneralTerms,
    Protection,
    decode_envelope,
    open_envelope,
    require,
    seal_general,
)
from openami.dlms.security.suites import AUTHENTICATED, ENCRYPTED

CLAUSE: Final = "DLMS UA 1000-2 Ed. 10, 9.3.10"


class Notice(NamedTuple):
    """A notification that was opened."""

    apdu: Notification
    protection: Protection
    identity: NotificationIdentity | None
    """What makes it the one it is; None where nothing protects it, and anybody may repeat it."""


def seal(apdu: Notification, ciphering: Ciphering, *, originator: bytes, recipient: bytes) -> bytes:
    """Return a notification in general-ciphering, under the global key of a client.

    A data notification's long-invoke-id is the transaction-id, so that whoever carries it can tell
    which one it is.

    Args:
        apdu: The notification.
        ciphering: The keys and counters that the device shares with the client.
        originator: System title of the device.
        recipient: System title of the client.

    Raises:
        SecurityError: No invocation counter is left.
    """
    counter = ciphering.counters.next()
    transaction_id = counter.to_bytes(8)
    if isinstance(apdu, DataNotification):
        transaction_id = apdu.long_invoke_id_and_priority.encode()
    terms = GeneralTerms(transaction_id=transaction_id, originator=originator, recipient=recipient)
    return seal_general(ciphering.cipher, counter, apdu.encode(), terms)


def blocks_of(octets: bytes, pdu_octets: int) -> list[bytes]:
    """Return a sealed notification as APDUs of at most `pdu_octets`; nobody acknowledges blocks."""
    if len(octets) <= pdu_octets:
        return [octets]
    return [block.encode() for block in cut(octets, data_octets(pdu_octets))]


def confirmation_of(apdu: DataNotification) -> DataNotificationConfirm:
    """Return what tells the device that its data notification is safe (newer editions)."""
    return DataNotificationConfirm(long_invoke_id_and_priority=apdu.long_invoke_id_and_priority)


@dataclass(slots=True, kw_only=True)
class Sender:
    """A device whose notifications are opened here.

    Attributes:
        cipher: The global keys that we share with it.
        title: Its system title.
        own_title: Ours; a notification for somebody else is refused.
        key_epoch: Counts its keys; counters start anew with each.
        required: Bits of the security control octet that must be set; with 0 what is not
            protected at all is taken too.
        credentials: For keys that travel with an APDU.
    """

    cipher: Cipher = field(repr=False)
    title: bytes
    own_title: bytes = b""
    key_epoch: int = 0
    required: int = AUTHENTICATED | ENCRYPTED
    credentials: Credentials | None = field(default=None, repr=False)
    _assembler: Assembler = field(default_factory=Assembler, repr=False)

    def open(self, octets: bytes) -> Notice | None:
        """Open what arrived; None for a block that is not the last.

        Raises:
            DecodeError: It is no notification, or not well formed.
            RemoteProtocolError: A block is missing.
            SecurityError: It is by or for somebody else, or its protection is wrong or too weak.
        """
        if octets[:1] == bytes((GeneralBlockTransfer.TAG,)):
            whole = self._assembler.take(GeneralBlockTransfer.decode(octets))
            if whole is None:
                return None
            octets = whole
        apdu, protection = self._unprotected(octets)
        decoder = NOTIFICATIONS.get(apdu[:1])
        if decoder is None:
            found = apdu[:1].hex().upper() or "nothing"
            raise DecodeError(f"{found} is no tag of a notification", octets, 0, CLAUSE)
        identity = None
        if protection.envelope is not Envelope.NONE:
            counter = InvocationCounter(protection.invocation_counter)
            identity = NotificationIdentity(self.title, self.key_epoch, counter)
        return Notice(decoder.decode(apdu), protection, identity)

    def _unprotected(self, octets: bytes) -> tuple[bytes, Protection]:
        tag = octets[0] if octets else -1
        if tag in {GENERAL_GLO_CIPHERING, GENERAL_CIPHERING}:
            envelope = decode_envelope(octets)
            self._check_titles(envelope)
            return open_envelope(
                self.cipher, envelope, required=self.required, credentials=self.credentials
            )
        if tag in BY_GLO:
            sealed = ServiceCiphering.decode(octets).ciphered_service
            control, counter, apdu = self.cipher.open(sealed, self.title)
            require(control, self.required, f"APDU with invocation counter {counter}")
            if apdu[:1] != bytes((BY_GLO[tag].plain,)):
                found = apdu[:1].hex().upper() or "nothing"
                raise SecurityError(f"it holds an APDU with tag {found}", f"tag {tag:02X}", CLAUSE)
            return apdu, Protection(control, Envelope.GLO, self.title, counter)
        require(0, self.required, "a notification")
        return octets, UNPROTECTED

    def _check_titles(self, envelope: GeneralGloCiphering | GeneralCiphering) -> None:
        if isinstance(envelope, GeneralCiphering):
            title, recipient = envelope.originator_system_title, envelope.recipient_system_title
        else:
            title, recipient = envelope.system_title or self.title, b""
        if title != self.title:
            author, known = title.hex().upper(), self.title.hex().upper()
            raise SecurityError(f"it is by {author}, not by {known}", "notification", CLAUSE)
        if recipient not in {b"", self.own_title}:
            wanted = recipient.hex().upper()
            raise SecurityError(f"it is for {wanted}, not for us", "notification", CLAUSE)
