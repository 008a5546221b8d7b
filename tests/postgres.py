# SPDX-License-Identifier: Apache-2.0
"""A PostgreSQL server of its own for tests, as a user that is not root, killed when they end.

In continuous integration a missing server is a failure; elsewhere the tests are skipped.
"""

import contextlib
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ports import free_port

SETTINGS = {
    "listen_addresses": "'127.0.0.1'",
    "unix_socket_directories": "''",
    "max_connections": "120",
    "shared_buffers": "'32MB'",
    "fsync": "off",  # kill -9 and immediate stops are survived all the same; power cuts are not
    "wal_level": "replica",
    "autovacuum": "off",
    "wal_receiver_timeout": "'5s'",
    "wal_sender_timeout": "'5s'",
}


def programs() -> Path | None:
    """Return the folder of the newest installed server's programs."""
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4])
    )
    if found:
        return found[-1].parent
    path = shutil.which("initdb")
    return Path(path).parent if path else None


class Postgres:
    """One server, its folder, and databases in it."""

    def __init__(self, folder: Path, bin_folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._bin = bin_folder
        self._numbers = itertools.count(1)
        self._user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name

    def run(self, program: str, *arguments: str) -> str:
        """Run one of the server's programs as its user."""
        done = subprocess.run(
            [self._bin / program, *arguments],
            check=False,
            capture_output=True,
            text=True,
            user=self._user if os.geteuid() == 0 else None,
            group=pwd.getpwnam(self._user).pw_gid if os.geteuid() == 0 else None,
            extra_groups=[] if os.geteuid() == 0 else None,
            cwd="/",
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def make(self) -> None:
        self._hand_over()
        self.run(
            "initdb", "-D", str(self.folder), "-U", "openami", "-A", "trust", "-N", "-E", "UTF8"
        )
        self.configure(**SETTINGS)

    def copy(self, other: "Postgres", name: str) -> None:
        """Become a standby of `other`, streaming under the name `name`."""
        self._hand_over()
        source = f"host=127.0.0.1 port={other.port} user=openami application_name={name}"
        self.run("pg_basebackup", "-D", str(self.folder), "-d", source, "-R", "-c", "fast")

    def configure(self, **settings: str) -> None:
        with (self.folder / "postgresql.auto.conf").open("a", encoding="utf-8") as file:
            file.writelines(f"{name} = {value}\n" for name, value in settings.items())

    def start(self) -> None:
        options = f"-p {self.port}"
        log = str(self.folder / "log")
        folder = str(self.folder)
        self.run("pg_ctl", "-D", folder, "-o", options, "-l", log, "-w", "-t", "60", "start")

    def stop(self, mode: str = "fast") -> None:
        self.run("pg_ctl", "-D", str(self.folder), "-w", "-t", "60", "-m", mode, "stop")

    def kill(self) -> None:
        """Kill -9 the server: its children end when they notice."""
        pid = int((self.folder / "postmaster.pid").read_text(encoding="ascii").split()[0])
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
        for each in (pid, *map(int, children)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(each, signal.SIGKILL)
        (self.folder / "postmaster.pid").unlink(missing_ok=True)

    def promote(self) -> None:
        self.run("pg_ctl", "-D", str(self.folder), "-w", "promote")

    @property
    def running(self) -> bool:
        return (self.folder / "postmaster.pid").exists()

    def sql(self, statement: str, database: str = "postgres") -> str:
        return self.run(
            "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", self.dsn(database), "-c", statement
        ).strip()

    def dsn(self, database: str) -> str:
        return f"postgresql://openami@127.0.0.1:{self.port}/{database}"

    def new_database(self, template: str = "template1") -> str:
        """Return the URL of a new database."""
        name = f"t{next(self._numbers)}"
        self.sql(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.dsn(name)

    def _hand_over(self) -> None:
        self.folder.mkdir(mode=0o700)
        if os.geteuid() == 0:
            shutil.chown(self.folder, self._user, pwd.getpwnam(self._user).pw_gid)


@contextlib.contextmanager
def servers(*names: str) -> Iterator[list[Postgres]]:
    """Give servers whose folders are not made yet; whatever runs at the end is stopped."""
    bin_folder = programs()
    if bin_folder is None:
        sentence = "no PostgreSQL server is installed: apt-get install postgresql"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(sentence)
    folder = Path(tempfile.mkdtemp(prefix="openami-postgres-"))
    folder.chmod(0o755)  # the server's user passes through
    made = [Postgres(folder / name, bin_folder) for name in names]
    try:
        yield made
    finally:
        for server in made:
            if server.running:
                server.stop("immediate")
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def running_server() -> Iterator[Postgres]:
    """Give a server that runs."""
    with servers("main") as (server,):
        server.make()
        server.start()
        yield server
