# SPDX-License-Identifier: Apache-2.0
"""What is to be provisioned: how many meters, where, on which ports (docs/provisioning.md, 1)."""

import re
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Final, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from openami.dlms.security.suites import SecuritySuite
from openami.runtime.errors import ConfigurationError, UserError
from openami.runtime.files import read_json, write_json
from openami.transport.url import Url

MANUFACTURER: Final = b"OAM"
HEAD_END_TITLE: Final = MANUFACTURER + bytes.fromhex("E000000001")
MOST_METERS: Final = 2**24 - 1  # a meter's title ends in its id
MOST_DRIFT_PPM: Final = 1000
MOST_REGIONS: Final = 0xFF
DAY_S: Final = 86_400
REGION: Final = re.compile(r"[a-z][a-z0-9-]{0,30}")
REMEDY: Final = "give another value, or another folder"


def meter_title(meter_id: int) -> bytes:
    """Return a meter's system title: `OAM`, three zeros, the id (docs/architecture.md, 4)."""
    return MANUFACTURER + meter_id.to_bytes(5)


def concentrator_title(number: int) -> bytes:
    """Return a concentrator's system title; numbers begin at 1."""
    return MANUFACTURER + b"\xc0" + number.to_bytes(4)


def logical_device_name(meter_id: int) -> str:
    """Return a meter's logical device name: `OAM` and 13 decimal digits."""
    return f"{MANUFACTURER.decode()}{meter_id:013d}"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A whole AMI on one machine; refused at once when it cannot be built.

    Not slotted, so that a default can be read from the class: `Plan.capture_period_s`.
    """

    meters: int = 100  # ids 1 … n; 1 is the full meter, the rest are fleet
    seed: int = 1  # chooses homes and weeks to replay, never keys
    regions: tuple[str, ...] = ("north", "south")  # one concentrator each
    zone: str = "Australia/Sydney"  # of tariffs and local days
    capture_period_s: int = 1800  # of the load profile
    installed_us: int  # calendar, µs UTC: start of the first capture period
    host: str = "127.0.0.1"
    uplink_port: int = 24050  # head-end, for concentrators
    concentrator_port: int = 24060  # first concentrator, for meters; then the next ports
    web_port: int = 8080
    suite: int = 0  # security suite of the meters
    plain_listener: str = ""  # tcp://127.0.0.1:4059: the full meter's port for tools
    drift_ppm: float = 0.0  # the most that crystals of some fleet meters are off (docs/clocks.md)

    def __post_init__(self) -> None:
        self._check(1 <= self.meters <= MOST_METERS, "meters", f"1 to {MOST_METERS}")
        self._check(self.seed >= 0, "seed", "0 or more")
        regions = self.regions
        sound = all(REGION.fullmatch(name) for name in regions) and len(set(regions)) == len(
            regions
        )
        few = 1 <= len(regions) <= MOST_REGIONS
        self._check(sound and few, "regions", "different names of a-z, 0-9 and hyphens")
        period_s = self.capture_period_s
        self._check(
            60 <= period_s <= DAY_S and DAY_S % period_s == 0,
            "capture_period_s",
            "a divisor of 86400 from 60",
        )
        aligned = self.installed_us % (period_s * 1_000_000) == 0
        self._check(aligned, "installed_us", "the start of a capture period")
        try:
            ZoneInfo(self.zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            self._check(False, "zone", "an IANA time zone such as Europe/Berlin")  # noqa: FBT003
        ports = [self.uplink_port, self.web_port]
        ports += [self.concentrator_port + index for index in range(len(regions))]
        for name in ("uplink_port", "concentrator_port", "web_port"):
            self._check(1 <= getattr(self, name) <= 0xFF00, name, "a port from 1 to 65280")
        for name in ("web_port", "uplink_port"):
            self._check(ports.count(getattr(self, name)) == 1, name, "apart from other ports")
        try:
            sound = Url.parse(str(self.uplink_url())) == self.uplink_url()
        except UserError:
            sound = False
        self._check(sound, "host", "the name or address of a machine")
        self._check(self.suite in set(SecuritySuite), "suite", "0, 1 or 2")
        sound = 0 <= self.drift_ppm <= MOST_DRIFT_PPM
        self._check(sound, "drift_ppm", f"0 to {MOST_DRIFT_PPM}")
        if self.plain_listener:
            Url.parse(self.plain_listener, "plain_listener")

    def _check(self, sound: bool, name: str, wanted: str) -> None:  # noqa: FBT001
        if not sound:
            value = getattr(self, name)
            sentence = f"the plan has {name} = {value!r}, which must be {wanted}: {REMEDY}"
            raise ConfigurationError(sentence)

    def region_of(self, meter_id: int) -> str:
        """Return the region of a meter: they take turns."""
        return self.regions[(meter_id - 1) % len(self.regions)]

    def concentrator_of(self, region: str) -> bytes:
        """Return the title of a region's concentrator."""
        return concentrator_title(self.regions.index(region) + 1)

    def uplink_url(self) -> Url:
        """Return where the head-end listens."""
        return Url("tls", self.host, self.uplink_port)

    def concentrator_url(self, region: str) -> Url:
        """Return where a region's concentrator listens."""
        return Url("tls", self.host, self.concentrator_port + self.regions.index(region))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read `plan.json`.

        Raises:
            ConfigurationError: The file is damaged.
        """
        remedy = "restore it from a backup, or start anew in another folder"
        said = read_json(path, remedy)
        try:
            return cls(**{**said, "regions": tuple(said["regions"])})
        except (TypeError, KeyError) as error:
            raise ConfigurationError(f"{path} is not a plan ({error}): {remedy}") from error

    def store(self, path: Path) -> None:
        """Write `plan.json`, durably."""
        write_json(path, asdict(self))

    def verify_successor(self, wanted: "Plan", path: Path) -> None:
        """Accept `wanted` in the place of this plan, or refuse what would contradict it."""
        fixed = ("seed", "regions", "zone", "capture_period_s", "installed_us", "suite")
        assert set(fixed) <= {field.name for field in fields(self)}  # noqa: S101
        for name in fixed:
            if (had := getattr(self, name)) != (value := getattr(wanted, name)):
                raise ConfigurationError(
                    f"{path} says {name} = {had!r}, not {value!r}, and meters are installed by it: "
                    f"go on with {had!r}, or start anew in another folder"
                )
        if wanted.meters < self.meters:
            raise ConfigurationError(
                f"{path} holds {self.meters} meters, more than the {wanted.meters} asked for: "
                f"ask for {self.meters} or more, or start anew in another folder"
            )
