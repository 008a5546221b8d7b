# SPDX-License-Identifier: Apache-2.0
"""`openami web password`: a lost password is no dead end."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from openami.access import accounts
from openami.cli.web import web
from openami.runtime.errors import UserError
from openami.store.database import open_database


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "web"
    home.mkdir()
    (home / "session.key").write_text("ab" * 32)
    (home / "config.toml").write_text("[web]\n[store]\ndatabase = '../openami.db'\n")
    database = open_database(f"sqlite:///{tmp_path / 'openami.db'}", create=True)
    accounts.create_first_accounts(database, [1])
    database.dispose()
    return home


def test_a_new_password_lets_in_and_ends_the_sessions(home: Path) -> None:
    database = open_database(f"sqlite:///{home.parent / 'openami.db'}")
    before = accounts.account(database, "home-001")
    outcome = CliRunner().invoke(web, ["password", "--home", str(home), "home-001"])
    assert outcome.exit_code == 0
    known = accounts.verify(database, "home-001", outcome.output.strip())
    assert before is not None
    assert known is not None
    assert known.session_epoch == before.session_epoch + 1
    (deed, *_) = accounts.audit_trail(database, 1)
    assert (deed.login, deed.action, deed.object) == ("command line", "password.set", "home-001")
    database.dispose()


def test_an_unknown_login_is_named(home: Path) -> None:
    outcome = CliRunner().invoke(web, ["password", "--home", str(home), "nobody"])
    assert isinstance(outcome.exception, UserError)
    assert "there is no account nobody" in str(outcome.exception)
