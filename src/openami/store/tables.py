# SPDX-License-Identifier: Apache-2.0
"""The SQL tables, declared once (docs/architecture.md, 6).

Those of supply and outages are in `supply_tables`, what concentrators say in `field_tables`, and
broadcasts in `broadcast_tables`, clocks in `clock_tables`, waiting for cells in `cell_tables`.

SQLite by default, PostgreSQL by the same declarations.  Times are integers of microseconds UTC:
`..._us` of the metering calendar, `..._real_us` of real time.
"""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
)

SCHEMA_VERSION: Final = "0021"  # the newest step in store/migrations

metadata = MetaData()

# SQLite gives automatic numbers only to a column of type INTEGER.
Serial = BigInteger().with_variant(Integer, "sqlite")

schema = Table(  # one row, kept by Alembic
    "alembic_version", metadata, Column("version_num", String(32), primary_key=True)
)

# --- registry: written by the head-end -------------------------------------------------------

meters = Table(
    "meters",
    metadata,
    Column("meter_id", Integer, primary_key=True),
    Column("title", LargeBinary(8), nullable=False, unique=True),
    Column("ldn", String(16), nullable=False),
    Column("region", Text, nullable=False, index=True),
    Column("concentrator", LargeBinary(8), nullable=False, index=True),
    Column("installed_us", BigInteger, nullable=False),
    Column("capture_period_s", Integer, nullable=False),
    Column("address", Text),  # tls:// or tcp:// of a listening meter; None: by its concentrator
    Column("source", Text, nullable=False, default=""),  # what 0.0.96.1.9.255 says
    Column("breaker", Integer),  # control_state of disconnect control; None: never read
    Column("breaker_us", BigInteger),
    Column("last_seen_us", BigInteger),
    Column("profile_read_us", BigInteger),  # end of the last scheduled profile read
    Column("events_read_us", BigInteger),
    Column("cell", Text, nullable=False, server_default=""),  # what it shares its way with
)

commissionings = Table(  # meters on their way into operation, and those that got there
    "commissionings",
    metadata,
    Column("meter_id", Integer, primary_key=True),
    Column("stage", String(12), nullable=False),  # store.commissioning.Stage: the next to pass
    Column("state", String(12), nullable=False, index=True),  # open, held, operating
    Column("certificate", Text, nullable=False, default=""),  # SHA-256, where one was given
    Column("asked_by", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("asked_real_us", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
    Column("free_real_us", BigInteger, nullable=False, default=0),  # nobody works on it after
    Column("note", Text, nullable=False, default=""),
)

commissioning_history = Table(
    "commissioning_history",
    metadata,
    Column("history_id", Serial, primary_key=True),
    Column("meter_id", Integer, nullable=False, index=True),
    Column("at_real_us", BigInteger, nullable=False),
    Column("stage", String(12), nullable=False),
    Column("note", Text, nullable=False),
)

attachments = Table(  # which meters hang on their concentrator now
    "attachments",
    metadata,
    Column("meter_id", Integer, primary_key=True),
    Column("attached", Boolean, nullable=False),
    Column("since_us", BigInteger, nullable=False),
    Column("worker", String(40), nullable=False, server_default=""),  # who has its uplink
)

meter_keys = Table(
    "meter_keys",
    metadata,
    Column("meter_id", Integer, primary_key=True),
    Column("key_name", String(8), primary_key=True),  # guek, gak, kek or kek_was, lls
    Column("epoch", Integer, primary_key=True),
    Column("state", String(8), nullable=False),  # store.keys.KeyState
    Column("wrapped", LargeBinary, nullable=False),  # RFC 3394 under the key-encryption key
)

key_history = Table(  # what happened to an epoch of a meter's keys
    "key_history",
    metadata,
    Column("history_id", Serial, primary_key=True),
    Column("meter_id", Integer, nullable=False, index=True),
    Column("epoch", Integer, nullable=False),
    Column("at_real_us", BigInteger, nullable=False),
    Column("state", String(8), nullable=False),
    Column("note", Text, nullable=False),
)

key_changes = Table(  # whose keys are to be changed, and what came of it
    "key_changes",
    metadata,
    Column("change_id", Serial, primary_key=True),
    Column("rotation", String(36), nullable=False, index=True),  # UUID of what was asked at once
    Column("meter_id", Integer, nullable=False),
    Column("key_names", Text, nullable=False),  # "guek gak", "guek gak kek"
    Column("asked_by", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("asked_real_us", BigInteger, nullable=False),
    Column("state", String(12), nullable=False),  # store.key_changes.ChangeState
    Column("epoch", Integer),  # prepared for it; None: not yet
    Column("attempts", Integer, nullable=False, default=0),
    Column("free_real_us", BigInteger, nullable=False, default=0),  # nobody works on it after
    Column("ended_real_us", BigInteger),
    Column("note", Text, nullable=False, default=""),
)
Index(  # one open change a meter, whoever asks
    "key_changes_open",
    key_changes.c.meter_id,
    unique=True,
    sqlite_where=key_changes.c.state == "open",
    postgresql_where=key_changes.c.state == "open",
)

counters = Table(  # invocation counters, reserved ahead of use
    "counters",
    metadata,
    Column("meter_id", Integer, primary_key=True),
    Column("epoch", Integer, primary_key=True),
    Column("next", BigInteger, nullable=False),  # the first number never reserved
)

accepted_pages = Table(  # storable notifications, accepted once in any order: a bit a counter
    "accepted_pages",
    metadata,
    Column("page", LargeBinary(16), primary_key=True),  # title, epoch, number; see `accepted`
    Column("bits", LargeBinary(64), nullable=False),
    postgresql_with={"fillfactor": 70},  # a page is written many times, in place if there is room
)

rejected = Table(  # messages that could not be opened or do not belong; an alarm each
    "rejected",
    metadata,
    Column("rejected_id", Serial, primary_key=True),
    Column("title", LargeBinary(8), nullable=False),
    Column("concentrator", LargeBinary(8)),
    Column("received_us", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("octets", LargeBinary, nullable=False),
)

events = Table(  # meters' event logs, one row an event
    "events",
    metadata,
    Column("event_id", Serial, primary_key=True),
    Column("meter_id", Integer, nullable=False, index=True),
    Column("at_us", BigInteger, nullable=False),
    Column("code", Integer, nullable=False),
    Column("received_us", BigInteger, nullable=False),
    Column("acknowledged_by", Text),  # None: nobody has looked at it yet
    Column("acknowledged_real_us", BigInteger),
    Column("note", Text),
    UniqueConstraint("meter_id", "at_us", "code"),
)
Index("events_at", events.c.at_us)

# --- inbox: inserted by the head-end, drained by MDM -----------------------------------------

inbox = Table(
    "inbox",
    metadata,
    Column("message_id", Serial, primary_key=True),
    Column("meter_id", Integer, nullable=False),
    Column("kind", String(8), nullable=False),  # push, profile
    Column("received_us", BigInteger, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("hops", Text, nullable=False),  # who carried it, e.g. "north"
    Column("octets", LargeBinary, nullable=False),  # as received, protected
    Column("rows", LargeBinary, nullable=False),  # A-XDR array of profile rows, opened
    Column("batch_id", BigInteger, index=True),  # claimed by a drainer; None: free
    sqlite_autoincrement=True,  # a number is never given twice
)

sequences = Table(  # numbers that are given once: batches of the drainer
    "sequences",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("next", BigInteger, nullable=False),
)

# --- live: written by MDM and, for momentary values, by the head-end --------------------------

latest = Table(
    "latest",
    metadata,
    Column("meter_id", Integer, primary_key=True),
    Column("channel", SmallInteger, primary_key=True),
    Column("start_us", BigInteger, nullable=False),  # interval start, or the moment of a live value
    Column("value", BigInteger, nullable=False),
    Column("quality", SmallInteger, nullable=False),
    Column("received_us", BigInteger, nullable=False),
)

feed = Table(  # what pages follow; pruned from the old end
    "feed",
    metadata,
    Column("feed_id", Serial, primary_key=True),
    Column("kind", String(16), nullable=False),  # live, interval, attachment, command, finding
    Column("meter_id", Integer),
    Column("at_us", BigInteger, nullable=False),
    Column("body", Text, nullable=False),  # JSON object
    sqlite_autoincrement=True,
)

coverage = Table(  # how complete a meter's UTC day is, channel 1
    "coverage",
    metadata,
    Column("meter_id", Integer, primary_key=True),
    Column("day", Integer, primary_key=True),  # days since 1970-01-01
    Column("expected", Integer, nullable=False),
    Column("actual", Integer, nullable=False),
    Column("estimated", Integer, nullable=False),
    Column("suspect", Integer, nullable=False),
    Index("coverage_day", "day"),
)
Index(  # the few days that lack values, among very many that do not
    "coverage_incomplete",
    coverage.c.meter_id,
    coverage.c.day,
    sqlite_where=coverage.c.actual < coverage.c.expected,
    postgresql_where=coverage.c.actual < coverage.c.expected,
)

gaps = Table(  # intervals that should be there and are not
    "gaps",
    metadata,
    Column("gap_id", Serial, primary_key=True),
    Column("meter_id", Integer, nullable=False, index=True),
    Column("from_us", BigInteger, nullable=False),
    Column("to_us", BigInteger, nullable=False),  # exclusive
    Column("found_us", BigInteger, nullable=False),
    Column("state", String(12), nullable=False),  # open, filled, estimated
    Column("attempts", Integer, nullable=False, default=0),
    Column("next_attempt_real_us", BigInteger, nullable=False, default=0),
    Column("last_error", Text),
    UniqueConstraint("meter_id", "from_us"),
)

vee_due = Table(  # local days of meters that changed and are to be validated
    "vee_due",
    metadata,
    Column("meter_id", Integer, primary_key=True),
    Column("day", Integer, primary_key=True),  # local day, days since 1970-01-01
    Column("not_before_us", BigInteger, nullable=False, index=True),
)

findings = Table(  # what validation says
    "findings",
    metadata,
    Column("finding_id", Serial, primary_key=True),
    Column("meter_id", Integer, nullable=False),
    Column("channel", SmallInteger, nullable=False),
    Column("start_us", BigInteger, nullable=False),
    Column("code", String(40), nullable=False),  # dotted: vee.spike
    Column("numbers", Text, nullable=False),  # JSON: the rule's own numbers
    Column("found_us", BigInteger, nullable=False),
    UniqueConstraint("meter_id", "channel", "start_us", "code"),
    Index("findings_found", "found_us"),
)

# --- commands: inserted by pages and tools, advanced by the head-end -------------------------

commands = Table(
    "commands",
    metadata,
    Column("command_id", String(36), primary_key=True),  # UUID
    Column("meter_id", Integer, nullable=False, index=True),
    Column("kind", String(12), nullable=False),
    Column("argument", Text, nullable=False),  # JSON
    Column("state", String(12), nullable=False, index=True),
    Column("asked_by", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("asked_real_us", BigInteger, nullable=False),
    Column("valid_until_real_us", BigInteger, nullable=False),
    Column("counter_first", BigInteger),
    Column("counter_after", BigInteger),
    Column("result", Text),  # JSON
    Column("priority", SmallInteger, nullable=False, server_default="1"),  # smaller is first
    Column("valid_from_real_us", BigInteger, nullable=False, server_default="0"),
    Column("attempts", Integer, nullable=False, server_default="0"),  # that reached no meter
    Column("next_attempt_real_us", BigInteger, nullable=False, server_default="0"),
    Column("changed_real_us", BigInteger, nullable=False, server_default="0"),  # its state
    Column("correlation", String(64), nullable=False, server_default="", index=True),
)

_requested = commands.c.state == "requested"  # a command to each of a million meters waits there
Index(
    "commands_due",
    commands.c.priority,
    commands.c.asked_real_us,
    sqlite_where=_requested,
    postgresql_where=_requested,
)
Index(
    "commands_late",
    commands.c.valid_until_real_us,
    sqlite_where=_requested,
    postgresql_where=_requested,
)

command_history = Table(
    "command_history",
    metadata,
    Column("history_id", Serial, primary_key=True),
    Column("command_id", String(36), nullable=False, index=True),
    Column("at_real_us", BigInteger, nullable=False),
    Column("state", String(12), nullable=False),
    Column("note", Text, nullable=False),
)

watches = Table(  # meters that somebody looks at now: the head-end reads them every second
    "watches",
    metadata,
    Column("meter_id", Integer, primary_key=True),
    Column("until_real_us", BigInteger, nullable=False),
)

outbox = Table(  # for other systems; an entry leaves when the broker has confirmed it
    "outbox",
    metadata,
    Column("publication_id", Serial, primary_key=True),
    Column("subject", Text, nullable=False),
    Column("body", Text, nullable=False),  # JSON
    sqlite_autoincrement=True,  # a number, and with it a message id, is never given twice
)

# --- firmware: campaigns are planned by tools, moved by people, conducted by head-ends ----------

releases = Table(  # images that were verified before they were taken
    "releases",
    metadata,
    Column("release_id", String(64), primary_key=True),  # SHA-256 of the octets, in hex
    Column("name", Text, nullable=False),  # of the file
    Column("version", Text, nullable=False),
    Column("identifier", LargeBinary, nullable=False),  # what its transfers are called
    Column("digest", LargeBinary, nullable=False),  # the image's hash, which a meter shows
    Column("keyhash", LargeBinary, nullable=False),  # of the key that signed it
    Column("size", Integer, nullable=False),
    Column("octets", LargeBinary, nullable=False),
    Column("added_by", Text, nullable=False),
    Column("added_real_us", BigInteger, nullable=False),
)

campaigns = Table(
    "campaigns",
    metadata,
    Column("campaign_id", String(36), primary_key=True),
    Column("name", Text, nullable=False),
    Column("release_id", String(64), nullable=False),
    Column("plan", Text, nullable=False),  # JSON: exchange.waves.Plan
    Column("state", String(12), nullable=False, index=True),  # exchange.campaign.CampaignState
    Column("wave", Integer, nullable=False),  # the open one; -1 before the start
    Column("waves", Integer, nullable=False),
    Column("wave_real_us", BigInteger, nullable=False),  # when it was opened
    Column("judged_real_us", BigInteger, nullable=False),  # rules count what changed since
    Column("asked_by", Text, nullable=False),
    Column("asked_real_us", BigInteger, nullable=False),
    Column("note", Text, nullable=False),
)

campaign_history = Table(
    "campaign_history",
    metadata,
    Column("history_id", Serial, primary_key=True),
    Column("campaign_id", String(36), nullable=False, index=True),
    Column("at_real_us", BigInteger, nullable=False),
    Column("state", String(12), nullable=False),
    Column("wave", Integer, nullable=False),
    Column("by", Text, nullable=False),
    Column("note", Text, nullable=False),
)

campaign_meters = Table(
    "campaign_meters",
    metadata,
    Column("target_id", Serial, primary_key=True),
    Column("campaign_id", String(36), nullable=False),
    Column("meter_id", Integer, nullable=False),
    Column("open", SmallInteger),  # 1, or None once ended: a meter is in one open campaign
    Column("wave", Integer, nullable=False),
    Column("state", String(12), nullable=False),  # exchange.campaign.MeterState
    Column("reason", String(20), nullable=False, default=""),  # exchange.campaign.Reason
    Column("note", Text, nullable=False, default=""),
    Column("version_before", Text, nullable=False, default=""),
    Column("version_after", Text, nullable=False, default=""),
    Column("blocks", Integer, nullable=False, default=0),
    Column("blocks_there", Integer, nullable=False, default=0),
    Column("blocks_sent", Integer, nullable=False, default=0),
    Column("octets_sent", BigInteger, nullable=False, default=0),  # of blocks
    Column("initiated", SmallInteger, nullable=False, default=0),  # how often
    Column("listens", SmallInteger, nullable=False, default=0),  # store.broadcasts.Listens
    Column("blocks_heard", Integer, nullable=False, default=0),  # by broadcast
    Column("attempts", Integer, nullable=False, default=0),  # in a row that brought nothing
    Column("free_real_us", BigInteger, nullable=False, default=0),  # not tried before
    Column("began_real_us", BigInteger),
    Column("transferred_real_us", BigInteger),
    Column("activate_us", BigInteger),  # calendar: when the image is to be started
    Column("activated_real_us", BigInteger),
    Column("changed_real_us", BigInteger, nullable=False),  # its state
    UniqueConstraint("campaign_id", "meter_id"),
    UniqueConstraint("meter_id", "open"),
    Index("campaign_meters_state", "campaign_id", "state", "wave"),
)

firmware = Table(  # what meters said they run
    "firmware",
    metadata,
    Column("meter_id", Integer, primary_key=True),
    Column("version", Text, nullable=False),
    Column("signature", LargeBinary, nullable=False),  # empty where it shows none
    Column("read_real_us", BigInteger, nullable=False),
)

# --- work shared by workers ------------------------------------------------------------------

leases = Table(  # who does what until when; store.leases says which rows stay
    "leases",
    metadata,
    Column("kind", String(12), primary_key=True),  # store.leases.Kind
    Column("item", String(40), primary_key=True),
    Column("holder", String(80), nullable=False),  # worker/life; "": it was given back
    Column("fence", BigInteger, nullable=False),  # rises with each holder
    Column("until_real_us", BigInteger, nullable=False),  # of the database's clock; below 0: free
    postgresql_with={"fillfactor": 80},  # a row is renewed in place if its page has room
)

# Not of `until_real_us`: renewing would then write every index anew.
Index(
    "ix_leases_held",
    leases.c.kind,
    leases.c.holder,
    sqlite_where=leases.c.holder != "",
    postgresql_where=leases.c.holder != "",
)

# --- access -----------------------------------------------------------------------------------

accounts = Table(
    "accounts",
    metadata,
    Column("login", String(64), primary_key=True),
    Column("role", String(12), nullable=False),  # utility, household
    Column("meter_id", Integer),  # household: the only meter it may see
    Column("password_hash", Text, nullable=False),
    Column("session_epoch", Integer, nullable=False, default=0),  # raised to end all sessions
)

audit = Table(
    "audit",
    metadata,
    Column("audit_id", Serial, primary_key=True),
    Column("at_real_us", BigInteger, nullable=False),
    Column("login", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("object", Text, nullable=False),
)
