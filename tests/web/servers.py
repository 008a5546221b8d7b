# SPDX-License-Identifier: Apache-2.0
"""The pages on a real port, in a thread, for streams and browsers."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from openami.web.process import open_port, serve
from web.ami import Ami
from web.clients import TOKEN


@contextmanager
def served(ami: Ami) -> Iterator[str]:
    """Serve an AMI's pages while the block lasts; give their address."""
    listener = open_port("127.0.0.1", 0)
    listener.listen()  # who calls before the thread has come so far waits for it
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    def run() -> None:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(serve(ami.context, listener, stop))
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(60)
        listener.close()
    assert not thread.is_alive(), "the server did not end"


def client_of(base: str, login: str, password: str) -> httpx.Client:
    """Return a client that has signed in over the network."""
    client = httpx.Client(base_url=base, timeout=20)
    token = TOKEN.search(client.get("/login").text)
    assert token
    answer = client.post("/login", data={"login": login, "password": password, "csrf": token[1]})
    assert answer.status_code == 303
    return client
