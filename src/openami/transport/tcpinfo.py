# SPDX-License-Identifier: Apache-2.0
"""How good a TCP connection is, as the kernel has measured it while it carried what it carried.

Linux tells it by the socket option TCP_INFO (tcp(7), linux/tcp.h); other systems tell nothing.
"""

import socket
import struct
from typing import Final, NamedTuple

HEAD: Final = struct.Struct("=8B24I")  # up to and with tcpi_total_retrans
ROUND_TRIP: Final = 8 + 15  # tcpi_rtt, in microseconds
RETRANSMITTED: Final = 8 + 23  # tcpi_total_retrans
SEGMENTS: Final = struct.Struct("=4QI")  # pacing rates, octets acked and received; tcpi_segs_out
MOST: Final = 256


class TcpFigures(NamedTuple):
    """What the kernel counted since the connection was made."""

    round_trip_us: int  # smoothed
    sent: int  # segments, those sent again included
    resent: int


def tcp_figures(line: socket.socket) -> TcpFigures | None:
    """Return the figures of a connected socket; None where the system does not tell."""
    option = getattr(socket, "TCP_INFO", None)
    if option is None:
        return None
    try:
        octets = line.getsockopt(socket.IPPROTO_TCP, option, MOST)
    except OSError:
        return None  # closed meanwhile
    if len(octets) < HEAD.size + SEGMENTS.size:
        return None
    head = HEAD.unpack_from(octets)
    *_, sent = SEGMENTS.unpack_from(octets, HEAD.size)
    return TcpFigures(head[ROUND_TRIP], sent, head[RETRANSMITTED])
