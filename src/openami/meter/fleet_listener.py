# SPDX-License-Identifier: Apache-2.0
"""A plain port for a whole fleet: each meter has an address of its own on the loopback.

The loopback network has 2^24 addresses.  A meter answers at the listener's address plus its id
(`tcp://127.0.0.0:4059` and meter 258: 127.0.1.2), so one open port serves thousands of meters, and
whoever reads them needs to know no more than an address of each.  It is for tools and trials: there
is no TLS, and what was not dialled on the loopback is refused.
"""

import logging
from collections.abc import Callable, Mapping
from ipaddress import IPv4Address, IPv4Network
from typing import Final

from openami.meter.management import Management
from openami.meter.serving import MeterLine
from openami.runtime.errors import ExitCode, UserError
from openami.transport.endpoint import Listener, listen
from openami.transport.url import Url
from openami.transport.wire import Limits, Wire, WireError, WireHandler

log = logging.getLogger(__name__)

LOOPBACK: Final = IPv4Network("127.0.0.0/8")
ANY: Final = "0.0.0.0"
SPARE: Final = 100  # connections beside one a meter
IDLE_S: Final = 600.0


Line = Callable[[Management, Wire], WireHandler]


def plain_line(management: Management, wire: Wire) -> MeterLine:
    """Return what serves a connection without TLS."""
    return MeterLine(management, wire, plain=True)


def address_of(base: Url, meter_id: int) -> Url:
    """Return where a meter answers.

    Raises:
        UserError: That is no address of the loopback.
    """
    try:
        host = IPv4Address(base.host) + meter_id
    except ValueError as error:
        raise _refused(base, meter_id) from error
    if IPv4Address(base.host) not in LOOPBACK or host not in LOOPBACK:
        raise _refused(base, meter_id)
    return Url("tcp", str(host), base.port)


def _refused(base: Url, meter_id: int) -> UserError:
    problem = f"{base} with {meter_id} added is no address of the loopback network {LOOPBACK}"
    return UserError(f"{problem}: write tcp://127.0.0.0:PORT", ExitCode.ASKED_WRONGLY)


async def listen_plain(
    meters: Mapping[int, Management], base: Url, line: Line = plain_line
) -> Listener:
    """Open the port.

    Args:
        meters: By id.
        base: Its address, to which each meter's id is added; port 0 lets the system choose.
        line: Makes what serves a connection.

    Raises:
        UserError: The port is taken, or an address is none of the loopback.
    """
    by_host = {address_of(base, meter_id).host: each for meter_id, each in meters.items()}

    def accept(wire: Wire) -> WireHandler:
        management = by_host.get(wire.local_host)
        if management is None:
            raise WireError(f"no meter of this fleet is at {wire.local_host}")
        return line(management, wire)

    limits = Limits(max_connections=len(by_host) + SPARE, idle_timeout_s=IDLE_S)
    listener = await listen(Url("tcp", ANY, base.port), accept, limits=limits)
    url = Url("tcp", base.host, listener.url.port)
    log.warning(
        "%d meters listen from %s on without TLS, for tools and trials only; "
        'set [fleet] plain = "" in config.toml to close it',
        len(by_host),
        url,
    )
    listener.url = url
    return listener
