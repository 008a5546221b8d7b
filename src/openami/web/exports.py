# SPDX-License-Identifier: Apache-2.0
"""Readings as a file: CSV with quality and version, a day at a time."""

import csv
import io
from collections.abc import Iterator
from datetime import date
from typing import Final

from fastapi.responses import StreamingResponse

from openami.exchange.channels import Channel
from openami.runtime.clock import from_us
from openami.store.registry import Meter
from openami.web.context import Context
from openami.web.times import each_day
from openami.web.usage import reason_of, state_of

HEADINGS: Final = (
    "meter",
    "start_utc",
    "start_local",
    "minutes",
    "import_wh",
    "state",
    "quality",
    "reason",
    "version",
)


def readings_csv(context: Context, meter: Meter, first: date, last: date) -> StreamingResponse:
    """Return the intervals of local days as a file to be saved."""
    name = f"openami-meter-{meter.meter_id}-{first}-{last}.csv"
    return StreamingResponse(
        _lines(context, meter, first, last),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _lines(context: Context, meter: Meter, first: date, last: date) -> Iterator[str]:
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(HEADINGS)
    for day in each_day(first, last):
        span = context.calendar.day(day)
        series = context.readings.series(meter.meter_id, Channel.IMPORT_WH, span)
        for start_us, value, quality, version in zip(
            series.starts_us, series.values, series.qualities, series.versions, strict=True
        ):
            writer.writerow(
                (
                    meter.meter_id,
                    from_us(start_us).strftime("%Y-%m-%dT%H:%M:%SZ"),
                    context.calendar.local(start_us).isoformat(),
                    meter.capture_period_s // 60,
                    value,
                    state_of(quality).name.lower(),
                    quality,
                    reason_of(quality),
                    version,
                )
            )
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()
