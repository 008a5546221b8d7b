# SPDX-License-Identifier: Apache-2.0
"""The SQL tables of alarms; they belong to the metadata of `tables`, as `supply_tables` do."""

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, String, Table, Text

from openami.store.tables import metadata

alarms = Table(  # each bit that was ever set, as it is now
    "alarms",
    metadata,
    Column("meter_id", Integer, primary_key=True),
    Column("register", Integer, primary_key=True),  # 0: the error register
    Column("bit", Integer, primary_key=True),
    Column("kind", String(64), nullable=False),
    Column("text", Text, nullable=False),
    Column("since_us", BigInteger, nullable=False),
    Column("standing", Boolean, nullable=False),
    Column("ended_us", BigInteger),  # None: it stands
    Column("cleared_us", BigInteger),  # None: nobody has cleared it
    Column("cleared_by", Text),
)
open_alarms = alarms.c.cleared_us.is_(None)
Index("alarms_open", alarms.c.kind, sqlite_where=open_alarms, postgresql_where=open_alarms)

alarm_words = Table(  # registers of a meter as they were told or read last
    "alarm_words",
    metadata,
    Column("meter_id", Integer, primary_key=True),
    Column("as_of_us", BigInteger, nullable=False),
    Column("received_us", BigInteger, nullable=False),
    Column("words", Text, nullable=False),  # JSON: by register, by what it is
)
