# SPDX-License-Identifier: Apache-2.0
"""Custody of keys: first use, damage, permissions, and keys by id."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from openami.access.keystore import (
    FILE_NAME,
    KeyRef,
    KeyRing,
    KeyService,
    KeyStore,
    KeyStoreError,
    WrappedKeySet,
)
from openami.dlms.security.suites import SecurityControl, SecuritySuite
from openami.runtime.errors import UserError

KEY = bytes(range(16))
TITLE = b"OAM\x00\x00\x00\x00\x01"


def test_a_key_is_drawn_once_and_private(tmp_path: Path) -> None:
    folder = tmp_path / "keystore"
    wrapped = KeyStore(folder).wrap(KEY)

    assert len(wrapped) == len(KEY) + 8
    assert KEY not in wrapped
    assert [file.name for file in folder.iterdir()] == [FILE_NAME]
    assert (folder / FILE_NAME).stat().st_mode & 0o777 == 0o600
    assert KeyStore(folder, create=False).unwrap(wrapped) == KEY


def test_many_that_start_together_use_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        stores = list(pool.map(KeyStore, [tmp_path] * 8))

    assert {store.unwrap(stores[0].wrap(KEY)) for store in stores} == {KEY}
    assert [file.name for file in tmp_path.iterdir()] == [FILE_NAME]


def test_the_loser_of_a_race_takes_the_winners_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    winner = KeyStore(tmp_path)
    monkeypatch.setattr(Path, "exists", lambda _: False)

    assert KeyStore(tmp_path).unwrap(winner.wrap(KEY)) == KEY
    assert [file.name for file in tmp_path.iterdir()] == [FILE_NAME]


def test_a_missing_key_is_not_replaced_where_keys_are_wrapped(tmp_path: Path) -> None:
    with pytest.raises(KeyStoreError, match=r"cannot be read .*: restore it from a backup"):
        KeyStore(tmp_path, create=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_key_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = KeyStore(tmp_path).path
    path.chmod(mode)

    with pytest.raises(KeyStoreError, match=f"has mode {mode:04o}, .* run chmod 600 {path}"):
        KeyStore(tmp_path)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "is not valid JSON"),
        ("{", "is not valid JSON"),
        ("[]", "holds no key"),
        ('{"format": "openami-keystore-1"}', "holds no key"),
        ('{"format": "other", "key": "", "check": ""}', "has format 'other', not"),
        ('{"format": "openami-keystore-1", "key": "xy", "check": ""}', "is damaged"),
        ('{"format": "openami-keystore-1", "key": "00", "check": "00"}', "is damaged"),
    ],
)
def test_a_damaged_file_is_one_sentence_with_the_remedy(
    tmp_path: Path, content: str, sentence: str
) -> None:
    path = KeyStore(tmp_path).path
    path.write_text(content)

    with pytest.raises(KeyStoreError, match=f"^{path} {sentence}.*restore it from a backup"):
        KeyStore(tmp_path)
    assert path.read_text() == content


def test_every_altered_digit_of_the_key_is_noticed(tmp_path: Path) -> None:
    path = KeyStore(tmp_path).path
    said = json.loads(path.read_text())

    for position in range(64):
        digit = "0" if said["key"][position] != "0" else "1"
        key = said["key"][:position] + digit + said["key"][position + 1 :]
        path.write_text(json.dumps(said | {"key": key}))
        with pytest.raises(KeyStoreError, match="is damaged, its check value differs"):
            KeyStore(tmp_path)


def test_a_key_of_another_store_is_refused(tmp_path: Path) -> None:
    ours, other = KeyStore(tmp_path / "ours"), KeyStore(tmp_path / "other")

    with pytest.raises(KeyStoreError, match="the wrapped key of meter 7 does not open with"):
        ours.unwrap(other.wrap(KEY), "key of meter 7")
    assert issubclass(KeyStoreError, UserError)


def test_neither_store_nor_ring_shows_a_key(tmp_path: Path) -> None:
    store = KeyStore(tmp_path)
    key = json.loads(store.path.read_text())["key"]

    assert repr(store) == f"KeyStore('{store.path}')"
    assert key not in repr(KeyRing(store, shelf(store).get))


def shelf(store: KeyStore) -> dict[KeyRef, WrappedKeySet]:
    keys = WrappedKeySet(encryption_key=store.wrap(KEY), authentication_key=store.wrap(KEY[::-1]))
    retired = WrappedKeySet(
        encryption_key=store.wrap(KEY[::-1]), authentication_key=store.wrap(KEY), retired=True
    )
    return {KeyRef(1, 1): retired, KeyRef(1, 2): keys, KeyRef(2, 1): keys}


def test_keys_by_id(tmp_path: Path) -> None:
    store = KeyStore(tmp_path)
    asked: list[KeyRef] = []
    rows = shelf(store)

    def find(key: KeyRef) -> WrappedKeySet | None:
        asked.append(key)
        return rows.get(key)

    service: KeyService = KeyRing(store, find)
    control = SecurityControl(0x30)
    sealed = service.to_seal(KeyRef(1, 2)).seal(control, 5, TITLE, b"\x0f")

    assert service.to_open(KeyRef(1, 2)).open(sealed, TITLE) == (control, 5, b"\x0f")
    assert asked == [KeyRef(1, 2)]  # unwrapped once


def test_a_retired_key_opens_and_never_seals(tmp_path: Path) -> None:
    ring = KeyRing(store := KeyStore(tmp_path), shelf(store).get)

    assert ring.to_open(KeyRef(1, 1)).keys.encryption_key == KEY[::-1]
    with pytest.raises(KeyStoreError, match="meter 1, epoch 1, are retired and seal nothing more"):
        ring.to_seal(KeyRef(1, 1))


def test_a_change_of_keys_is_seen_after_forgetting(tmp_path: Path) -> None:
    store = KeyStore(tmp_path)
    rows = shelf(store)
    ring = KeyRing(store, rows.get)
    ring.to_seal(KeyRef(1, 2))
    rows[KeyRef(1, 2)] = rows[KeyRef(1, 1)]

    ring.to_seal(KeyRef(1, 2))
    ring.forget(1)
    with pytest.raises(KeyStoreError, match="retired"):
        ring.to_seal(KeyRef(1, 2))


def test_the_ring_keeps_what_was_used_last(tmp_path: Path) -> None:
    store = KeyStore(tmp_path)
    rows = shelf(store)
    ring = KeyRing(store, rows.get, capacity=2)
    ring.to_open(KeyRef(1, 1))
    ring.to_open(KeyRef(1, 2))
    ring.to_open(KeyRef(1, 1))
    ring.to_open(KeyRef(2, 1))  # drops (1, 2)
    rows.clear()

    ring.to_open(KeyRef(1, 1))
    ring.to_open(KeyRef(2, 1))
    with pytest.raises(KeyStoreError, match="no keys of meter 1, epoch 2 are known: import"):
        ring.to_open(KeyRef(1, 2))


def test_keys_that_do_not_fit_the_suite_are_refused(tmp_path: Path) -> None:
    store = KeyStore(tmp_path)
    keys = WrappedKeySet(
        suite=SecuritySuite.ECDH_ECDSA_AES_GCM_256_SHA_384,
        encryption_key=store.wrap(KEY),
        authentication_key=store.wrap(KEY),
    )

    with pytest.raises(KeyStoreError, match=r"meter 9, epoch 1 do not fit its suite .* 16 octets"):
        KeyRing(store, {KeyRef(9, 1): keys}.get).to_open(KeyRef(9, 1))
