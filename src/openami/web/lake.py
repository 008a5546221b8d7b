# SPDX-License-Identifier: Apache-2.0
"""Binds `Readings` to the lake."""

from collections.abc import Collection
from pathlib import Path

from openami.exchange.channels import Channel
from openami.store.intervals import Lake, start_us
from openami.web.readings import Carriage, Load, Version
from openami.web.times import Span
from openami.web.usage import Series


class LakeReadings:
    """Intervals as the Delta tables hold them."""

    def __init__(self, folder: Path) -> None:
        self._lake = Lake(folder)

    def series(self, meter_id: int, channel: Channel, span: Span) -> Series:
        frame = self._lake.series(meter_id, int(channel), span.from_us, span.to_us)
        return Series(
            starts_us=start_us(frame),
            values=frame["value"].to_list(),
            qualities=frame["quality"].to_list(),
            versions=frame["version"].to_list(),
        )

    def load(self, meter_ids: Collection[int], span: Span) -> Load:
        frame = self._lake.sums(meter_ids, int(Channel.IMPORT_WH), span.from_us, span.to_us)
        return Load(
            starts_us=start_us(frame),
            values_wh=frame["value"].to_list(),
            meters=frame["meters"].to_list(),
        )

    def versions(self, meter_id: int, channel: Channel, start_us: int) -> list[Version]:
        frame = self._lake.history(meter_id, int(channel), start_us)
        return [
            Version(
                version=row["version"],
                value=row["value"],
                quality=row["quality"],
                received_us=row["received_us"],
                message_id=row["message_id"],
            )
            for row in frame.to_dicts()
        ]

    def carriage(self, message_id: int) -> Carriage | None:
        row = self._lake.raw_message(message_id)
        if row is None:
            return None
        octets = row["octets"]
        return Carriage(
            kind=str(row["kind"]),
            hops=str(row["hops"]),
            key_epoch=str(row["key_epoch"]),
            clock_status=str(row["clock_status"]),
            octets=len(octets) if isinstance(octets, bytes) else 0,
        )
