# SPDX-License-Identifier: Apache-2.0
"""The files of a fleet: opened together, made where they are missing, taken over where they were.

Each meter's; those that joined together share a file of load profiles.
"""

import resource
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from openami.meter import fleet_adopt
from openami.meter.config import MeterConfig
from openami.meter.fleet_metrology import FleetMetrology, profile_files
from openami.meter.fleet_profile import FleetProfile
from openami.meter.fleet_records import FleetRecords
from openami.runtime.clock import real_us
from openami.runtime.errors import UserError


class Files(NamedTuple):
    """What was opened.

    Attributes:
        records: What managements must not forget.
        metrologies: One a file of load profiles.
        findings: A sentence for each file that was damaged.
    """

    records: FleetRecords
    metrologies: list[FleetMetrology]
    findings: list[str]


def open_files(home: Path, configs: Sequence[MeterConfig]) -> Files:
    """Open the files of all meters, and make what is missing.

    Args:
        home: The fleet's folder.
        configs: Of its meters.

    Raises:
        StorageError: A file can be neither read nor created.
    """
    by_id = {config.meter_id: config for config in configs}
    profiles: list[FleetProfile] = []
    findings: list[str] = []
    paths = profile_files(home)
    for path in paths:
        profile, finding = FleetProfile.open(path)
        profiles += [profile] if profile else []
        findings += [finding] if finding else []
    there = {meter_id for profile in profiles for meter_id in profile.ids}
    new = [config for config in configs if config.meter_id not in there]
    records = FleetRecords.of(
        home, real_us, event_entries=max(config.event_entries for config in configs)
    )
    findings += [records.finding] if records.finding else []
    with_files = [config for config in configs if fleet_adopt.has_files(config)]
    adopted = fleet_adopt.adopt(home, with_files, there, records)
    findings += [finding for found in adopted.values() for finding in found.findings]
    if new:
        number = 1 + max((int(path.stem[8:]) for path in paths), default=0)
        profiles.append(_profile_of(home / f"profile-{number}.blocks", new, adopted))
    fleet_adopt.remove_files(with_files)
    metrologies = [
        FleetMetrology(
            profile,
            [by_id.get(meter_id) for meter_id in profile.ids],
            records.move_breaker,
        )
        for profile in profiles
        if not by_id.keys().isdisjoint(profile.ids)
    ]
    for metrology in metrologies:
        for column, meter_id in enumerate(metrology.profile.ids):
            for change in records.breaker.get(meter_id, ()):
                if meter_id in by_id:
                    metrology.restore(column, change)
    return Files(records, metrologies, findings)


def _profile_of(
    path: Path, configs: Sequence[MeterConfig], adopted: dict[int, fleet_adopt.Found]
) -> FleetProfile:
    """Return a new file of profiles; it has its name when all that was adopted is in it."""
    profile = FleetProfile.make(
        path.with_name(f"new-{path.name}"),
        [config.meter_id for config in configs],
        period_s=configs[0].capture_period_s,
        capacity=max(config.profile_entries for config in configs),
    )
    fleet_adopt.write_intervals(profile, adopted)
    profile.rename(path)
    return profile


def make_room_for_descriptors(needed: int) -> None:
    """Raise the soft limit of open files to what is needed.

    Raises:
        UserError: The hard limit is lower, and not ours to raise.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= needed or soft == resource.RLIM_INFINITY:
        return
    most = hard if hard == resource.RLIM_INFINITY else max(hard, needed)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, most))
    except (ValueError, OSError) as error:  # the hard limit is root's to raise
        raise UserError(
            f"this fleet needs {needed} open files and the system allows {hard}: "
            "raise the limit (ulimit -Hn) or carry fewer meters in one process"
        ) from error
