# SPDX-License-Identifier: Apache-2.0
"""Live streams over a real port: order, coming back, ending, watching."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import pytest
from sqlalchemy import Engine

from openami.access.accounts import end_sessions
from openami.store import live
from openami.web.routes import live as live_routes
from openami.web.tailer import QUEUE, Subscription, Tailer
from web.ami import HOME_PASSWORD, UTILITY_PASSWORD, Ami, tell_power
from web.servers import client_of, served

Event = tuple[str, str, dict[str, object]]  # id, kind, body


def events(answer: httpx.Response) -> Iterator[Event]:
    number, kind = "", ""
    for line in answer.iter_lines():
        name, _, value = line.partition(": ")
        if name == "id":
            number = value
        elif name == "event":
            kind = value
        elif name == "data":
            yield number, kind, json.loads(value)


@contextmanager
def stream(client: httpx.Client, path: str, after: str | None = None) -> Iterator[Iterator[Event]]:
    headers = {} if after is None else {"Last-Event-ID": after}
    with client.stream("GET", path, headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield events(answer)


def until(condition: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < deadline_s, f"not in 15 s: {what}"
        time.sleep(0.02)


def test_a_page_that_is_open_watches_its_meter_and_sees_its_power(fresh: Ami) -> None:
    with served(fresh) as base:
        client = client_of(base, "home-002", HOME_PASSWORD)
        with stream(client, "/api/meters/2/live") as seen:
            _, kind, first = next(seen)
            assert (kind, first["power_w"]) == ("live", 640)
            until(lambda: live.watched(fresh.engine) == [2], "the watch")
            tell_power(fresh, 3, 9999)  # another meter's
            tell_power(fresh, 2, 1234)
            number, kind, body = next(seen)
            assert (kind, body["power_w"]) == ("live", 1234)
            assert body["cost_per_hour"] == "0.33"
        tell_power(fresh, 2, 55)
        tell_power(fresh, 2, 77)
        with stream(client, "/api/meters/2/live", after=number) as seen:
            kinds = [next(seen) for _ in range(3)]
            assert [int(number) + 1, int(number) + 2] == sorted(
                int(kind[0]) for kind in kinds if kind[0]
            ), "what came while the page was away, once"
        until(lambda: fresh.context.tailer.open_pages == 0, "the page is forgotten")
        client.close()


def test_a_watch_is_renewed_while_values_keep_coming(
    fresh: Ami, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_routes, "HEARTBEAT_S", 0.05)
    renewed: list[int] = []
    watch = live.watch

    def count(engine: Engine, meter_id: int, until_real_us: int) -> None:
        renewed.append(meter_id)
        watch(engine, meter_id, until_real_us)

    monkeypatch.setattr(live, "watch", count)
    with served(fresh) as base:
        client = client_of(base, "home-002", HOME_PASSWORD)
        with stream(client, "/api/meters/2/live") as seen:
            next(seen)
            for power in range(1000):
                tell_power(fresh, 2, power)
                next(seen)
                if len(renewed) >= 3:
                    break
        client.close()
    assert renewed[:3] == [2, 2, 2]


def test_a_stream_ends_with_its_session(fresh: Ami, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_routes, "HEARTBEAT_S", 0.05)
    with served(fresh) as base:
        client = client_of(base, "home-002", HOME_PASSWORD)
        with stream(client, "/api/meters/2/live") as seen:
            next(seen)
            end_sessions(fresh.engine, "home-002")
            assert list(seen) == []
        assert client.get("/api/meters/2/live").status_code == 401
        client.close()


def test_the_fleets_stream_leaves_live_values_out(fresh: Ami) -> None:
    with served(fresh) as base:
        client = client_of(base, "utility", UTILITY_PASSWORD)
        with stream(client, "/api/stream") as seen:
            until(lambda: fresh.context.tailer.open_pages == 1, "the page")
            tell_power(fresh, 2, 1)
            entry = live.Entry(kind="interval", meter_id=2, at_us=7, body={"wh": 12})
            live.append_feed(fresh.engine, [entry])
            _, kind, body = next(seen)
            assert (kind, body) == ("interval", {"meter_id": 2, "at_us": 7, "wh": 12})
        client.close()


def test_the_server_ends_while_streams_are_open(fresh: Ami) -> None:
    with served(fresh) as base:
        client = client_of(base, "utility", UTILITY_PASSWORD)
        with stream(client, "/api/stream") as seen:
            until(lambda: fresh.context.tailer.open_pages == 1, "the page")
            fresh.context.tailer.stop()
            assert list(seen) == []
        client.close()


def entry(number: int, kind: str = "live") -> live.Entry:
    return live.Entry(feed_id=number, kind=kind, meter_id=1, at_us=0, body={})


def test_a_page_that_does_not_read_is_cut_off() -> None:
    page = Subscription(lambda _: True)
    assert all(page.offer(entry(number)) for number in range(1, QUEUE + 1))
    assert not page.offer(entry(QUEUE + 1))
    page.close()
    told = [page.queue.get_nowait() for _ in range(page.queue.qsize())]
    assert told[-1] is None, "the end is told even when the queue was full"


def test_a_page_is_given_nothing_twice_and_nothing_unwanted() -> None:
    page = Subscription(lambda told: told.kind == "live")
    for number, kind in ((1, "live"), (2, "interval"), (2, "live"), (1, "live"), (3, "live")):
        page.offer(entry(number, kind))
    told = [page.queue.get_nowait() for _ in range(page.queue.qsize())]
    assert [one.feed_id for one in told if one] == [1, 3]


def test_nobody_follows_at_first(fresh: Ami) -> None:
    assert Tailer(fresh.engine).open_pages == 0
