# SPDX-License-Identifier: Apache-2.0
"""Who may come in, and what they did: accounts, passwords, sessions, the audit trail.

The utility's staff sees every meter, and may command as `access.policy` says; a household sees its
own meter and nothing else. A password is kept as argon2id (RFC 9106), with the least cost that
OWASP recommends, so that a hundred first accounts are made in seconds. A session carries the
account's epoch; raising the epoch ends every session of the account at once.
"""

import secrets
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError
from sqlalchemy import RowMapping, select, update

from openami.runtime.clock import real_us
from openami.runtime.errors import UserError
from openami.store import tables
from openami.store.database import Database, insert_all, insert_new, reading, transaction

UTILITY_LOGIN: Final = "utility"
ALPHABET: Final = "abcdefghjkmnpqrstuvwxyz23456789"  # none that look alike
PASSWORD_GROUPS: Final = 4  # of four letters: 79 bits
MINIMUM_PASSWORD_LETTERS: Final = 12

HASHER: Final = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
# Checked when the login is unknown.  Salt and hash are zeros, which no password is known to give;
# to make a hash here would cost every process that loads this module as much as a log-in.
NOBODY: Final = (
    f"$argon2id$v=19$m={HASHER.memory_cost},t={HASHER.time_cost},p={HASHER.parallelism}"
    f"${'A' * 22}${'A' * 43}"
)


class Role(Enum):
    """What an account may do."""

    UTILITY = "utility"  # all
    OPERATOR = "operator"  # sees every meter, sends what `access.policy` lets it
    VIEWER = "viewer"  # sees every meter
    HOUSEHOLD = "household"


STAFF: Final = frozenset({Role.UTILITY, Role.OPERATOR, Role.VIEWER})


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A row of `accounts`, without its password."""

    login: str
    role: Role
    meter_id: int | None  # household: the only meter it may see
    session_epoch: int

    def may_see(self, meter_id: int) -> bool:
        """Tell whether this account may see a meter."""
        return self.role in STAFF or self.meter_id == meter_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """A first password, to be handed to its owner once."""

    login: str
    password: str
    role: Role
    meter_id: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """A row of the audit trail."""

    at_real_us: int
    login: str
    action: str
    object: str


def household_login(meter_id: int) -> str:
    """Return the login of the household at a meter."""
    return f"home-{meter_id:03d}"


def new_password() -> str:
    """Return a random password that can be read out over the telephone."""
    groups = ("".join(secrets.choice(ALPHABET) for _ in range(4)) for _ in range(PASSWORD_GROUPS))
    return "-".join(groups)


def create_first_accounts(database: Database, meters: Iterable[int]) -> list[Login]:
    """Make the account `utility` and one household account a meter, where they do not exist yet.

    Returns:
        The logins made now, with their passwords; existing accounts are left alone and not listed.
    """
    wanted: list[tuple[str, Role, int | None]] = [(UTILITY_LOGIN, Role.UTILITY, None)]
    wanted += [(household_login(meter_id), Role.HOUSEHOLD, meter_id) for meter_id in meters]
    with reading(database) as connection:
        existing = set(connection.scalars(select(tables.accounts.c.login)))
    logins = [
        Login(login=login, password=new_password(), role=role, meter_id=meter_id)
        for login, role, meter_id in wanted
        if login not in existing
    ]
    if not logins:
        return []
    with ThreadPoolExecutor(max_workers=4) as pool:  # argon2 works outside the interpreter's lock
        hashes = list(pool.map(HASHER.hash, (login.password for login in logins)))
    rows = [
        {
            "login": login.login,
            "role": login.role.value,
            "meter_id": login.meter_id,
            "password_hash": password_hash,
            "session_epoch": 0,
        }
        for login, password_hash in zip(logins, hashes, strict=True)
    ]
    with transaction(database) as connection:
        insert_new(connection, tables.accounts, rows)
        record(connection, "provisioning", "accounts.created", f"{len(rows)} accounts")
    return logins


def create_account(database: Database, login: str, role: Role, *, by: str) -> str:
    """Make an account of the staff; return its first password.

    Raises:
        UserError: The login is no name, taken, or the role is a household's.
    """
    if role not in STAFF:
        raise UserError(f"role {role.value} is no role of the staff: households come with meters")
    if not login.isascii() or not login.isprintable() or not 1 <= len(login) <= 64 or " " in login:
        raise UserError(f"{login!r} is no login: give 1 to 64 letters without spaces")
    password = new_password()
    row = {
        "login": login,
        "role": role.value,
        "meter_id": None,
        "password_hash": HASHER.hash(password),
        "session_epoch": 0,
    }
    with transaction(database) as connection:
        if insert_new(connection, tables.accounts, [row]) == 0:
            raise UserError(f"there is an account {login} already: choose another login")
        record(connection, by, "accounts.created", f"{login}, {role.value}")
    return password


def account(database: Database, login: str) -> Account | None:
    """Return an account, or None when there is no such login."""
    row = _row(database, login)
    return None if row is None else _account(row)


def verify(database: Database, login: str, password: str) -> Account | None:
    """Return the account when login and password fit, otherwise None.

    An unknown login costs as much time as a wrong password, so that time tells nothing.

    Raises:
        UserError: The stored hash is damaged.
    """
    row = _row(database, login)
    stored = NOBODY if row is None else row["password_hash"]
    try:
        HASHER.verify(stored, password)
    except VerifyMismatchError:
        return None
    except (InvalidHashError, VerificationError) as error:
        sentence = (
            f"the stored password of {login} is damaged ({error}): set it anew with"
            f" `openami web password --home var/web {login}`"
        )
        raise UserError(sentence) from error
    return None if row is None else _account(row)


def set_password(database: Database, login: str, password: str, *, by: str) -> None:
    """Replace a password and end the account's sessions.

    Raises:
        UserError: The password is too short, or there is no such login.
    """
    if len(password) < MINIMUM_PASSWORD_LETTERS:
        sentence = (
            f"the password has {len(password)} letters: take at least {MINIMUM_PASSWORD_LETTERS}"
        )
        raise UserError(sentence)
    with transaction(database) as connection:
        changed = connection.execute(
            update(tables.accounts)
            .where(tables.accounts.c.login == login)
            .values(
                password_hash=HASHER.hash(password),
                session_epoch=tables.accounts.c.session_epoch + 1,
            )
        )
        if changed.rowcount == 0:
            raise UserError(f"there is no account {login}: name an existing one")
        record(connection, by, "password.set", login)


def end_sessions(database: Database, login: str) -> None:
    """Raise the epoch of an account: every session it has is over."""
    with transaction(database) as connection:
        connection.execute(
            update(tables.accounts)
            .where(tables.accounts.c.login == login)
            .values(session_epoch=tables.accounts.c.session_epoch + 1)
        )


def record(database: Database, login: str, action: str, concerning: str) -> None:
    """Add a line to the audit trail: who, what (dotted), concerning what."""
    row = {"at_real_us": real_us(), "login": login, "action": action, "object": concerning}
    with transaction(database) as connection:
        insert_all(connection, tables.audit, [row])


def audit_trail(database: Database, limit: int) -> list[Deed]:
    """Return the latest lines of the audit trail, newest first."""
    columns = tables.audit.c
    query = (
        select(columns.at_real_us, columns.login, columns.action, columns.object)
        .order_by(columns.audit_id.desc())
        .limit(limit)
    )
    with reading(database) as connection:
        return [Deed(**row) for row in connection.execute(query).mappings()]


def _row(database: Database, login: str) -> RowMapping | None:
    query = select(tables.accounts).where(tables.accounts.c.login == login)
    with reading(database) as connection:
        return connection.execute(query).mappings().first()


def _account(row: RowMapping) -> Account:
    return Account(
        login=row["login"],
        role=Role(row["role"]),
        meter_id=row["meter_id"],
        session_epoch=row["session_epoch"],
    )
