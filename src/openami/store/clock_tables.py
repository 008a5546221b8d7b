# SPDX-License-Identifier: Apache-2.0
"""The SQL tables of meters' clocks; they belong to the metadata of `tables`."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    SmallInteger,
    String,
    Table,
    Text,
)

from openami.store.tables import Serial, metadata

clocks = Table(  # a meter's clock as it was measured last, and what was made of that
    "clocks",
    metadata,
    Column("meter_id", Integer, primary_key=True),
    Column("measured_us", BigInteger, nullable=False, index=True),
    Column("deviation_s", Float),  # positive: ahead; None: it tells no time
    Column("uncertainty_s", Float, nullable=False),
    Column("status", SmallInteger),  # clock_status; None: not specified
    Column("worker", String(40), nullable=False),  # by whose clock it was measured
    Column("tolerated_s", Float, nullable=False),
    Column("drift_s", Float),  # a day; None: not known
    Column("drift_uncertainty_s", Float),
    Column("judged", Boolean, nullable=False),
    Column("notice", Boolean, nullable=False),  # a person is to look at it
    Column("said", Text, nullable=False),  # what was made of it, for a person
    Column("asked_us", BigInteger, index=True),  # when it was corrected last
    Column("command_id", String(36)),  # ... by which command
)
unjudged = clocks.c.judged.is_(False)
Index("clocks_unjudged", clocks.c.measured_us, sqlite_where=unjudged, postgresql_where=unjudged)
noticed = clocks.c.notice.is_(True)
Index("clocks_noticed", clocks.c.meter_id, sqlite_where=noticed, postgresql_where=noticed)

clock_history = Table(  # what was measured, a bounded number of rows a meter
    "clock_history",
    metadata,
    Column("history_id", Serial, primary_key=True),
    Column("meter_id", Integer, nullable=False, index=True),
    Column("measured_us", BigInteger, nullable=False, index=True),
    Column("deviation_s", Float),
    Column("uncertainty_s", Float, nullable=False),
    Column("status", SmallInteger),
    Column("moved", Boolean, nullable=False),  # by a command, just before
    Column("worker", String(40), nullable=False),
)

clock_suspicions = Table(  # head-ends whose own clock may be what is wrong
    "clock_suspicions",
    metadata,
    Column("worker", String(40), primary_key=True),
    Column(
        "suspected_us", BigInteger, nullable=False
    ),  # what it measured until then is not acted on
    Column("sentence", Text, nullable=False),  # of meters; empty: they say nothing
    Column("trusted_until_us", BigInteger, nullable=False),  # a person has looked: no suspicion
    # when concentrators' hosts agreed against it last; 0: they do not
    Column("agreed_us", BigInteger, nullable=False, server_default="0"),
)
