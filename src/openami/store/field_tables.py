# SPDX-License-Identifier: Apache-2.0
"""The SQL tables of concentrators: what they say (`field`), how they are spoken with."""

from sqlalchemy import BigInteger, Boolean, Column, Integer, LargeBinary, String, Table, Text

from openami.store.tables import metadata

concentrators = Table(  # how each says that it is
    "concentrators",
    metadata,
    Column("title", LargeBinary(8), primary_key=True),
    Column("heard_real_us", BigInteger, nullable=False),
    Column("started_real_us", BigInteger, nullable=False),
    Column("entries", BigInteger, nullable=False),
    Column("octets", BigInteger, nullable=False),
    Column("most_octets", BigInteger, nullable=False),
    Column("oldest_s", BigInteger, nullable=False),
    Column("meters", BigInteger, nullable=False),
    Column("attached", BigInteger, nullable=False),
    Column("at_quota", BigInteger, nullable=False),
    Column("refused", BigInteger, nullable=False),
    Column("alarm", Text, nullable=False),
)

concentrator_firmware = Table(  # what each said last that it runs
    "concentrator_firmware",
    metadata,
    Column("title", LargeBinary(8), primary_key=True),
    Column("heard_real_us", BigInteger, nullable=False),
    Column("version", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("signer", LargeBinary, nullable=False),
    Column("counter", BigInteger, nullable=False),
    Column("bank", Integer, nullable=False),
    Column("trial", Boolean, nullable=False),
    Column("problem", Text, nullable=False),
)

concentrator_clocks = Table(  # how far off each said last that its host's clock is
    "concentrator_clocks",
    metadata,
    Column("title", LargeBinary(8), primary_key=True),
    Column("heard_real_us", BigInteger, nullable=False),
    Column("offset_us", BigInteger),  # to be added to have the head-end's; NULL: not known
    Column("uncertainty_us", BigInteger),
    Column("round_trip_us", BigInteger),
    Column("limit_us", BigInteger, nullable=False),
    Column("past_limit", Boolean, nullable=False),
    Column("kept", Boolean),  # NULL: its kernel does not tell
)

links = Table(  # the way from a concentrator to each meter that it ever met
    "links",
    metadata,
    Column("concentrator", LargeBinary(8), primary_key=True),
    Column("title", LargeBinary(8), primary_key=True),
    Column("bearer", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("attached", Boolean, nullable=False),
    Column("first_seen_real_us", BigInteger, nullable=False),
    Column("last_seen_real_us", BigInteger, nullable=False),
    Column("round_trip_us", BigInteger),
    Column("sent", BigInteger, nullable=False),
    Column("lost", BigInteger, nullable=False),
)

notices = Table(  # what happened at a concentrator, each once
    "notices",
    metadata,
    Column("concentrator", LargeBinary(8), primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("at_real_us", BigInteger, primary_key=True),  # a lost registry counts from 1 again
    Column("code", Integer, nullable=False),
    Column("title", LargeBinary(8), nullable=False),  # the meter; empty: the concentrator itself
    Column("text", Text, nullable=False),
)

concentrator_keys = Table(  # what we share with each, wrapped, and the next invocation counter
    "concentrator_keys",
    metadata,
    Column("title", LargeBinary(8), primary_key=True),
    Column("guek", LargeBinary, nullable=False),
    Column("gak", LargeBinary, nullable=False),
    Column("following", BigInteger, nullable=False),
)

concentrator_updates = Table(  # the newest firmware update of each
    "concentrator_updates",
    metadata,
    Column("title", LargeBinary(8), primary_key=True),
    Column("release_id", String(64), nullable=False),
    Column("state", String(12), nullable=False),
    Column("note", Text, nullable=False),
    Column("blocks", Integer, nullable=False),
    Column("blocks_there", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("version_before", Text, nullable=False),
    Column("version_after", Text, nullable=False),
    Column("asked_by", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("asked_real_us", BigInteger, nullable=False),
    Column("activated_real_us", BigInteger),
    Column("changed_real_us", BigInteger, nullable=False),
    Column("wave", String(96), nullable=False),  # the name of those that were wanted together
    Column("place", Integer, nullable=False),  # in it
)
