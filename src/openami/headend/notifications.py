# SPDX-License-Identifier: Apache-2.0
"""Pushes: opened, checked for their origin, stored once, then confirmed.

A push may have waited for days in a journal while the head-end spoke with its meter, so no order
of counters can be asked of it: (title, key epoch, invocation counter) is remembered in the
transaction that stores it, and each is accepted once, in any order.  The strict order of counters
holds inside associations and is no business of this module.

A push is rows of the load profile, which go into the inbox, or an event that the meter tells at
once (`exchange.notice`, `exchange.alarms`), which goes into the event log and into what is known
of supply and of alarms.

What cannot be opened, or does not belong, is kept in `rejected` with its reason and confirmed all
the same: one bad message must not block a journal for ever.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from openami.cosem.classes.push import PushMessage
from openami.dlms.apdu.ciphered import GeneralCiphering
from openami.dlms.apdu.get import GetResponseNormal
from openami.dlms.errors import DlmsError, SecurityError
from openami.dlms.security.envelopes import decode_envelope, open_envelope
from openami.exchange.alarms import AlarmNotice, is_alarm
from openami.exchange.notice import EventNotice, is_notice
from openami.exchange.orders import is_sealed
from openami.headend.directory import Directory
from openami.headend.noticed import Noticed, picture_of, store_noticed
from openami.runtime.clock import MICROSECONDS, real_us
from openami.runtime.errors import UserError
from openami.store import inbox
from openami.store.accepted import Origin
from openami.store.database import Database, transaction
from openami.store.inbox import Message, Rejected
from openami.store.keys import KeyState
from openami.store.registry import Meter

log = logging.getLogger(__name__)

CLAUSE: Final = "docs/architecture.md, 5"
INVOKE_ID: Final = slice(1, 5)  # of a DataNotification


class Opened(NamedTuple):
    """A push that one of a meter's key epochs has opened."""

    epoch: int
    state: KeyState
    invocation_counter: int
    plain: bytes


class Arrival(NamedTuple):
    """What is to be stored: a message with what makes it unique, or a rejected one."""

    message: "Message | Rejected | Noticed"
    origin: Origin | None = None


def store_arrivals(
    database: Database, arrivals: Sequence[Arrival], *, publish: bool = False
) -> list[bool]:
    """Store a group in one transaction; tell for each whether it is new."""
    with transaction(database) as connection:
        flags = iter(
            inbox.put(
                connection,
                [(a.message, a.origin) for a in arrivals if isinstance(a.message, Message)],
            )
        )
        noticed = [(a.message, a.origin) for a in arrivals if isinstance(a.message, Noticed)]
        news = iter(store_noticed(connection, noticed, publish=publish))
        inbox.reject(connection, [a.message for a in arrivals if isinstance(a.message, Rejected)])
        return [
            next(flags)
            if isinstance(a.message, Message)
            else next(news)
            if isinstance(a.message, Noticed)
            else True
            for a in arrivals
        ]


class Notifications:
    """Takes pushes off the uplinks.

    Attributes:
        accepted: How many were stored.
        repeated: How many were known already.
        rejected: How many could not be used.
    """

    def __init__(
        self,
        directory: Directory,
        own_title: bytes,
        store: Callable[[Arrival, Callable[[bool | None], None]], bool],
        now_us: Callable[[], int],
    ) -> None:
        """Bind the ports.

        Args:
            directory: Meters and keys.
            own_title: The head-end's; pushes are sealed for it.
            store: Queues an arrival; calls back with whether it was new, or None if it could not
                be stored; False when too much waits already.
            now_us: The calendar.
        """
        self.accepted = self.repeated = self.rejected = 0
        self.on_push: Callable[[Meter], None] = lambda _meter: None
        self.on_collected: Callable[[Meter], None] = lambda _meter: None
        self._directory = directory
        self._own_title = own_title
        self._store = store
        self._now_us = now_us

    def receive(
        self, concentrator: bytes, title: bytes, apdu: bytes, confirm: Callable[[int], None]
    ) -> None:
        """Take a push that `concentrator` carried for the meter `title`.

        Args:
            concentrator: Title in the certificate of the uplink.
            title: Meter in the gateway header.
            apdu: As the meter sent it.
            confirm: Called with the long-invoke-id once the push is stored for good.
        """
        invoke_id = transaction_of(apdu)
        try:
            arrival = self._open(concentrator, title, apdu)
        except UserError as error:  # keys or registry are out of reach: the push is not to blame
            log.error("meter %s: push left with its concentrator: %s", title.hex().upper(), error)  # noqa: TRY400
            return
        except DlmsError as error:
            log.warning("meter %s: push rejected: %s", title.hex().upper(), error)
            arrival = Arrival(
                Rejected(
                    title=title,
                    concentrator=concentrator,
                    received_us=self._now_us(),
                    reason=str(error),
                    octets=apdu,
                )
            )

        def stored(new: bool | None) -> None:  # noqa: FBT001  the port's signature
            self._count(arrival, new=new)
            if new is not None and invoke_id is not None:
                confirm(invoke_id)

        self._store(arrival, stored)  # where too much waits, the concentrator sends it again

    def _open(self, concentrator: bytes, title: bytes, apdu: bytes) -> Arrival:
        """Return what a sound push stores."""
        envelope = decode_envelope(apdu)
        if not isinstance(envelope, GeneralCiphering):
            raise _refused("a push travels as general-ciphering", title)
        if envelope.originator_system_title != title:
            author = envelope.originator_system_title.hex().upper()
            raise _refused(f"it is by {author}, the gateway header says otherwise", title)
        if envelope.recipient_system_title != self._own_title:
            wanted = envelope.recipient_system_title.hex().upper()
            raise _refused(f"it is for {wanted or 'nobody'}, not for this head-end", title)
        meter = self._directory.by_title(title)
        if meter is None:
            raise _refused("the registry has no such meter; import its shipment", title)
        if meter.concentrator != concentrator:
            place = self._directory.place(concentrator)
            raise _refused(f"it came through concentrator {place}, which is not the meter's", title)
        epoch, origin, plain = self._decipher(meter, envelope)
        if is_alarm(plain) or is_notice(plain):
            return self._noticed(meter, envelope.transaction_id, plain, origin)
        if plain[:1] == bytes((GetResponseNormal.TAG,)) and is_sealed(envelope.transaction_id):
            return Arrival(self._collected(meter, epoch, apdu, plain), origin)
        push = PushMessage.decode(plain)
        if envelope.transaction_id != push.long_invoke_id_and_priority.encode():
            raise _refused("its transaction-id is not its long-invoke-id", title)
        name = push.logical_device_name
        if name != meter.ldn.encode():
            raise _refused(f"it is by logical device {name!r}, not {meter.ldn}", title)
        self.on_push(meter)
        message = Message(
            meter_id=meter.meter_id,
            kind=inbox.PUSH,
            received_us=self._now_us(),
            epoch=epoch,
            hops=self._directory.place(concentrator),
            octets=apdu,
            rows=push.rows,
        )
        return Arrival(message, origin)

    def _noticed(
        self, meter: Meter, transaction_id: bytes, plain: bytes, origin: Origin
    ) -> Arrival:
        now_us, picture = self._now_us(), None
        if is_alarm(plain):
            alarm = AlarmNotice.decode(plain)
            at_s, code, seconds = alarm.at_s, alarm.code, 0
            name = self._directory.companion(meter).alarm_name
            picture = picture_of(meter.meter_id, alarm, now_us), name
        else:
            notice = EventNotice.decode(plain)
            at_s, code, seconds = notice.at_s, notice.code, notice.seconds
        if transaction_id != plain[INVOKE_ID]:
            raise _refused("its transaction-id is not its long-invoke-id", meter.title)
        self.on_push(meter)
        noticed = Noticed(
            meter_id=meter.meter_id,
            at_us=at_s * MICROSECONDS,
            code=code,
            seconds=seconds,
            received_us=now_us,
            received_real_us=real_us(),
            picture=picture,
        )
        return Arrival(noticed, origin)

    def _collected(self, meter: Meter, epoch: int, apdu: bytes, plain: bytes) -> Message:
        """Return what the answer to a sealed request stores: its rows, opened, with its octets."""
        if plain[1:2] != bytes((GetResponseNormal.CHOICE,)) or plain[3:4] != b"\x00":
            said = plain[:5].hex(" ").upper()
            raise _refused(f"a sealed request was answered with {said}, no rows", meter.title)
        self.on_push(meter)
        self.on_collected(meter)
        return Message(
            meter_id=meter.meter_id,
            kind=inbox.PROFILE,
            received_us=self._now_us(),
            epoch=epoch,
            hops=self._directory.place(meter.concentrator),
            octets=apdu,
            rows=plain[4:],
        )

    def _decipher(self, meter: Meter, envelope: GeneralCiphering) -> tuple[int, Origin, bytes]:
        """Open with any key that opens; return the epoch, the identity, the APDU.

        Keys may have been changed, and retired ones closed, by another process: so they are looked
        up once more before a push is refused, and before one under retired keys is taken.
        """
        try:
            found = self._try_keys(meter, envelope)
        except SecurityError:
            if not self._directory.keys_changed(meter.meter_id):
                raise
            found = self._try_keys(meter, envelope)
        else:
            retired = found.state is KeyState.RETIRED
            if retired and self._directory.keys_changed(meter.meter_id):
                found = self._try_keys(meter, envelope)
        origin = Origin(meter.title, found.epoch, found.invocation_counter)
        return found.epoch, origin, found.plain

    def _try_keys(self, meter: Meter, envelope: GeneralCiphering) -> Opened:
        problem: SecurityError | None = None
        for held in self._directory.ciphers(meter.meter_id):
            try:
                plain, protection = open_envelope(held.cipher, envelope)
            except SecurityError as error:
                problem = problem or error
            else:
                return Opened(held.epoch, held.state, protection.invocation_counter, plain)
        raise problem or _refused("the registry has no keys of this meter", meter.title)

    def _count(self, arrival: Arrival, *, new: bool | None) -> None:
        if new is None:
            return
        if isinstance(arrival.message, Rejected):
            self.rejected += 1
        elif new:
            self.accepted += 1
        else:
            self.repeated += 1


def transaction_of(apdu: bytes) -> int | None:
    """Return the long-invoke-id in the clear part of a push; None when there is none."""
    if apdu[:2] == b"\xdd\x04" and len(apdu) >= 6:
        return int.from_bytes(apdu[2:6])
    if apdu[:1] == b"\x0f" and len(apdu) >= 5:
        return int.from_bytes(apdu[1:5])
    return None


def _refused(problem: str, title: bytes) -> SecurityError:
    return SecurityError(problem, f"push of {title.hex().upper()}", CLAUSE)
