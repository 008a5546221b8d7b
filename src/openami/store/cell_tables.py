# SPDX-License-Identifier: Apache-2.0
"""The table of who waits for a place in a cell that several head-ends share (store.cells)."""

from sqlalchemy import BigInteger, Column, Integer, SmallInteger, String, Table

from openami.store.tables import metadata

cell_wants = Table(
    "cell_wants",
    metadata,
    Column("cell", String(40), primary_key=True),  # as store.cells names it
    Column("holder", String(80), primary_key=True),  # worker/life
    Column("urgency", SmallInteger, primary_key=True),  # headend.sessions.Urgency
    Column("jobs", Integer, nullable=False),  # that wait
    Column("since_real_us", BigInteger, nullable=False),  # the oldest; of the database's clock
    Column("until_real_us", BigInteger, nullable=False),  # unless told again; of the same clock
)
