# SPDX-License-Identifier: Apache-2.0
"""Accounts: made once, checked, ended, audited."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from argon2 import extract_parameters
from argon2.exceptions import VerifyMismatchError
from sqlalchemy import Engine, update

from openami.access import accounts
from openami.access.accounts import Role
from openami.runtime.errors import UserError
from openami.store import tables
from openami.store.database import open_database, transaction


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_database(f"sqlite:///{tmp_path / 'openami.db'}", create=True)
    yield engine
    engine.dispose()


def test_first_accounts_are_one_for_the_utility_and_one_a_meter(engine: Engine) -> None:
    logins = accounts.create_first_accounts(engine, [1, 2])
    assert [(login.login, login.role, login.meter_id) for login in logins] == [
        ("utility", Role.UTILITY, None),
        ("home-001", Role.HOUSEHOLD, 1),
        ("home-002", Role.HOUSEHOLD, 2),
    ]
    for login in logins:
        found = accounts.verify(engine, login.login, login.password)
        assert found is not None
        assert (found.login, found.role, found.meter_id) == (
            login.login,
            login.role,
            login.meter_id,
        )
    assert len({login.password for login in logins}) == 3


def test_existing_accounts_are_left_alone(engine: Engine) -> None:
    first = accounts.create_first_accounts(engine, [1])
    again = accounts.create_first_accounts(engine, [1, 2])
    assert [login.login for login in again] == ["home-002"]
    assert accounts.create_first_accounts(engine, [1, 2]) == []
    assert accounts.verify(engine, first[0].login, first[0].password)


def test_a_password_fits_its_login_only(engine: Engine) -> None:
    utility, home = accounts.create_first_accounts(engine, [1])
    assert accounts.verify(engine, "utility", home.password) is None
    assert accounts.verify(engine, "nobody", utility.password) is None
    assert accounts.verify(engine, "utility", "") is None


def test_an_unknown_login_costs_as_much_as_a_wrong_password() -> None:
    real, decoy = accounts.HASHER.hash("a password"), accounts.NOBODY
    for hashed in (real, decoy):
        assert extract_parameters(hashed) == extract_parameters(real)
        with pytest.raises(VerifyMismatchError):
            accounts.HASHER.verify(hashed, "another")


def test_no_password_is_kept(engine: Engine, tmp_path: Path) -> None:
    logins = accounts.create_first_accounts(engine, [1])
    engine.dispose()
    octets = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert not any(login.password.encode() in octets for login in logins)
    assert b"$argon2id$" in octets


def test_a_new_password_ends_the_sessions(engine: Engine) -> None:
    accounts.create_first_accounts(engine, [1])
    accounts.set_password(engine, "home-001", "twelve letters", by="utility")
    found = accounts.verify(engine, "home-001", "twelve letters")
    assert found is not None
    assert found.session_epoch == 1
    accounts.end_sessions(engine, "home-001")
    again = accounts.account(engine, "home-001")
    assert again is not None
    assert again.session_epoch == 2


@pytest.mark.parametrize(
    ("login", "password", "said"),
    [("home-001", "short", "has 5 letters"), ("nobody", "long enough it is", "no account nobody")],
)
def test_a_password_that_cannot_be_set(
    engine: Engine, login: str, password: str, said: str
) -> None:
    accounts.create_first_accounts(engine, [1])
    with pytest.raises(UserError, match=said):
        accounts.set_password(engine, login, password, by="utility")


def test_a_damaged_hash_is_told(engine: Engine) -> None:
    accounts.create_first_accounts(engine, [])
    with transaction(engine) as connection:
        connection.execute(update(tables.accounts).values(password_hash="damaged"))
    with pytest.raises(UserError, match="utility is damaged"):
        accounts.verify(engine, "utility", "x")


def test_roles_see_what_they_may(engine: Engine) -> None:
    accounts.create_first_accounts(engine, [1])
    utility, home = accounts.account(engine, "utility"), accounts.account(engine, "home-001")
    assert utility is not None
    assert home is not None
    assert utility.may_see(7)
    assert home.may_see(1)
    assert not home.may_see(7)
    assert accounts.account(engine, "nobody") is None


def test_the_audit_trail_is_newest_first(engine: Engine) -> None:
    accounts.record(engine, "utility", "login", "127.0.0.1")
    with transaction(engine) as connection:
        accounts.record(connection, "utility", "command.disconnect", "meter 7")
    trail = accounts.audit_trail(engine, 10)
    assert [deed.action for deed in trail] == ["command.disconnect", "login"]
    assert trail[0].at_real_us >= trail[1].at_real_us
    assert accounts.audit_trail(engine, 1) == trail[:1]
