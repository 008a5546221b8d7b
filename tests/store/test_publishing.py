# SPDX-License-Identifier: Apache-2.0
"""What was made true is published; with a real NATS server, through its death too."""

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import nats
import pytest
from nats.js.api import ConsumerConfig, DeliverPolicy
from sqlalchemy import Engine

from blackout import REAL0, S, Street
from chain import until
from loops import in_loop
from openami.exchange.events import EventCode
from openami.headend.eventlog import store_events
from openami.headend.reading import LoggedEvent
from openami.store import publishing, registry
from openami.store.database import transaction
from openami.store.jetstream import STREAM, JetStream
from openami.store.publishing import BrokerError, publication, publish_all
from ports import free_port


class Broker:
    """A NATS server with JetStream in a folder."""

    def __init__(self, folder: Path) -> None:
        program = shutil.which("nats-server") or shutil.which("nats-server", path="/usr/sbin")
        if program is None:
            sentence = "no NATS server is installed: apt-get install nats-server"
            (pytest.fail if os.environ.get("CI") else pytest.skip)(sentence)
        self.port = free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        self._command = [
            *(str(program), "-js", "-sd", str(folder), "-a", "127.0.0.1", "-p", str(self.port)),
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    async def held(self) -> list[tuple[str, dict[str, object]]]:
        """Return all that the stream holds."""
        client = await nats.connect(self.url)
        stream = client.jetstream()
        found = []
        count = (await stream.stream_info(STREAM)).state.messages
        pulled = await stream.pull_subscribe(
            "", stream=STREAM, config=ConsumerConfig(deliver_policy=DeliverPolicy.ALL)
        )
        while len(found) < count:
            for message in await pulled.fetch(100, timeout=5):
                found.append((message.subject, json.loads(message.data)))
                await message.ack()
        await client.close()
        return found


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    broker = Broker(tmp_path / "nats")
    yield broker
    broker.kill()


def put(engine: Engine, *meter_ids: int) -> None:
    publishing.put(engine, [publication("events", n, {"code": n}) for n in meter_ids])


def wanted(*meter_ids: int) -> list[tuple[str, dict[str, object]]]:
    return [(f"openami.events.{n}", {"meter_id": n, "code": n}) for n in meter_ids]


def test_what_is_published_outlives_the_broker_and_comes_once(
    engine: Engine, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "IDLE_S", 0.02)
    monkeypatch.setattr(publishing, "AGAIN_S", 0.05)

    @in_loop
    async def test() -> None:
        put(engine, 1, 2)
        work = asyncio.create_task(
            publish_all(engine, lambda: JetStream.connect(broker.url, "here"))
        )
        await asyncio.sleep(0.2)
        assert publishing.count_waiting(engine) == 2  # nobody listens yet
        for numbers in ((3,), (4, 5)):
            broker.start()
            await until(lambda: publishing.count_waiting(engine) == 0)
            broker.kill()
            put(engine, *numbers)
        broker.start()
        await until(lambda: publishing.count_waiting(engine) == 0)
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        assert sorted(await broker.held()) == sorted(wanted(1, 2, 3, 4, 5))

    test()


def test_what_was_confirmed_and_not_taken_out_is_not_doubled(
    engine: Engine, broker: Broker
) -> None:
    """A crash between the confirmation and the end of the transaction publishes again."""

    @in_loop
    async def test() -> None:
        broker.start()
        put(engine, 1)
        for _ in range(2):
            stream: JetStream | None = None
            while stream is None:
                with contextlib.suppress(BrokerError):
                    stream = await JetStream.connect(broker.url, "here")
            await stream.publish(publishing.waiting(engine))
            await stream.close()
        assert await broker.held() == wanted(1)

    test()


def test_events_of_meters_reach_the_broker_once_however_they_became_known(
    engine: Engine, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A meter tells an alarm at once; its log, read later over that border, tells it again."""
    monkeypatch.setattr(publishing, "IDLE_S", 0.02)
    monkeypatch.setattr(publishing, "AGAIN_S", 0.05)
    street = Street.of_new_meters(engine, 4)
    street.tell(3, EventCode.TERMINAL_COVER_REMOVED)
    street.gasp([1])
    meter = registry.meter(engine, 3)
    cover = LoggedEvent(REAL0, EventCode.TERMINAL_COVER_REMOVED)
    later = LoggedEvent(REAL0 + 9 * S, EventCode.TERMINAL_COVER_CLOSED)
    for events in ([cover], [cover, later], [cover, later]):
        store_events(engine, meter, events, REAL0 + 10 * S, publish=True)

    @in_loop
    async def test() -> None:
        broker.start()
        work = asyncio.create_task(
            publish_all(engine, lambda: JetStream.connect(broker.url, "here"))
        )
        await until(lambda: publishing.count_waiting(engine) == 0)
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        told = [(subject, body["events"]) for subject, body in await broker.held()]
        assert told == [
            ("openami.events.3", [[REAL0, 40]]),
            ("openami.events.1", [[REAL0, 1]]),
            ("openami.events.3", [[REAL0 + 9 * S, 41]]),
        ]

    test()


def test_what_is_taken_back_is_not_published(engine: Engine) -> None:
    def fail() -> None:
        with transaction(engine) as connection:
            publishing.put(connection, [publication("events", 1, {})])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert publishing.waiting(engine) == []


@pytest.mark.parametrize("backend", ["postgresql"])  # SQLite has one writer
def test_a_slow_transaction_with_lower_numbers_is_published_too(engine: Engine) -> None:
    with transaction(engine) as slow:
        publishing.put(slow, [publication("events", 1, {})])
        put(engine, 2)
        first = publishing.waiting(engine)
        publishing.confirmed(engine, first)
    (late,) = publishing.waiting(engine)
    assert late.publication_id < first[0].publication_id
