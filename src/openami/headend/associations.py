# SPDX-License-Identifier: Apache-2.0
"""Associations with meters, authenticated and encrypted, by either route.

With meters of suite 0 both ends prove their keys (HLS-GMAC), of suites 1 and 2 who they are
(HLS-ECDSA).

A meter that is attached is reached through its concentrator, which passes protected APDUs on; one
that is not, and has an address of its own, is dialled.  Both ways use the same keys and the same
invocation counters, whose blocks are durable before the first number of a block is sent.  Of many
workers over one store one at a time holds the lease of a meter, and with it the association.
"""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from sqlalchemy import Engine

from openami.cosem.client import Client, ClientParameters, Steps
from openami.cosem.refusals import AccessError, ExceptionResponseError
from openami.dlms.association import State
from openami.dlms.errors import DlmsError
from openami.dlms.hls import Mechanism
from openami.dlms.sap import CLIENT_MANAGEMENT_PROCESS, PUBLIC_CLIENT
from openami.dlms.security.counters import CounterBlock, InvocationCounter, ReceiveWindow
from openami.exchange.uplink import MANAGEMENT_SERVER
from openami.headend.books import Books
from openami.headend.config import HeadEndConfig
from openami.headend.directory import Directory, EpochCipher
from openami.headend.frame_counter import read_frame_counter
from openami.headend.holdings import Holdings
from openami.headend.pairs import KeyPairs
from openami.headend.routes import Route, Routes
from openami.runtime.errors import UserError
from openami.store import counters, keys
from openami.store.leases import Lease, LostLeaseError
from openami.store.registry import Meter
from openami.transport.session import SessionTimeoutError
from openami.transport.wire import WireError

log = logging.getLogger(__name__)

T = TypeVar("T")

LOW_COUNTERS: Final = 4  # below, the next block is reserved before anything more is sent
RELEASE_S: Final = 3.0  # a meter that does not answer the release is left alone


@dataclass(frozen=True, slots=True)
class StoreReserve:
    """Invocation counters straight from the store, for a conversation longer than its block."""

    engine: Engine
    meter_id: int
    epoch: int
    lease: Callable[[], Lease]  # of the meter, by which we speak with it now

    def reserve(self, count: int) -> InvocationCounter:
        lease = self.lease()
        first = counters.reserve(self.engine, self.meter_id, self.epoch, count, lease)
        return InvocationCounter(first)


@dataclass(frozen=True, slots=True)
class Held:
    """The lease by which a meter is ours to speak with.

    Attributes:
        in_place: Tells whether who speaks with it has a place on the ways that it shares.
    """

    holdings: Holdings
    lease: Lease
    in_place: Callable[[], bool]

    def lasts(self) -> bool:
        return self.holdings.holds(self.lease) and self.in_place()

    def require(self, meter_id: int) -> None:
        """Raise LostLeaseError where it is not ours to speak with any more."""
        if not self.holdings.holds(self.lease):
            sentence = f"meter {meter_id} is another worker's now"
            raise LostLeaseError(f"{sentence}: that one goes on")
        if not self.in_place():
            sentence = f"meter {meter_id} lost its place in its cell"
            raise LostLeaseError(f"{sentence}: others may speak there now; it is tried again")

    async def give_back(self) -> None:
        await self.holdings.give_back(self.lease)


class MeterSession:
    """An open association with one meter; jobs use it one after another.

    Attributes:
        meter: As the registry had it when the association was opened.
        epoch: Of the keys.
        hops: Who carries it, as the inbox names it.
    """

    def __init__(
        self,
        meter: Meter,
        cipher: EpochCipher,
        books: Books,
        block: CounterBlock,
        held: Held,
    ) -> None:
        self.meter = meter
        self.epoch = cipher.epoch
        self.hops = ""
        self._books = books
        self._block = block
        self._held = held
        self._client: Client
        self._route: Route
        self._broken = False

    @property
    def usable(self) -> bool:
        return not self._broken and self._route.session.is_open and self._held.lasts()

    def bind(self, client: Client, route: Route) -> None:
        """Take the route that was found."""
        self._client, self._route, self.hops = client, route, route.hops

    async def associate(self) -> None:
        """Open the association.

        Raises:
            DlmsError: The meter refuses, or cannot prove that it is the meter.
            WireError: It does not answer.
        """
        await self.run(self._client.associate())

    @property
    def client(self) -> Client:
        """The services; pass what they return to `run`."""
        return self._client

    async def run(self, steps: Steps[T]) -> T:
        """Hold a conversation; an error other than a refusal of one object ends the association."""
        try:
            await self._provide()
            self._held.require(self.meter.meter_id)
            return await self._route.session.run(steps)
        except AccessError:
            raise
        except (DlmsError, UserError):
            self._broken = True
            raise

    @property
    def lease(self) -> Lease:
        """By which the meter is ours to speak with."""
        return self._held.lease

    async def reserve(self, count: int) -> range:
        """Reserve a block of counters for a command; from now on it is sent with these.

        The rest of the older block is given up: a meter accepts rising counters only.  A block is
        left when fewer than `LOW_COUNTERS` of it remain, so ask for some to spare.
        """
        block = await self._books.reserve(self.meter.meter_id, self.epoch, count, self._held.lease)
        self._block.following, self._block.end = block.start, block.stop
        return block

    async def reserve_ahead(self, count: int, spare: int) -> range:
        """Reserve counters for what is sent much later, above `spare` ones for us until then.

        A meter takes rising counters only: what is sealed with these is worth nothing once we go
        on above them, and our own below them once one of these was sent.
        """
        await self.reserve(spare)
        return await self._books.reserve(self.meter.meter_id, self.epoch, count, self._held.lease)

    def retire(self) -> None:
        """Let no further job use the association: the keys under it may have changed."""
        self._broken = True

    async def close(self) -> None:
        try:
            if self.usable and self._client.state is State.ASSOCIATED:
                await self._route.session.run(self._client.release(), RELEASE_S)
        except (DlmsError, UserError) as error:
            log.debug("meter %d: release: %s", self.meter.meter_id, error)
        finally:
            self._route.session.detach("the association is released")
            self._route.hang_up()
            await self._held.give_back()

    async def _provide(self) -> None:
        block = self._block
        if block.end - block.following < LOW_COUNTERS:
            fresh = await self._books.reserve(
                self.meter.meter_id, self.epoch, block.block_size, self._held.lease
            )
            block.following, block.end = fresh.start, fresh.stop


class Associations:
    """Opens associations; remembers the counters of each meter between them.

    Attributes:
        in_place: Tells whether a meter's job still has its places on the ways that are shared.
    """

    def __init__(  # noqa: PLR0913, PLR0917  its ports, bound in one place
        self,
        config: HeadEndConfig,
        directory: Directory,
        routes: Routes,
        books: Books,
        holdings: Holdings,
        pairs: KeyPairs | None = None,
    ) -> None:
        self._pairs = pairs
        self._config = config
        self._directory = directory
        self._routes = routes
        self._books = books
        self._holdings = holdings
        self.in_place: Callable[[int], bool] = lambda _: True
        self._leases: dict[int, Lease] = {}  # the last of each meter
        self._blocks: dict[tuple[int, int], CounterBlock] = {}
        self._windows: dict[tuple[int, int], ReceiveWindow] = {}

    def following(self, meter_id: int, epoch: int) -> int | None:
        """Return the counter that a meter gets next; None where no block is in our hands."""
        block = self._blocks.get((meter_id, epoch))
        return None if block is None else block.following

    def give_up_counters(self, meter_id: int, up_to: int) -> None:
        """Count on above `up_to`: the meter has taken it, and takes none below any more."""
        for (owner, _), block in self._blocks.items():
            if owner == meter_id and block.following <= up_to:
                block.following = block.end

    async def open(self, meter_id: int) -> MeterSession:
        """Open an association with a meter by the route there is.

        While it is open which of two key epochs the meter holds, both are tried, and the one that
        it answers under is recorded as proven.

        Raises:
            DlmsError: The meter refuses, or cannot prove that it is the meter.
            UserError: There is no route, no answer, or no counters are left.
        """
        try:
            return await self._open_under_any(meter_id)
        except (DlmsError, WireError):
            if not self._directory.keys_changed(meter_id):
                raise
        return await self._open_under_any(meter_id)

    async def _open_under_any(self, meter_id: int) -> MeterSession:
        *sent, active = self._directory.sealing_ciphers(meter_id)
        for cipher in sent:
            try:
                return await self._proven(await self._open_afresh(meter_id, cipher))
            except (DlmsError, UserError) as error:
                log.info("meter %d, key epoch %d: %s", meter_id, cipher.epoch, error)
        if sent:
            return await self._proven(await self._open_afresh(meter_id, active))
        return await self._open_counting_on(meter_id, active)

    async def _open_afresh(self, meter_id: int, cipher: EpochCipher) -> MeterSession:
        """Open with invocation counters above all that were reserved before.

        So what was sealed before under this key can not take effect at the meter any more.
        """
        self._blocks.pop((meter_id, cipher.epoch), None)
        return await self._open_counting_on(meter_id, cipher)

    async def _proven(self, found: MeterSession) -> MeterSession:
        """Record that the meter has proven to hold the keys of an association."""
        meter_id, note = found.meter.meter_id, f"the meter answered under it through {found.hops}"
        try:
            await self._books.run(keys.prove, self._books.engine, meter_id, found.epoch, note)
        except BaseException:
            await found.close()
            raise
        self._directory.forget_keys(meter_id)
        log.info("meter %d holds key epoch %d", meter_id, found.epoch)
        return found

    async def _open_counting_on(self, meter_id: int, cipher: EpochCipher) -> MeterSession:
        """Open; where the meter expects a higher invocation counter, once more with such.

        So it is when the store is older than the meter, e.g. restored from a backup.
        """
        try:
            return await self._open(meter_id, cipher)
        except (DlmsError, SessionTimeoutError) as error:
            expected = await self._expected_counter(meter_id, error)
            block = self._blocks[meter_id, cipher.epoch]
            if expected is None or expected <= block.following:
                raise
            await self._skip_to(meter_id, cipher.epoch, expected)
        return await self._open(meter_id, cipher)

    async def _expected_counter(self, meter_id: int, error: Exception) -> int | None:
        """Return the next counter that a meter takes, as it says unprotected; None if it does not.

        Some say it in their refusal, others to the public client.
        """
        if isinstance(error, ExceptionResponseError) and error.invocation_counter is not None:
            return error.invocation_counter
        meter = self._directory.by_id(meter_id)
        at = self._directory.companion(meter).objects.get("frame_counter")
        if at is None:
            return None
        try:
            route = await self._routes.open(meter, PUBLIC_CLIENT)
        except UserError:
            return None
        try:
            return await read_frame_counter(route.session, at)
        except (DlmsError, UserError) as silent:
            log.debug("meter %d: frame counter: %s", meter_id, silent)
            return None
        finally:
            route.session.detach("the frame counter is read")
            route.hang_up()

    async def _open(self, meter_id: int, cipher: EpochCipher) -> MeterSession:
        meter = self._directory.by_id(meter_id)
        held = await self._take(meter_id)
        try:
            return await self._associate(meter, cipher, held)
        except BaseException:
            await held.give_back()
            raise

    async def _take(self, meter_id: int) -> Held:
        lease = await self._holdings.take_meter(meter_id)
        before = self._leases.get(meter_id)
        self._leases[meter_id] = lease
        if before is not None and lease.fence != before.fence + 1:
            # Another worker spoke with the meter meanwhile: what is left of our block is too low.
            for key in [key for key in self._blocks if key[0] == meter_id]:
                del self._blocks[key]
        return Held(self._holdings, lease, lambda: self.in_place(meter_id))

    async def _associate(self, meter: Meter, cipher: EpochCipher, held: Held) -> MeterSession:
        meter_id = meter.meter_id
        key = meter_id, cipher.epoch
        block = self._blocks.get(key) or self._blocks.setdefault(key, self._new_block(key))
        client = Client(
            self._parameters(meter, cipher),
            entropy=os.urandom,
            counters=block,
            window=self._windows.setdefault(key, ReceiveWindow()),
        )
        found = MeterSession(meter, cipher, self._books, block, held)
        found.bind(client, await self._routes.open(meter, CLIENT_MANAGEMENT_PROCESS))
        try:
            await found.associate()
        except BaseException:
            await found.close()
            raise
        return found

    def _parameters(self, meter: Meter, cipher: EpochCipher) -> ClientParameters:
        suite = cipher.cipher.keys.suite
        credentials = None
        if suite:
            if self._pairs is None:
                sentence = f"there are no key pairs for meter {meter.meter_id} of suite {suite:d}"
                raise UserError(f"{sentence}: name them as pairs under [keys] of config.toml")
            credentials = self._pairs.credentials(suite, cipher.public)
        return ClientParameters(
            client_sap=CLIENT_MANAGEMENT_PROCESS,
            server_sap=MANAGEMENT_SERVER,
            mechanism=Mechanism.HLS_ECDSA if suite else Mechanism.HLS_GMAC,
            credentials=credentials,
            cipher=cipher.cipher,
            system_title=self._config.title,
            server_title=meter.title,
        )

    def _new_block(self, key: tuple[int, int]) -> CounterBlock:
        reserve = StoreReserve(self._books.engine, *key, lambda: self._leases[key[0]])
        return CounterBlock.reserving(reserve, self._config.sessions.counter_block)

    async def _skip_to(self, meter_id: int, epoch: int, expected: int) -> None:
        """Count on from what a meter expects, and never from less than was reserved.

        Raises:
            UserError: It is too far ahead to be believed.  What the meter says is not protected:
                whoever carries it could use up the key's counters with a few made-up numbers.
        """
        ours = counters.next_counter(self._books.engine, meter_id, epoch)
        most = self._config.sessions.counter_skip
        if expected - ours > most:
            sentence = (
                f"meter {meter_id}: {expected} is said to be its next invocation counter, ours is"
                f" {ours}: a skip of more than {most} is not believed; if the store is that old,"
                " raise [sessions] counter_skip in headend/config.toml for a while"
            )
            raise UserError(sentence)
        log.warning(
            "meter %d expects invocation counter %d, above ours: counting from there",
            meter_id,
            expected,
        )
        await self._books.run(counters.skip_to, self._books.engine, meter_id, epoch, expected)
        self._blocks.pop((meter_id, epoch), None)
