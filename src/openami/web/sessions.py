# SPDX-License-Identifier: Apache-2.0
"""Sessions in a signed cookie, the token that every POST must bring, the limit on log-ins.

The cookie names the login, the account's session epoch and a random token; the signature makes it
unforgeable, the epoch makes it revocable (raised at log-out: a copied cookie is worth nothing
afterwards). The cookie is HttpOnly and SameSite=Strict; the token in forms and in the X-CSRF-Token
header is the second proof that a POST comes from our own page.
"""

import secrets
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from itsdangerous import BadSignature, URLSafeTimedSerializer

SESSION_COOKIE: Final = "openami_session"
SESSION_S: Final = 12 * 3600  # real seconds
SALT: Final = "openami session 1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What a cookie says; `login` is empty before the log-in."""

    login: str
    epoch: int
    token: str

    @classmethod
    def begin(cls, login: str = "", epoch: int = 0) -> "Session":
        """Return a fresh session with a new token."""
        return cls(login=login, epoch=epoch, token=secrets.token_urlsafe(24))

    def proves(self, token: str | None) -> bool:
        """Tell whether a POST brought this session's token."""
        return token is not None and secrets.compare_digest(self.token.encode(), token.encode())


class Cookies:
    """Seal sessions into cookies and open them again."""

    def __init__(self, key: bytes) -> None:
        self._serializer = URLSafeTimedSerializer(key, salt=SALT)

    def seal(self, session: Session) -> str:
        return str(self._serializer.dumps([session.login, session.epoch, session.token]))

    def open(self, cookie: str | None) -> Session | None:
        """Return the session, or None when the cookie is absent, forged or too old."""
        if not cookie:
            return None
        try:
            login, epoch, token = self._serializer.loads(cookie, max_age=SESSION_S)
        except (BadSignature, ValueError, TypeError):
            return None
        return Session(login=login, epoch=epoch, token=token)


@dataclass(slots=True)
class FailureLimit:
    """At most `most` failures of a key within `window_s`; success forgets them.

    The table is bounded: when it is full, the oldest key makes room.
    """

    most: int
    window_s: float
    monotonic_s: Callable[[], float]
    keys: int = 10_000
    _failures: dict[str, deque[float]] = field(default_factory=dict)

    def wait_s(self, key: str) -> float:
        """Return how long this key must wait; 0 when it may try now."""
        failures = self._failures.get(key)
        if failures is None:
            return 0.0
        now_s = self.monotonic_s()
        while failures and failures[0] <= now_s - self.window_s:
            failures.popleft()
        if len(failures) < self.most:
            return 0.0
        return failures[0] + self.window_s - now_s

    def failed(self, key: str) -> None:
        """Count a failure."""
        if key not in self._failures and len(self._failures) >= self.keys:
            del self._failures[next(iter(self._failures))]
        failures = self._failures.setdefault(key, deque(maxlen=self.most))
        failures.append(self.monotonic_s())

    def succeeded(self, key: str) -> None:
        """Forget the failures of a key."""
        self._failures.pop(key, None)
