# SPDX-License-Identifier: Apache-2.0
"""A lake and a store that do not fit: one was lost in part, or came from another backup.

Intake deletes a message only when its batch is durable in the lake, and numbers the batches.  When
the lake's last number is below the last that was finished, readings are missing that nobody waits
for any more; when it is above the last that was given, the store is older than the lake and knows
nothing of what came since.  Either way every day is counted anew; what is missing becomes gaps,
and the head-end reads those from the meters' load profiles.
"""

import logging

from sqlalchemy import Engine

from openami.mdm.coverage import recount
from openami.store import data_quality, inbox, registry
from openami.store.interval_writer import IntervalWriter
from openami.store.intervals import DAY_US

log = logging.getLogger(__name__)


def count_anew_if_apart(engine: Engine, writer: IntervalWriter, until_us: int) -> bool:
    """Compare lake and store at the start; tell whether days had to be counted anew.

    Args:
        engine: The store.
        writer: The lake, before intake numbers its batches.
        until_us: Intervals that ended by then are expected.
    """
    finished, last = inbox.last_finished(engine), writer.last_batch()
    if writer.lacks_batch(finished):
        problem = f"lacks batches up to {finished} that it had"
    elif last > inbox.last_given(engine):
        problem = f"has batches up to {last}, and the store knows nothing of the last ones"
    else:
        return False
    log.error(
        "%s %s: days are counted anew, and what is missing is read from the meters again",
        writer.lake.folder,
        problem,
    )
    meters = {meter.meter_id: meter for meter in registry.meters(engine)}
    known = [(row.meter_id, row.day) for row in data_quality.coverage(engine)]
    since = max((day for _, day in known), default=until_us // DAY_US)
    unknown = {(meter, day) for meter in meters for day in range(since, until_us // DAY_US + 1)}
    days = [*known, *sorted(unknown.difference(known))]
    data_quality.put_coverage(engine, recount(writer.lake, meters, days, until_us))
    return True
