# SPDX-License-Identifier: Apache-2.0
"""NATS JetStream behind the port of `store.publishing`.

A publication is confirmed when the stream has stored it.  Servers before 2.12 do not wait for their
disk; what must outlive a power cut of the broker needs a stream with three replicas, which the
operator makes before (we use the stream that is there).
"""

import asyncio
from collections.abc import Sequence
from typing import Final

import nats
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import StreamConfig
from nats.js.errors import NotFoundError

from openami.store.publishing import ROOT, BrokerError, Publication

STREAM: Final = "OPENAMI"
DUPLICATES_S: Final = 3600.0  # the stream drops a repeated message id so long
TIMEOUT_S: Final = 10.0


class JetStream:
    """A connection to the stream `OPENAMI`, subjects `openami.>`."""

    def __init__(self, client: Client, stream: JetStreamContext, store: str, url: str) -> None:
        self._client = client
        self._stream = stream
        self._store = store
        self._url = url

    @classmethod
    async def connect(cls, url: str, store: str) -> "JetStream":
        """Connect, and make the stream if there is none.

        Args:
            url: `nats://HOST:PORT`.
            store: Names the store whose numbers become message ids.

        Raises:
            BrokerError: The server cannot be reached or has no JetStream.
        """
        try:
            client = await nats.connect(
                url, allow_reconnect=False, connect_timeout=5, error_cb=_silent
            )
            stream = client.jetstream(timeout=TIMEOUT_S)
            try:
                await stream.stream_info(STREAM)
            except NotFoundError:
                config = StreamConfig(
                    name=STREAM, subjects=[f"{ROOT}.>"], duplicate_window=DUPLICATES_S
                )
                await stream.add_stream(config)
        except (NatsError, OSError, TimeoutError) as error:
            raise _refused(url, error) from error
        return cls(client, stream, store, url)

    async def publish(self, publications: Sequence[Publication]) -> None:
        """Store all of them in the stream, or raise `BrokerError`."""
        sent = [self._publish(each) for each in publications]
        for result in await asyncio.gather(*sent, return_exceptions=True):
            if isinstance(result, NatsError | OSError | TimeoutError):
                raise _refused(self._url, result) from result
            if isinstance(result, BaseException):
                raise result

    async def _publish(self, each: Publication) -> None:
        await self._stream.publish(
            each.subject,
            each.body.encode(),
            stream=STREAM,
            headers={"Nats-Msg-Id": f"{self._store}-{each.publication_id}"},
        )

    async def close(self) -> None:
        """Hang up."""
        await self._client.close()


async def _silent(_error: Exception) -> None:
    """Errors are raised where we wait for them."""


def _refused(url: str, error: Exception) -> BrokerError:
    said = str(error) or type(error).__name__
    return BrokerError(
        f"{url} does not take publications ({said}): start the server with JetStream (-js)"
    )
