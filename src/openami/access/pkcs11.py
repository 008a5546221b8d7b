# SPDX-License-Identifier: Apache-2.0
"""The head-end's key-encryption key in a PKCS#11 token: an HSM, a smart card, SoftHSM2.

The key never leaves the token.  Meters' keys are wrapped and unwrapped in it with CKM_AES_KEY_WRAP
(RFC 3394), so what rests in the database looks the same as under a key in a file.  A token and a
key in it are named by a URI (RFC 7512)::

    pkcs11:token=openami;object=kek?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=pin

`pin-source` is a file, mode 0600, relative to the folder of the configuration.  Tokens that allow
it only for keys marked so have to let the unwrapped keys be read (CKA_EXTRACTABLE): the head-end
ciphers with them by the thousand a second, which is no work for a token.
"""

import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar
from urllib.parse import unquote

from openami.access.keystore import KEY_OCTETS, KeyStoreError
from openami.runtime.errors import ConfigurationError

if TYPE_CHECKING:
    import pkcs11

T = TypeVar("T")

SCHEME: Final = "pkcs11:"
PATH_NAMES: Final = ("token", "object")
QUERY_NAMES: Final = ("module-path", "pin-source")


@dataclass(frozen=True, slots=True)
class TokenUri:
    """Which key of which token, and how to get there (RFC 7512)."""

    token: str
    object: str
    module: Path
    pin_file: Path

    @classmethod
    def parse(cls, text: str, folder: Path) -> Self:
        """Read a URI; `folder` is where a relative `pin-source` begins.

        Raises:
            ConfigurationError: A part is missing, or one that is not known is there.
        """
        path, _, query = text.removeprefix(SCHEME).partition("?")
        found: dict[str, str] = {}
        for part, names, apart in ((path, PATH_NAMES, ";"), (query, QUERY_NAMES, "&")):
            for word in filter(None, part.split(apart)):
                name, equals, value = word.partition("=")
                if name not in names or not equals:
                    sentence = f"{text!r} has a part {word!r} that is not known: use"
                    raise ConfigurationError(f"{sentence} {', '.join(names)}")
                found[name] = unquote(value)
        for name in (*PATH_NAMES, *QUERY_NAMES):
            if not found.get(name):
                raise ConfigurationError(f"{text!r} has no {name}: write {SCHEME}token=…;object=…")
        pin = found["pin-source"].removeprefix("file:")
        return cls(found["token"], found["object"], Path(found["module-path"]), folder / pin)

    def __str__(self) -> str:
        return f"key {self.object!r} of token {self.token!r}"

    def pin(self) -> str:
        """Read the PIN.

        Raises:
            KeyStoreError: The file is missing, or others may read it.
        """
        path = self.pin_file
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
            pin = path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            sentence = f"the PIN of {self} cannot be read from {path} ({error})"
            raise KeyStoreError(f"{sentence}: write it there, mode 0600") from error
        if mode & 0o077:
            sentence = f"{path} has mode {mode:04o}, so others may read the PIN"
            raise KeyStoreError(f"{sentence}: run chmod 600 {path}")
        return pin


class TokenKeyStore:
    """Wraps and unwraps keys with a key that stays in its token; for any thread."""

    def __init__(self, uri: TokenUri, *, create: bool = False) -> None:
        """Log in and find the key.

        Args:
            uri: Of the key.
            create: Make the key in the token if it is not there.

        Raises:
            KeyStoreError: There is no such module, token or key, or the PIN is wrong.
        """
        self.uri = uri
        self._lock = Lock()
        self._library = _library()
        self._session, self._key = self._open(create=create)

    def wrap(self, key: bytes) -> bytes:
        """Return `key` (16, 24 or 32 octets) as it may rest in a database: 8 octets longer."""
        return self._in_token(lambda: self._wrap(key), "a key cannot be wrapped")

    def unwrap(self, wrapped: bytes, name: str = "key") -> bytes:
        """Return the key inside `wrapped`; `name` says in an error which key it is.

        Raises:
            KeyStoreError: It was wrapped under another key-encryption key, is damaged, or the
                token is out of reach.
        """
        return self._in_token(lambda: self._unwrap(wrapped), f"the wrapped {name} does not open")

    def __repr__(self) -> str:
        return f"TokenKeyStore({self.uri})"

    def _wrap(self, key: bytes) -> bytes:
        names = self._library.Attribute
        template = {
            names.CLASS: self._library.ObjectClass.SECRET_KEY,
            names.KEY_TYPE: self._library.KeyType.AES,
            names.VALUE: key,
            names.EXTRACTABLE: True,
            names.SENSITIVE: False,
        }
        inner = self._session.create_object(template)
        try:
            wrapped: bytes = self._key.wrap_key(
                inner, mechanism=self._library.Mechanism.AES_KEY_WRAP
            )
        finally:
            inner.destroy()
        return wrapped

    def _unwrap(self, wrapped: bytes) -> bytes:
        names = self._library.Attribute
        inner = self._key.unwrap_key(
            self._library.ObjectClass.SECRET_KEY,
            self._library.KeyType.AES,
            wrapped,
            mechanism=self._library.Mechanism.AES_KEY_WRAP,
            template={names.EXTRACTABLE: True, names.SENSITIVE: False, names.TOKEN: False},
        )
        try:
            key: bytes = inner[names.VALUE]
        finally:
            inner.destroy()
        return key

    def _in_token(self, act: Callable[[], T], problem: str) -> T:
        """Act in the token; once more in a new session, should this one have ended."""
        errors = self._library.exceptions
        gone = (
            errors.SessionHandleInvalid,
            errors.SessionClosed,
            errors.UserNotLoggedIn,
            errors.KeyHandleInvalid,  # another session's end has logged all of them out
            errors.ObjectHandleInvalid,
        )
        with self._lock:
            try:
                try:
                    return act()
                except gone:
                    self._session, self._key = self._open(create=False)
                    return act()
            except errors.PKCS11Error as error:
                raise KeyStoreError(f"{problem} with {self.uri} ({said(error)})") from None

    def _open(self, *, create: bool) -> "tuple[pkcs11.Session, Any]":
        uri, errors = self.uri, self._library.exceptions
        pin = uri.pin()
        try:
            token = self._library.lib(str(uri.module)).get_token(token_label=uri.token)
            try:
                session = token.open(rw=create, user_pin=pin)
            except errors.UserAlreadyLoggedIn:  # a log-in counts for all sessions of a process
                session = token.open(rw=create)
            try:
                return session, self._find(session)
            except errors.NoSuchKey:
                if not create:
                    raise
                return session, self._make(session)
        except (errors.PKCS11Error, RuntimeError, OSError) as error:
            remedy = "check token, object, module-path and PIN"
            raise KeyStoreError(f"{uri} cannot be used ({said(error)}): {remedy}") from error

    def _find(self, session: "pkcs11.Session") -> Any:  # noqa: ANN401  its mixins have no types
        kind = self._library.ObjectClass.SECRET_KEY
        return session.get_key(object_class=kind, label=self.uri.object)

    def _make(self, session: "pkcs11.Session") -> Any:  # noqa: ANN401  its mixins have no types
        names = self._library.Attribute
        return session.generate_key(
            self._library.KeyType.AES,
            8 * KEY_OCTETS,
            label=self.uri.object,
            store=True,
            template={
                names.SENSITIVE: True,
                names.EXTRACTABLE: False,
                names.WRAP: True,
                names.UNWRAP: True,
                names.ENCRYPT: False,
                names.DECRYPT: False,
            },
        )


def said(error: Exception) -> str:
    """Return what a token said, in its own name where it has no words."""
    return str(error) or type(error).__name__


def _library() -> ModuleType:
    try:
        import pkcs11  # noqa: PLC0415  an extra: only where a token is configured
        import pkcs11.exceptions  # noqa: PLC0415
    except ImportError as error:
        sentence = "keys in a PKCS#11 token need the package python-pkcs11"
        raise ConfigurationError(f"{sentence}: install openami[hsm]") from error
    return pkcs11
