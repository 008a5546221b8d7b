# SPDX-License-Identifier: Apache-2.0
"""Ports for servers that tests start and that listen only a while later.

They lie below those that the system gives to connections that go out: one of these might be taken
by a connection of any other test in between.
"""

import os
import socket

FIRST, PORTS = 10_000, 2_500  # of each worker of a run
WORKERS = 8

_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % WORKERS
_next = os.getpid() % PORTS  # runs beside each other seldom begin at the same place


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on now, one run of neighbours, each time others."""
    global _next
    for _ in range(PORTS):
        start, _next = _next, (_next + count) % PORTS
        if start + count > PORTS:
            continue
        found = [FIRST + _worker * PORTS + start + each for each in range(count)]
        if all(map(_is_free, found)):
            return found
    raise RuntimeError("no free ports")


def free_port() -> int:
    """Return one."""
    return free_ports(1)[0]


def _is_free(port: int) -> bool:
    with socket.socket() as probe, socket.socket(type=socket.SOCK_DGRAM) as datagrams:
        try:
            probe.bind(("127.0.0.1", port))
            datagrams.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
