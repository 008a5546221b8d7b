# SPDX-License-Identifier: Apache-2.0
"""Updates: verifying and starting an image in real time, and over each bearer on simulated time.

Client and server of the update are the product's own; flash, banks and boot too.  What is simulated
is the bearer and its clock.  Each round is another seed: other losses, outages and hours of sleep.
"""

import asyncio
import math
import statistics
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec

from bench.measure import OURS, ROOT, Row, Scale, same
from openami.cosem.asking import image as asking
from openami.cosem.behaviour.firmware_sink import FirmwareSink
from openami.cosem.behaviour.image import ImageReceiver, image_transfer
from openami.cosem.classes.image_transfer import ImageTransfer
from openami.cosem.client import Client, ClientParameters
from openami.cosem.device import AssociationPolicy, Ciphering, LogicalDevice
from openami.cosem.rights import ALL, Grant
from openami.cosem.server import ServerConnection
from openami.device.payload.judge import policy
from openami.device.payload.release import Release
from openami.device.payload.sources import here
from openami.dlms.hls import Mechanism
from openami.dlms.sap import CLIENT_MANAGEMENT_PROCESS
from openami.dlms.security.ciphering import Cipher, KeySet
from openami.dlms.security.counters import CounterBlock
from openami.firmware.bank import M2351, M2351_FLASH_OCTETS
from openami.firmware.boot import Running, boot, prepare
from openami.firmware.flash import SimulatedFlash
from openami.firmware.image import Version
from openami.firmware.keys import VerifyingKey
from openami.firmware.state import UpdateState
from openami.firmware.update import Update
from openami.transport.bearers.discrete import connected, run_discrete
from openami.transport.bearers.link import Link
from openami.transport.bearers.medium import Medium
from openami.transport.bearers.parameters import preset
from openami.transport.session import SessionHandler
from openami.transport.wire import Limits, Wire, WireError

BEARERS: Final = (
    "ethernet",
    "wifi",
    "lte",
    "cat-m1",
    "nb-iot",
    "nb-iot-psm",
    "plc-prime",
    "plc-g3",
    "rf-mesh",
)
KEY: Final = ec.derive_private_key(0x0A31, ec.SECP256R1())
KEYS: Final = (VerifyingKey.of(KEY),)
CIPHER: Final = Cipher(KeySet(encryption_key=bytes(16), authentication_key=bytes(range(16))))
TITLES: Final = (b"OAM\x00\x00\x00\x00\x01", b"OAM\xe0\x00\x00\x00\x01")
BLOCK_OCTETS: Final = 1024
PATIENCE_S: Final = 6 * 3600.0  # for an answer: a device may sleep for hours
AGAIN_S: Final = 60.0
IDLE_S: Final = 1e9
EVENING: Final = 18.0
PICTURE: Final = ROOT / "docs" / "pictures" / "update-times.svg"
ENTROPY: Final = bytes(range(1, 65))


@dataclass(frozen=True, slots=True)
class Images:
    """A release and the one that follows it."""

    first: bytes
    second: bytes

    @classmethod
    def of_this_package(cls) -> "Images":
        release = Release.of(here())
        first, second = (
            release.image(Version(1, minor, 0), minor + 1, KEY).encode() for minor in (0, 1)
        )
        return cls(first, second)


class Meter:
    """A meter's end of a connection."""

    def __init__(self, wire: Wire, device: LogicalDevice) -> None:
        self._wire = wire
        self._server = ServerConnection(device, entropy=lambda size: ENTROPY[-size:])

    def frame(self, source: int, destination: int, apdu: bytes) -> None:
        answer = self._server.receive(source, apdu)
        while answer is not None:
            self._wire.send(destination, source, answer)
            answer = self._server.following()

    def closed(self, reason: str) -> None:  # noqa: ARG002
        self._server.lost()


def device_of(flash: SimulatedFlash) -> LogicalDevice:
    """Return a meter that receives images into a flash."""
    thing = ImageTransfer(asking.IMAGE, image_block_size=BLOCK_OCTETS, image_transfer_enabled=True)
    sink = FirmwareSink(Update(flash, M2351, policy(KEYS)), lambda: None)
    image_transfer(thing, ImageReceiver(thing, sink, resumes=True))
    manager = AssociationPolicy(
        client_sap=CLIENT_MANAGEMENT_PROCESS,
        mechanism=Mechanism.HLS_GMAC,
        ciphering=Ciphering(cipher=CIPHER, counters=CounterBlock(1, 1_000_000)),
        grants=(Grant(read=ALL, invoke=ALL),),
    )
    return LogicalDevice(objects=[thing], associations=(manager,), system_title=TITLES[0])


async def _update(link: Link, flash: SimulatedFlash, octets: bytes, breaks_s: float) -> float:
    """Update a meter over a link; return the simulated seconds until its candidate is staged."""
    loop = asyncio.get_running_loop()
    device = device_of(flash)
    counters = CounterBlock(1, 1_000_000)
    limits = Limits(idle_timeout_s=IDLE_S)
    parameters = ClientParameters(
        client_sap=CLIENT_MANAGEMENT_PROCESS,
        mechanism=Mechanism.HLS_GMAC,
        cipher=CIPHER,
        system_title=TITLES[1],
        server_title=TITLES[0],
    )
    while True:
        handlers: list[SessionHandler] = []

        def accept(wire: Wire, handlers: list[SessionHandler] = handlers) -> SessionHandler:
            handlers.append(SessionHandler(wire, CLIENT_MANAGEMENT_PROCESS, 1, PATIENCE_S))
            return handlers[0]

        near = Wire(accept, limits)
        far = Wire(lambda wire: Meter(wire, device), limits)
        ends = connected(link, lambda far=far: far, lambda near=near: near)  # type: ignore[misc]
        if breaks_s:
            loop.call_later(breaks_s, ends[1].abort)
        session = handlers[0].session
        client = Client(parameters, entropy=lambda size: ENTROPY[:size], counters=counters)
        try:
            await session.run(client.associate())
            await session.run(asking.transfer(client, b"next", octets))
            await session.run(asking.verify(client))
            await session.run(asking.activate(client))
        except WireError:
            await asyncio.sleep(AGAIN_S)
            continue
        near.close()
        return loop.time()


def update_over(bearer: str, seed: int, images: Images, breaks_s: float = 0) -> float:
    """Return how many seconds an update takes over a bearer; what runs afterwards is checked.

    Args:
        bearer: Name of a preset.
        seed: Of the bearer's chances.
        images: The one that runs, and the next.
        breaks_s: Each connection breaks after so many seconds; 0 if none does.
    """
    flash = SimulatedFlash(M2351_FLASH_OCTETS)
    prepare(flash, M2351, policy(KEYS), images.first)
    link = Link(Medium(preset(bearer), seed, hour=EVENING))
    seconds = run_discrete(_update(link, flash, images.second, breaks_s))
    same(Update(flash, M2351, policy(KEYS)).state, UpdateState.STAGED, bearer)
    found = boot(flash, M2351, policy(KEYS))
    same(isinstance(found, Running) and str(found.verified.version), "1.1.0+0", bearer)
    return seconds


def measure(scale: Scale) -> Iterator[Row]:
    """Measure a boot's decision, and updates over each bearer."""
    images = Images.of_this_package()
    flash = SimulatedFlash(M2351_FLASH_OCTETS)
    prepare(flash, M2351, policy(KEYS), images.first)
    octets = len(images.first)
    row = Row("verify and choose what boots", "boots/s", note=f"an image of {octets:,} octets")
    for _ in range(scale.rounds):
        row.add({OURS: _boots(flash, scale.seconds)})
    yield row
    for bearer in BEARERS:
        row = Row(
            f"update over {bearer}",
            "s",
            note=f"{octets:,} octets, protected DLMS, simulated time; less is better",
        )
        for seed in range(scale.rounds):
            row.add({OURS: update_over(bearer, seed, images)})
        yield row


def _boots(flash: SimulatedFlash, seconds: float) -> float:
    count, began = 0, time.perf_counter()
    while (spent := time.perf_counter() - began) < seconds:
        same(type(boot(flash, M2351, policy(KEYS))), Running, "a boot")
        count += 1
    return count / spent


def figures(rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each bearer, the quickest seed first."""
    images = Images.of_this_package()
    return {
        bearer: sorted(update_over(bearer, seed, images) for seed in range(rounds))
        for bearer in BEARERS
    }


def table(found: Mapping[str, list[float]]) -> str:
    """Return the table of docs/firmware.md: least, median and most of some seeds."""
    lines = ["| bearer | least | median | most |", "|---|---|---|---|"]
    for bearer, seconds in found.items():
        shown = (seconds[0], statistics.median(seconds), seconds[-1])
        lines.append(f"| {bearer} | " + " | ".join(map(duration, shown)) + " |")
    return "\n".join(lines)


def chart(found: Mapping[str, list[float]]) -> str:
    """Return a picture of the same: from least to most, a mark at the median, decades across."""
    low, high = -1, 5  # 0.1 s to 100,000 s
    left, wide, row = 100, 560, 28

    def across(seconds: float) -> float:
        return round(left + wide * (math.log10(seconds) - low) / (high - low), 1)

    height = row * len(found) + 40
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + wide + 40} {height}">',
        "<!-- SPDX-License-Identifier: Apache-2.0 -->",
        "<style>text { font: 12px sans-serif; }</style>",
        "<title>How long an update takes over each bearer</title>",
        '<rect width="100%" height="100%" fill="#fff"/>',
    ]
    for decade in range(low, high + 1):
        x, text = across(10.0**decade), f"{10.0**decade:,g} s"
        parts.append(f'<path d="M{x} 10V{height - 30}" stroke="#ccc"/>')
        parts.append(f'<text x="{x}" y="{height - 12}" text-anchor="middle">{text}</text>')
    for number, (bearer, seconds) in enumerate(found.items()):
        y = 24 + row * number
        first, middle, last = map(across, (seconds[0], statistics.median(seconds), seconds[-1]))
        parts.append(f'<text x="{left - 8}" y="{y + 4}" text-anchor="end">{bearer}</text>')
        parts.append(f'<path d="M{first} {y}H{last}" stroke="#2a6f97" stroke-width="8"/>')
        parts.append(f'<circle cx="{middle}" cy="{y}" r="6" fill="#013a63"/>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def duration(seconds: float) -> str:
    """Return a duration for people."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


if __name__ == "__main__":
    many = figures(100)
    print(table(many))
    PICTURE.write_text(chart(many), encoding="utf-8")
