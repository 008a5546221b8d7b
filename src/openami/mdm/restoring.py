# SPDX-License-Identifier: Apache-2.0
"""A lake that has less than the store was told: damaged, moved away, or from an older backup.

Intake deletes a message only when its batch is durable in the lake, and numbers the batches.  When
the lake's last number is below the last that was finished, readings are missing that nobody waits
for any more.  Then every day is counted anew; what is missing becomes gaps, and the head-end
reads those from the meters' load profiles.
"""

import logging

from sqlalchemy import Engine

from openami.mdm.coverage import recount
from openami.store import data_quality, inbox, registry
from openami.store.interval_writer import IntervalWriter

log = logging.getLogger(__name__)


def count_anew_if_lake_lacks(engine: Engine, writer: IntervalWriter, until_us: int) -> bool:
    """Compare lake and store at the start; tell whether days had to be counted anew.

    Args:
        engine: The store.
        writer: The lake, before intake numbers its batches.
        until_us: Intervals that ended by then are expected.
    """
    finished = inbox.last_finished(engine)
    if not writer.lacks_batch(finished):
        return False
    log.error(
        "%s lacks batches up to %d that it had: days are counted anew, and what is missing is read "
        "from the meters again",
        writer.lake.folder,
        finished,
    )
    meters = {meter.meter_id: meter for meter in registry.meters(engine)}
    days = [(row.meter_id, row.day) for row in data_quality.coverage(engine)]
    data_quality.put_coverage(engine, recount(writer.lake, meters, days, until_us))
    return True
