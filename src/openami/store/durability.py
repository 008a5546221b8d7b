# SPDX-License-Identifier: Apache-2.0
"""What PostgreSQL must do before a commit of ours may be believed.

A commit is on the server's disk when it returns, whatever the server's default for
`synchronous_commit`.  Where fail-over is configured (the URL names more than one host) it must be
on another server's disk too: what is only on the first is lost when the second takes its place,
although it was acknowledged.  So without synchronous replication nothing is written at all.
"""

from typing import Any, Final

from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.engine import URL

DURABLE: Final = ("on", "remote_apply")  # of synchronous_commit
FAILS_OVER: Final = "openami_fails_over"  # execution option of an engine

SETTINGS: Final = text(
    "SELECT current_setting('synchronous_commit'), current_setting('synchronous_standby_names')"
)
KEEPALIVES: Final = {  # a host that is gone without a word is given up within half a minute
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "25000",
}
PRIMARY: Final = {"target_session_attrs": "read-write"}  # of several hosts


def names_several_hosts(url: URL) -> bool:
    """Tell whether a URL names more than one server: fail-over is configured."""
    named = url.query.get("host", ())
    hosts = [named] if isinstance(named, str) else list(named)
    return len([name for host in hosts for name in host.split(",")]) > 1


def hold_to_disk(engine: Engine) -> None:
    """Let every new connection wait for the disk at each commit."""

    @event.listens_for(engine, "connect")
    def set_up(connection: Any, _record: object) -> None:  # noqa: ANN401  a DBAPI connection
        said = connection.execute("SHOW synchronous_commit").fetchone()[0]
        if said not in DURABLE:
            connection.execute("SET synchronous_commit = on")
        connection.commit()


def problem_of(connection: Connection) -> str:
    """Return why a commit of this connection would not outlive a fail-over; empty if it does."""
    commit, standbys = connection.execute(SETTINGS).one()
    if commit not in DURABLE:
        return f"synchronous_commit is {commit}"
    if not standbys.strip():
        return "synchronous_standby_names is empty"
    return ""
