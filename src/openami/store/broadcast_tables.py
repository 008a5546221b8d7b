# SPDX-License-Identifier: Apache-2.0
"""The SQL tables of broadcasts: keys of groups, who has them, and what goes out to a group.

They belong to the metadata of `tables`; `schema` sees to it that they are known wherever that is.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from openami.store.tables import Serial, metadata

groups = Table(  # the meters of a concentrator, with the keys that they share for broadcasts
    "groups",
    metadata,
    Column("concentrator", LargeBinary(8), primary_key=True),
    Column("epoch", Integer, nullable=False),  # rises with each change of the keys
    Column("encryption", LargeBinary, nullable=False),  # wrapped, as meter_keys are
    Column("authentication", LargeBinary, nullable=False),
    Column("next", BigInteger, nullable=False),  # invocation counter; goes on over changes
    Column("changed_by", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("changed_real_us", BigInteger, nullable=False),
)

group_members = Table(  # what was transferred to a meter last, by its own answer
    "group_members",
    metadata,
    Column("meter_id", Integer, primary_key=True),
    Column("concentrator", LargeBinary(8), nullable=False, index=True),
    Column("epoch", Integer, nullable=False),  # 0: put out of the group
    Column("changed_real_us", BigInteger, nullable=False),
)

group_changes = Table(  # whose keys for broadcasts are to be changed, and what came of it
    "group_changes",
    metadata,
    Column("change_id", Serial, primary_key=True),
    Column("rotation", String(36), nullable=False, index=True),  # UUID of what was asked at once
    Column("concentrator", LargeBinary(8), nullable=False),
    Column("asked_by", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("correlation", String(64)),  # what the asker calls it
    Column("asked_real_us", BigInteger, nullable=False),
    Column("state", String(12), nullable=False),  # store.group_changes.ChangeState
    Column("epoch", Integer),  # drawn for it; None: not yet
    Column("attempts", Integer, nullable=False),
    Column("free_real_us", BigInteger, nullable=False),  # nobody tries it before
    Column("ended_real_us", BigInteger),
    Column("note", Text, nullable=False),
)
Index(  # one open change a group, whoever asks
    "group_changes_open",
    group_changes.c.concentrator,
    unique=True,
    sqlite_where=group_changes.c.state == "open",
    postgresql_where=group_changes.c.state == "open",
)

campaign_groups = Table(  # blocks of a campaign that go to the meters of a wave together
    "campaign_groups",
    metadata,
    Column("group_id", Serial, primary_key=True),
    Column("campaign_id", String(36), nullable=False),
    Column("wave", Integer, nullable=False),
    Column("concentrator", LargeBinary(8), nullable=False),
    Column("state", String(12), nullable=False),  # store.broadcasts.GroupState
    Column("blocks", Integer, nullable=False),
    Column("block_octets", Integer, nullable=False),
    Column("position", Integer, nullable=False),  # the next: round x blocks + block
    Column("blocks_sent", Integer, nullable=False),
    Column("octets_sent", BigInteger, nullable=False),  # of blocks
    Column("note", Text, nullable=False),
    Column("began_real_us", BigInteger, nullable=False),
    Column("changed_real_us", BigInteger, nullable=False),
    UniqueConstraint("campaign_id", "wave", "concentrator"),
)
