# SPDX-License-Identifier: Apache-2.0
"""What meter tests share: a configuration, a meter in memory with both modules, a reader."""

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from device.lines import Line
from device.modules import link
from openami.cosem.classes.push import PushMessage
from openami.cosem.client import Client, ClientParameters
from openami.device.images import Firmware
from openami.dlms.apdu.ciphered import GeneralCiphering
from openami.dlms.bulk.columns import Columns, decode_profile
from openami.dlms.hls import Mechanism
from openami.dlms.sap import Sap
from openami.dlms.security.ciphering import Cipher
from openami.dlms.security.counters import CounterBlock
from openami.dlms.security.envelopes import decode_envelope, open_envelope
from openami.dlms.security.keyset import KeySet
from openami.exchange.alarms import AlarmNotice, is_alarm
from openami.exchange.notice import EventNotice, is_notice
from openami.meter.bank import MetrologyBank
from openami.meter.config import MeterConfig, MeterKeys
from openami.meter.instrument import ManagementEnd
from openami.meter.keys import Security
from openami.meter.load import INTERVAL_S
from openami.meter.logbook import Logbook
from openami.meter.management import Management, Surroundings
from openami.meter.metrology import ClosedInterval
from openami.meter.metrology_end import MetrologyEnd
from openami.meter.metrology_process import metrology_of
from openami.meter.replay import ReplayedLoad
from openami.transport.reconnect import Backoff
from openami.transport.tls import TlsIdentity
from openami.transport.url import Url

T = TypeVar("T")

INSTALLED_S = 1_790_000_000 // INTERVAL_S * INTERVAL_S
DAY_S = 86_400
HEAD_END = bytes.fromhex("4F414DE000000001")
KEYS = MeterKeys(
    epoch=1,
    guek=bytes(range(16)),
    gak=bytes(range(16, 32)),
    kek=bytes(range(32, 48)),
    lls=b"reader's secret!",
)
CIPHER = Cipher(KeySet(encryption_key=KEYS.guek, authentication_key=KEYS.gak))
LOAD = ReplayedLoad(1, 1)


def config_in(home: Path, meter_id: int = 1, **changes: Any) -> MeterConfig:
    """Return a meter's configuration without files."""
    fields: dict[str, Any] = {
        "home": home,
        "meter_id": meter_id,
        "title": b"OAM" + meter_id.to_bytes(5),
        "ldn": f"OAM{meter_id:013d}",
        "installed_s": INSTALLED_S,
        "capture_period_s": INTERVAL_S,
        "seed": 1,
        "uplink": Url("tcp", "127.0.0.1", 9),
        "concentrator_title": bytes.fromhex("4F414DC000000001"),
        "head_end_title": HEAD_END,
        "connect_timeout_s": 5.0,
        "backoff": Backoff(first_s=0.02, most_s=0.1),
        "identity": TlsIdentity(home / "ca.crt", home / "tls.crt", home / "tls.key"),
        "keys": KEYS,
        "keys_file": home / "keys.json",
        "plain_listener": None,
        "protected_listener": None,
        "profile_days": 20,
        "event_entries": 64,
        "push_first_s": 5.0,
        "push_most_s": 60.0,
    }
    return MeterConfig(**(fields | changes))


def expected_wh(first: int, last: int, load: ReplayedLoad = LOAD) -> list[int]:
    """Return the data set's Wh of the intervals `first` to `last`, counted from 1."""
    return [
        load.interval_wh(INSTALLED_S + (number - 1) * INTERVAL_S)
        for number in range(first, last + 1)
    ]


def open_push(octets: bytes) -> tuple[PushMessage, Columns]:
    """Open a sealed push as the head-end does; return the message and its rows."""
    envelope = decode_envelope(octets)
    assert isinstance(envelope, GeneralCiphering)
    assert envelope.recipient_system_title == HEAD_END
    plain, _ = open_envelope(CIPHER, envelope)
    message = PushMessage.decode(plain)
    assert envelope.transaction_id == message.long_invoke_id_and_priority.encode()
    return message, decode_profile(message.rows)


@dataclass
class Hop:
    """A concentrator that remembers every push, and confirms while it is told to."""

    confirming: bool = True
    pushes: list[bytes] = field(default_factory=list)
    notices: list[EventNotice] = field(default_factory=list)
    alarms: list[AlarmNotice] = field(default_factory=list)
    rows: dict[int, int] = field(default_factory=dict)  # end in seconds to Wh

    def take(self, octets: bytes) -> int | None:
        """Take a push; return the long-invoke-id to confirm."""
        plain, _ = open_envelope(CIPHER, decode_envelope(octets))
        if is_notice(plain):
            notice = EventNotice.decode(plain)
            self.notices.append(notice)
            return int.from_bytes(plain[1:5]) if self.confirming and notice.confirmed else None
        if is_alarm(plain):
            self.alarms.append(AlarmNotice.decode(plain))
            return int.from_bytes(plain[1:5]) if self.confirming else None
        self.pushes.append(octets)
        message, columns = open_push(octets)
        assert columns.times_us is not None
        for end_us, wh in zip(columns.times_us, columns.values[2], strict=True):
            assert self.rows.setdefault(int(end_us) // 10**6, int(wh)) == wh
        return int(message.long_invoke_id_and_priority) if self.confirming else None

    def wh(self) -> list[int]:
        """Return the Wh received, by time."""
        return [self.rows[end_s] for end_s in sorted(self.rows)]


class MeterInMemory:
    """Both modules of a meter; every restart opens the files anew.

    The line between them is perfect until a test puts a bad one in its place.
    """

    def __init__(
        self,
        config: MeterConfig,
        security: Security | None = None,
        firmware: Firmware | None = None,
    ) -> None:
        self.config = config
        self.firmware = firmware
        self.security = security
        self.calendar_s = INSTALLED_S
        self.now_s = 100.0
        self.hop = Hop()
        self.up = self.down = Line(Random(1), 0.0)
        self._numbers: Iterator[int] = count(1)
        self.start_metrology()
        self.start_management()

    def start_metrology(self) -> None:
        """Start or restart metrology."""
        metrology = {self.config.meter_id: metrology_of(self.config)}
        folder = self.config.home / "metrology"
        folder.mkdir(exist_ok=True)
        path = folder / "metrology.journal"
        self.bank = MetrologyBank(path, metrology, keep=self.config.profile_entries)
        self.metrology_link = link(opens=False, seed=next(self._numbers))
        self.logbook = Logbook(folder)
        self.metrology_end = MetrologyEnd(
            self.metrology_link,
            self.bank,
            self.config.meter_id,
            logbook=self.logbook,
            source=lambda at_s: str(LOAD.week(at_s)),
        )

    def start_management(self) -> None:
        """Start or restart management."""
        self.management_link = link(opens=True, seed=next(self._numbers))
        firmware = self.firmware
        self.management_end = ManagementEnd(self.management_link, lambda: self.calendar_s * 10**6)
        self.management = Management(
            self.config,
            self.management_end,
            Surroundings(
                calendar_us=lambda: self.calendar_s * 10**6,
                real_us=lambda: 1_800_000_000 * 10**6,
                entropy=lambda size: bytes(range(1, size + 1)),
                replayed=lambda _at_s: self.management_end.source,
                security=self.security,
                firmware=None if firmware is None else lambda: firmware,
            ),
        )
        self.management_end.bind(self.management)

    def attach(self) -> None:
        """Connect management to the hop."""
        self.management.outbox.attached(self._push, self.now_s)

    def _push(self, octets: bytes) -> None:
        if (invoke_id := self.hop.take(octets)) is not None:
            self.management.confirm_push(invoke_id, self.now_s)

    def run(self, calendar_s: float, steps: int = 12) -> None:
        """Let calendar time pass in small steps, and both modules do what is due."""
        for _ in range(steps):
            self.calendar_s += round(calendar_s / steps)
            self.now_s += 0.3
            self.bank.advance(self.calendar_s)
            self.metrology_end.tick(self.now_s, self.calendar_s)
            self.metrology_end.show(self.now_s, self.calendar_s)
            self.carry()
            self.management_end.tick(self.now_s)
            self.carry()
            for _ in range(3):
                self.management.tick_pushes(self.now_s)

    def carry(self) -> None:
        """Carry octets both ways until the line is quiet."""
        while True:
            up, down = self.metrology_link.take_output(), self.management_link.take_output()
            if not up and not down:
                return
            up, down = self.up.carry(up), self.down.carry(down)
            self.management_end.receive(up, self.now_s)
            self.metrology_end.receive(down, self.now_s, self.calendar_s)

    def logged(self) -> list[int]:
        """Return the codes in management's event log."""
        ring = self.management.events.ring
        return [int.from_bytes(bytes(row)[4:6]) for row in ring.read(ring.first, ring.last)]

    def intervals(self) -> list[ClosedInterval]:
        """Return what stands in the profile ring."""
        ring = self.management.profile.ring
        return [ClosedInterval.decode(bytes(row)) for row in ring.read(ring.first, ring.last)]


def parameters(client_sap: int, **changes: Any) -> ClientParameters:
    """Return how a client of our meters associates."""
    mechanisms = {1: Mechanism.HLS_GMAC, 16: Mechanism.LOWEST, 32: Mechanism.LLS}
    fields: dict[str, Any] = {"client_sap": Sap(client_sap), "mechanism": mechanisms[client_sap]}
    if client_sap == 1:
        fields |= {"cipher": CIPHER, "system_title": HEAD_END}
    if client_sap == 32:
        fields |= {"secret": KEYS.lls}
    return ClientParameters(**(fields | changes))


class Reader:
    """A client that associates with a server in memory."""

    def __init__(
        self, receive: Callable[[int, bytes], bytes | None], client_sap: int, **changes: Any
    ) -> None:
        self._receive = receive
        self._sap = client_sap
        # The host of a client keeps its counters; here each reader begins above the last.
        first = next(_blocks) * 1000
        self.client = Client(
            parameters(client_sap, **changes),
            entropy=lambda size: bytes(range(7, 7 + size)),
            counters=CounterBlock(first, first + 1000),
        )

    def run(self, steps: Generator[bytes, bytes, T]) -> T:
        """Hold a conversation and return its result."""
        try:
            request = next(steps)
            while True:
                answer = self._receive(self._sap, request)
                assert answer is not None
                request = steps.send(answer)
        except StopIteration as done:
            result: T = done.value
            return result


_blocks = count(1)
