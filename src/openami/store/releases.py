# SPDX-License-Identifier: Apache-2.0
"""Firmware releases that were verified, and what meters said they run."""

from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from sqlalchemy import select

from openami.runtime.clock import real_us
from openami.runtime.errors import UserError
from openami.store.database import Database, insert_new, reading, transaction, upsert
from openami.store.tables import firmware as firmware_table
from openami.store.tables import releases as table

IDENTIFIER_OCTETS: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """A signed image that somebody verified against a trusted key.

    Attributes:
        release_id: SHA-256 of its octets, in hex.
        identifier: What a transfer of it is called: the same goes on where another was cut.
        digest: The image's own hash, which a meter shows of what it runs.
        keyhash: Of the key that signed it.
        size: In octets.
    """

    release_id: str
    name: str
    version: str
    identifier: bytes
    digest: bytes
    keyhash: bytes
    size: int
    added_by: str
    added_real_us: int

    @classmethod
    def of(  # noqa: PLR0913  what is known of it
        cls, octets: bytes, *, name: str, version: str, digest: bytes, keyhash: bytes, by: str
    ) -> "Release":
        """Describe an image that was verified."""
        whole = sha256(octets)
        return cls(
            release_id=whole.hexdigest(),
            name=name,
            version=version,
            identifier=whole.digest()[:IDENTIFIER_OCTETS].hex().encode(),
            digest=digest,
            keyhash=keyhash,
            size=len(octets),
            added_by=by,
            added_real_us=real_us(),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Firmware:
    """What a meter said it runs; `signature` is empty where it shows none."""

    meter_id: int
    version: str
    signature: bytes
    read_real_us: int


def add(database: Database, release: Release, octets: bytes) -> None:
    """Take a release; one that is there stays as it is."""
    row = {name: getattr(release, name) for name in Release.__slots__}
    with transaction(database) as connection:
        insert_new(connection, table, [row | {"octets": octets}])


def release(database: Database, release_id: str) -> Release:
    """Return what is known of a release.

    Raises:
        UserError: There is none of that id.
    """
    query = select(*(column for column in table.c if column.name != "octets"))
    with reading(database) as connection:
        row = connection.execute(query.where(table.c.release_id == release_id)).mappings().first()
    if row is None:
        raise UserError(f"there is no release {release_id}: plan a campaign with its image")
    return Release(**row)


def releases(database: Database, *, limit: int = 100) -> list[Release]:
    """Return what is known of releases, newest first."""
    query = select(*(column for column in table.c if column.name != "octets"))
    query = query.order_by(table.c.added_real_us.desc(), table.c.release_id).limit(limit)
    with reading(database) as connection:
        return [Release(**row) for row in connection.execute(query).mappings()]


def octets_of(database: Database, release_id: str) -> bytes:
    """Return the octets of a release, which are those that were verified.

    Raises:
        UserError: There is none, or the store does not give back what was put into it.
    """
    query = select(table.c.octets).where(table.c.release_id == release_id)
    with reading(database) as connection:
        found = connection.execute(query).scalar()
    if found is None:
        raise UserError(f"there is no release {release_id}: plan a campaign with its image")
    if sha256(found).hexdigest() != release_id:
        sentence = f"the octets of release {release_id} in the store are not those verified"
        raise UserError(f"{sentence}: cancel its campaigns, plan anew with the image's file")
    return bytes(found)


def note_firmware(database: Database, meter_id: int, version: str, signature: bytes) -> None:
    """Record what a meter says it runs."""
    row = {
        "meter_id": meter_id,
        "version": version,
        "signature": signature,
        "read_real_us": real_us(),
    }
    with transaction(database) as connection:
        upsert(connection, firmware_table, [row])


def firmware(database: Database, meter_id: int) -> Firmware | None:
    """Return what a meter said last; None if it was never asked."""
    query = select(firmware_table).where(firmware_table.c.meter_id == meter_id)
    with reading(database) as connection:
        row = connection.execute(query).mappings().first()
    return None if row is None else Firmware(**row)
