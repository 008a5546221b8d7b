# SPDX-License-Identifier: Apache-2.0
"""A key-encryption key that stays in its token, here one of SoftHSM2."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from openami.access.custody import Custody, Places
from openami.access.keystore import KeyStore, KeyStoreError
from openami.access.pkcs11 import TokenKeyStore, TokenUri
from openami.dlms.security.ciphering import unwrap_key
from openami.runtime.errors import ConfigurationError, UserError
from softhsm import Token, softhsm_token

KEY = bytes(range(16))
WRONG_PIN = """
import pathlib, sys
from openami.access.keystore import KeyStoreError
from openami.access.pkcs11 import TokenKeyStore, TokenUri
try:
    TokenKeyStore(TokenUri.parse(sys.argv[1], pathlib.Path()))
except KeyStoreError as error:
    print(error)
"""


@pytest.fixture
def token(tmp_path_factory: pytest.TempPathFactory) -> Token:
    return softhsm_token(tmp_path_factory.mktemp("softhsm"))


def store(token: Token, key: str = "kek", *, create: bool = True) -> TokenKeyStore:
    return TokenKeyStore(TokenUri.parse(token.uri(key), Path()), create=create)


@pytest.mark.parametrize("octets", [16, 24, 32])
def test_what_was_wrapped_opens_in_another_session(token: Token, octets: int) -> None:
    key = bytes(range(octets))
    wrapped = store(token).wrap(key)
    assert len(wrapped) == octets + 8
    assert store(token, create=False).unwrap(wrapped) == key


def test_the_key_is_made_once_and_cannot_be_had(token: Token) -> None:
    import pkcs11  # noqa: PLC0415  an extra, as in the product

    first = store(token)
    wrapped = first.wrap(KEY)
    assert store(token).unwrap(wrapped) == KEY  # `create` found it
    attribute = pkcs11.Attribute
    assert first._key[attribute.SENSITIVE]
    assert not first._key[attribute.EXTRACTABLE]
    with pytest.raises(pkcs11.exceptions.PKCS11Error):
        first._key[attribute.VALUE]


def test_the_wrapping_is_rfc_3394(token: Token) -> None:
    """A key that we know is put into the token, and our own code opens what it wraps."""
    import pkcs11  # noqa: PLC0415  an extra, as in the product

    known = bytes(range(32))
    names = pkcs11.Attribute
    store(token)._session.create_object(
        {
            names.CLASS: pkcs11.ObjectClass.SECRET_KEY,
            names.KEY_TYPE: pkcs11.KeyType.AES,
            names.LABEL: f"{token.prefix}known",
            names.VALUE: known,
            names.TOKEN: True,
            names.WRAP: True,
            names.UNWRAP: True,
        }
    )
    assert unwrap_key(known, store(token, "known", create=False).wrap(KEY)) == KEY


def test_a_key_under_another_is_refused_by_name(token: Token) -> None:
    wrapped = store(token, "first").wrap(KEY)
    second = store(token, "second")
    with pytest.raises(KeyStoreError, match=r"encryption key of meter 7 does not open .*second'"):
        second.unwrap(wrapped, "encryption key of meter 7")
    with pytest.raises(KeyStoreError, match="does not open"):
        second.unwrap(b"short")
    assert second.unwrap(second.wrap(KEY)) == KEY


def test_many_threads_share_a_session(token: Token) -> None:
    shared = store(token)
    keys = [bytes((number,)) * 16 for number in range(64)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda key: shared.unwrap(shared.wrap(key)), keys)) == keys


def test_a_session_that_ended_is_opened_again(token: Token) -> None:
    keeper = store(token)
    wrapped = keeper.wrap(KEY)
    keeper._session.close()
    assert keeper.unwrap(wrapped) == KEY


def test_a_former_key_still_opens_until_all_is_wrapped_anew(tmp_path: Path, token: Token) -> None:
    old = KeyStore(tmp_path / "keystore").wrap(KEY)
    places = Places(token.uri(), ["keystore"], tmp_path)
    custody = Custody.open(places, create=True)
    assert custody.unwrap(old) == KEY
    new = custody.renewed(old)
    assert new is not None
    assert custody.renewed(new) is None
    assert store(token, create=False).unwrap(new) == KEY
    with pytest.raises(KeyStoreError):
        custody.renewed(bytes(24))


def test_what_is_missing_is_named(tmp_path: Path, token: Token) -> None:
    with pytest.raises(KeyStoreError, match=r"gone' of token .* \(.+\): check token"):
        store(token, "gone", create=False)
    good = TokenUri.parse(token.uri(), Path())
    for changed, problem in (
        (TokenUri("nowhere", good.object, good.module, good.pin_file), "'nowhere' cannot be used"),
        (TokenUri(good.token, good.object, tmp_path / "no.so", good.pin_file), "cannot be used"),
        (TokenUri(good.token, good.object, good.module, tmp_path / "no"), "PIN .* cannot be read"),
    ):
        with pytest.raises(UserError, match=problem):
            TokenKeyStore(changed, create=True)
    (pin_file := tmp_path / "pin").write_text("9999")
    wrong = TokenUri(good.token, good.object, good.module, pin_file)
    with pytest.raises(KeyStoreError, match="chmod 600"):
        TokenKeyStore(wrong)
    pin_file.chmod(0o600)
    # In a process of its own: a log-in counts for all sessions of a process.
    words = [sys.executable, "-c", WRONG_PIN, token.uri().replace(str(token.pin_file), "pin")]
    ended = subprocess.run(words, cwd=tmp_path, check=True, capture_output=True, text=True)
    assert "(PinIncorrect): check token" in ended.stdout


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("pkcs11:token=a;object=b", "no module-path"),
        ("pkcs11:token=a?module-path=m&pin-source=p", "no object"),
        ("pkcs11:token=a;object=b;slot=1?module-path=m&pin-source=p", "'slot=1' that is not known"),
        ("pkcs11:token=a;object=b?module-path=m&pin-value=1", "'pin-value=1' that is not known"),
        ("pkcs11:token;object=b?module-path=m&pin-source=p", "'token' that is not known"),
    ],
)
def test_a_wrong_uri_is_refused_by_part(text: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        TokenUri.parse(text, Path())


def test_a_uri_is_read_with_its_escapes() -> None:
    text = "pkcs11:token=my%20token;object=k%3Bk?module-path=/m.so&pin-source=file:pin"
    assert TokenUri.parse(text, Path("/home")) == TokenUri(
        "my token", "k;k", Path("/m.so"), Path("/home/pin")
    )
