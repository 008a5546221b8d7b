# SPDX-License-Identifier: Apache-2.0
"""The SQL tables of supply: evidence by whoever hears it, outages by the worker that judges.

They belong to the metadata of `tables`; `schema` sees to it that they are known wherever that is.
"""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
)

from openami.store.tables import Serial, metadata

topology = Table(  # which transformer feeds a meter, which feeder that transformer
    "topology",
    metadata,
    Column("meter_id", Integer, primary_key=True),
    Column("transformer", Text, nullable=False, index=True),
    Column("feeder", Text, nullable=False, index=True),
)

uplinks = Table(  # whether a concentrator's uplink stands, and to whom
    "uplinks",
    metadata,
    Column("concentrator", LargeBinary(8), primary_key=True),
    Column("up", Boolean, nullable=False),
    Column("worker", String(40), nullable=False),
    Column("since_us", BigInteger, nullable=False),
    Column("since_real_us", BigInteger, nullable=False),
)

supply = Table(  # the last loss of supply of each meter that ever had one
    "supply",
    metadata,
    Column("meter_id", Integer, primary_key=True),
    Column("lost_us", BigInteger, nullable=False),
    Column("returned_us", BigInteger),  # None: not yet
    Column("evidence", String(12), nullable=False),  # exchange.supply.Evidence
    Column("found_real_us", BigInteger, nullable=False),
    Column("returned_real_us", BigInteger),
    Column("outage_id", BigInteger),  # None: not yet judged; 0: judged to be none
    # When the worker that judges takes it up next: to judge the loss, then to ask whether power is
    # back.  None: not before the meter tells something.
    Column("due_real_us", BigInteger),
    # When it changed, until its outage has been brought to it; None: it has been.
    Column("news_real_us", BigInteger),
)
Index(
    "supply_lost",
    supply.c.meter_id,
    sqlite_where=supply.c.returned_us.is_(None),
    postgresql_where=supply.c.returned_us.is_(None),
)
Index(
    "supply_unjudged",
    supply.c.due_real_us,
    supply.c.meter_id,
    sqlite_where=supply.c.outage_id.is_(None),
    postgresql_where=supply.c.outage_id.is_(None),
)
_TO_ASK: Final = supply.c.outage_id.is_not(None) & supply.c.due_real_us.is_not(None)
Index(
    "supply_to_ask",
    supply.c.due_real_us,
    supply.c.meter_id,
    sqlite_where=_TO_ASK,
    postgresql_where=_TO_ASK,
)
Index(
    "supply_news",
    supply.c.news_real_us,
    supply.c.meter_id,
    sqlite_where=supply.c.news_real_us.is_not(None),
    postgresql_where=supply.c.news_real_us.is_not(None),
)

pings = Table(  # is power there?  The last question to a meter
    "pings",
    metadata,
    Column("meter_id", Integer, primary_key=True),
    Column("asked_real_us", BigInteger, nullable=False),
    Column("state", String(12), nullable=False, index=True),  # exchange.supply.PingState
    Column("worker", String(40), nullable=False, server_default=""),
    Column("done_real_us", BigInteger),
    Column("news_real_us", BigInteger),  # when it was answered, until that has been heard
)
Index(
    "pings_news",
    pings.c.news_real_us,
    pings.c.meter_id,
    sqlite_where=pings.c.news_real_us.is_not(None),
    postgresql_where=pings.c.news_real_us.is_not(None),
)

outages = Table(
    "outages",
    metadata,
    Column("outage_id", Serial, primary_key=True),
    Column("scope", String(12), nullable=False),  # exchange.supply.Scope
    Column("place", Text, nullable=False),
    Column("region", Text, nullable=False),
    Column("parent_id", BigInteger, index=True),  # of the outage that this one is part of
    Column("began_us", BigInteger, nullable=False),
    Column("found_real_us", BigInteger, nullable=False),
    Column("ended_us", BigInteger, index=True),
    Column("ended_real_us", BigInteger),
    Column("verified", Boolean, nullable=False),  # a meter was asked and did not answer
    Column("sentence", Text, nullable=False),  # why it is believed
    Column("acknowledged_by", Text),
    Column("acknowledged_real_us", BigInteger),
    Column("note", Text),
    Column("due_real_us", BigInteger),  # when its end is judged next; None: not before a return
    Index("outages_place", "place", "began_us"),
)
Index(
    "outages_due",
    outages.c.due_real_us,
    sqlite_where=outages.c.due_real_us.is_not(None),
    postgresql_where=outages.c.due_real_us.is_not(None),
)
Index(  # one open outage a place, whoever finds it
    "outages_open",
    outages.c.scope,
    outages.c.place,
    unique=True,
    sqlite_where=outages.c.ended_us.is_(None),
    postgresql_where=outages.c.ended_us.is_(None),
)

outage_meters = Table(  # who is or was without supply in an outage
    "outage_meters",
    metadata,
    Column("outage_id", BigInteger, primary_key=True),
    Column("meter_id", Integer, primary_key=True),
    Column("lost_us", BigInteger, nullable=False),
    Column("returned_us", BigInteger),
    Column("evidence", String(12), nullable=False),
    Index("outage_meters_meter", "meter_id"),
)

outage_history = Table(
    "outage_history",
    metadata,
    Column("history_id", Serial, primary_key=True),
    Column("outage_id", BigInteger, nullable=False, index=True),
    Column("at_real_us", BigInteger, nullable=False),
    Column("note", Text, nullable=False),
)
