# SPDX-License-Identifier: Apache-2.0
"""DLMS/COSEM security inside the secure world: keys, windows and counters of one device, suite 0.

One crossing a direction: octets go in and an APDU comes out with how it arrived, an APDU goes in
and octets come out.  Keys that are transferred are unwrapped here and nowhere else; a dedicated key
is taken out of the InitiateRequest before that is handed on.

What is durable, in entries of a client of its own:

=====  =====  ==================================================================================
entry  where  what
=====  =====  ==================================================================================
1      PS     title, epoch, encryption, authentication and master key, the reader's secret
2      ITS    first invocation counter that was never reserved, 4 octets
3      ITS    lowest counter that is accepted; ahead by up to `AHEAD` while the device runs
4      PS     keys of the group to which broadcasts go, none before they were transferred
5      ITS    of each originator under them the lowest counter that is accepted, and the title
=====  =====  ==================================================================================

After a power cut the counters of a block that were not used are skipped in both directions: a
client is told which counter is expected.
"""

import struct
from contextlib import suppress
from dataclasses import dataclass, field, replace
from hashlib import sha256
from hmac import compare_digest
from typing import ClassVar, Final, Self

from openami.dlms.errors import SecurityError
from openami.dlms.hls import Handshake, Mechanism
from openami.dlms.security.agreement import Parties
from openami.dlms.security.broadcast import GroupKeys, open_broadcast
from openami.dlms.security.channel import Role, SecureChannel
from openami.dlms.security.ciphering import Cipher
from openami.dlms.security.counters import (
    EXHAUSTED,
    CounterBlock,
    InvocationCounter,
    ReceiveWindow,
    Windows,
)
from openami.dlms.security.credentials import MasterKey
from openami.dlms.security.envelopes import Protection
from openami.dlms.security.keyset import KeySet
from openami.dlms.security.notification import seal_notification
from openami.dlms.security.suites import AUTHENTICATED_AND_ENCRYPTED, SecurityPolicy
from openami.psa.status import PsaError, Status
from openami.psa.storage import Storage

CLIENT: Final = 0x444C4D53
"""Under which client the entries lie."""
SECRETS, COUNTERS, WINDOW, GROUP, GROUP_WINDOWS = 1, 2, 3, 4, 5
COUNTERS_A_BLOCK: Final = 256
AHEAD: Final = COUNTERS_A_BLOCK
"""A note is a commit to flash: milliseconds that no busy association should pay each few APDUs."""
AHEAD_OF_BROADCASTS: Final = 16
"""Blocks that a loss of power may cost, and the client sends again."""
MOST_ORIGINATORS: Final = 4
KEY_OCTETS: Final = 16
CLAUSE: Final = "DLMS UA 1000-2 Ed. 10, 9.2.5"
INITIATE_REQUEST: Final = 0x01
_FORM: Final = struct.Struct("<8sI16s16s16s16s")
_NUMBER: Final = struct.Struct("<Q")
_GROUP_FORM: Final = struct.Struct("<16s16s")
_GROUP_WINDOW_FORM: Final = struct.Struct("<Q8s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """What the factory brings in, and a key transfer replaces; 16 octets each."""

    title: bytes
    epoch: int
    encryption: bytes = field(repr=False)
    authentication: bytes = field(repr=False)
    master: bytes = field(repr=False)
    password: bytes = field(repr=False)

    FIELDS: ClassVar = ("encryption", "authentication", "master", "password")

    def encode(self) -> bytes:
        """Raise `ValueError` where a length is wrong."""
        octets = [getattr(self, name) for name in self.FIELDS]
        if len(self.title) != 8 or any(len(each) != KEY_OCTETS for each in octets):
            raise ValueError("a title has 8 octets, each secret 16")
        return _FORM.pack(self.title, self.epoch, *octets)

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        """Read what `encode` wrote."""
        title, epoch, *secrets = _FORM.unpack(octets)
        return cls(title=title, epoch=epoch, **dict(zip(cls.FIELDS, secrets, strict=True)))

    @property
    def keys(self) -> KeySet:
        return KeySet(encryption_key=self.encryption, authentication_key=self.authentication)


class _Reserve:
    """Reserves counters in an entry (`counters.CounterReserve`)."""

    def __init__(self, its: Storage) -> None:
        self._its = its

    def reserve(self, count: int) -> InvocationCounter:
        first = _number(self._its, COUNTERS, 1)
        _keep(self._its, COUNTERS, min(first + count, EXHAUSTED))
        return InvocationCounter(first)


class Channel:
    """One association's protection; see `Channels.open`."""

    def __init__(self, held: "Channels", peer_title: bytes) -> None:
        self._held = held
        self._dedicated: bytes | None = None
        self._channel = SecureChannel(
            cipher=held.cipher,
            role=Role.SERVER,
            own_title=held.secrets.title,
            peer_title=peer_title,
            counters=held.counters,
            window=held.window,
            policy=held.policy,
            windows=held.windows,
        )

    def unprotect(self, octets: bytes) -> tuple[bytes, Protection]:
        """Open what a client sent; a dedicated key in it stays here, zeros stand for it."""
        apdu, protection = self._channel.unprotect(octets)
        self._held.note_window()
        if apdu[:2] == bytes((INITIATE_REQUEST, 1)):
            end = 3 + apdu[2]
            self._dedicated = apdu[3:end]
            apdu = apdu[:3] + bytes(len(self._dedicated)) + apdu[end:]
        return apdu, protection

    def protect(self, apdu: bytes, like: Protection | None, owed: int) -> bytes:
        return self._channel.protect(apdu, like=like, owed=owed)

    def use_dedicated_key(self, received: Protection) -> None:
        """Protect further services with the key that was held back."""
        if self._dedicated is None:
            raise SecurityError("no dedicated key came", "dedicated-key", CLAUSE)
        self._channel.use_dedicated_key(self._dedicated, received)

    def follow(self) -> None:
        """Go on with the keys that are in force now."""
        held = self._held
        self._channel.replace(held.cipher, held.window, held.policy)


class Channels:
    """The DLMS/COSEM security of one device.

    Attributes:
        secrets: In force.
        cipher: Of the global keys.
        window: What is accepted under them.
    """

    def __init__(self, its: Storage, ps: Storage) -> None:
        """Take up what is stored.

        Raises:
            PsaError: DOES_NOT_EXIST, the device was never given keys.
        """
        self._its, self._ps = its, ps
        self.secrets = Secrets.decode(ps.get(CLIENT, SECRETS, 0, _FORM.size))
        self.cipher = Cipher(self.secrets.keys)
        self.counters = CounterBlock.reserving(_Reserve(its), COUNTERS_A_BLOCK)
        self.policy: SecurityPolicy = AUTHENTICATED_AND_ENCRYPTED
        self.windows = Windows()
        self._mark = _number(its, WINDOW, 0)
        self.window = ReceiveWindow(self._mark)
        self._former: dict[bytes, ReceiveWindow] = {}
        self._group: tuple[GroupKeys, Cipher] | None = None  # looked for when it is first needed
        self._group_windows: dict[bytes, tuple[ReceiveWindow, int]] | None = None

    def open(self, peer_title: bytes) -> Channel:
        """Return the protection of an association with a client of this title."""
        return Channel(self, peer_title)

    def close(self) -> None:
        """Note the window as it is: nothing is skipped at the next start."""
        if self._mark != self.window.expected:
            self._note(self.window.expected)

    def note_window(self) -> None:
        """Make sure that no start accepts again what was accepted."""
        if self.window.expected > self._mark:
            self._note(self.window.expected + AHEAD)

    def _note(self, mark: int) -> None:
        """Note a window, and believe it only then: what the flash refuses is noted later."""
        _keep(self._its, WINDOW, mark)
        self._mark = mark

    def names(self) -> KeySet:
        """Return names of the global keys: of a key's size, and no key."""
        keys = self.secrets.keys
        encryption, authentication = keys.encryption_key, keys.authentication_key
        return KeySet(encryption_key=_name(encryption), authentication_key=_name(authentication))

    def prove(self, peer_title: bytes, challenges: tuple[bytes, bytes]) -> bytes:
        """Return pass 4 of HLS with GMAC, for our challenge and the client's."""
        return self._handshake(peer_title, challenges).reply(self.counters.next())

    def check(self, peer_title: bytes, challenges: tuple[bytes, bytes], reply: bytes) -> None:
        """Accept pass 3 of HLS with GMAC."""
        self._handshake(peer_title, challenges).verify(reply)

    def check_password(self, password: bytes) -> None:
        """Accept the reader's secret.

        Raises:
            PsaError: INVALID_SIGNATURE, it is another.
        """
        if not compare_digest(password, self.secrets.password):
            raise PsaError(Status.INVALID_SIGNATURE, "the password is wrong", "LLS")

    def notify(self, recipient: bytes, apdu: bytes) -> tuple[bytes, int]:
        """Return a DataNotification in general-ciphering, and the long-invoke-id it got."""
        parties = Parties(u=self.secrets.title, v=recipient)
        return seal_notification(self.cipher, self.counters, parties, apdu)

    def transfer(self, wrapped: dict[str, bytes]) -> None:
        """Replace keys by those that the master key wraps, durable before they are used.

        Args:
            wrapped: By the name of the secret.

        Raises:
            SecurityError: One was not wrapped with the master key, or has another size.
        """
        master = MasterKey(self.secrets.master)
        found = {name: master.unwrap(octets) for name, octets in wrapped.items()}
        for name, key in found.items():
            if len(key) != KEY_OCTETS:
                problem = f"a key of {len(key)} octets, not {KEY_OCTETS}"
                raise SecurityError(problem, f"{name} key", CLAUSE)
        changed = replace(self.secrets, **found)  # type: ignore[arg-type]  # fields by name
        if changed == self.secrets:
            return
        changed = replace(changed, epoch=self.secrets.epoch + 1)
        new_window = changed.encryption != self.secrets.encryption
        window = self.window
        if new_window:
            # A key that comes back brings its window along; unknown ones begin anew.
            window = self._former.get(_name(changed.encryption), ReceiveWindow())
        if window.expected > self._mark:
            self._note(window.expected)  # first: no start finds the key without its window
        self._ps.set(CLIENT, SECRETS, changed.encode(), 0)
        former, self.secrets = self.secrets, changed
        self.cipher = Cipher(changed.keys)
        if new_window:
            self._former.pop(_name(changed.encryption), None)
            self._former[_name(former.encryption)] = self.window
            self.window = window
            with suppress(PsaError):  # the keys are in force; too high a mark skips counters only
                self.close()

    def transfer_group(self, wrapped: dict[str, bytes]) -> None:
        """Replace the keys of the group, durable before they are used.

        Args:
            wrapped: By the names in `GroupKeys`.

        Raises:
            SecurityError: One was not wrapped with the master key, or has another size.
        """
        master = MasterKey(self.secrets.master)
        new = GroupKeys(**{name: master.unwrap(octets) for name, octets in wrapped.items()})
        cipher = new.cipher()
        held = self._held_group()
        if held is not None and held[0] == new:
            return  # what was let in under them is not let in again
        # In this order: with the windows gone first, a loss of power in between would let in once
        # more what the former keys let in.  Former windows under new keys let in too little at
        # most, and nothing of a client whose counters go on over a change of keys.
        self._ps.set(CLIENT, GROUP, _GROUP_FORM.pack(new.encryption, new.authentication), 0)
        with suppress(PsaError):  # there was none
            self._its.remove(CLIENT, GROUP_WINDOWS)
        self._group_windows = {}
        self._group = new, cipher

    def unprotect_broadcast(self, originator: bytes, octets: bytes) -> tuple[bytes, Protection]:
        """Open what an originator sends to the group; its counter is durable before it counts.

        Raises:
            DecodeError: It is not well formed.
            ReplayError: The counter is not above the last one.
            SecurityError: There are no keys, or it is not under them.
        """
        held = self._held_group()
        if held is None:
            raise SecurityError("no broadcast key is known", "broadcast", CLAUSE)
        apdu, protection = open_broadcast(held[1], originator, octets)
        windows = self._windows_of_group()
        if originator not in windows and len(windows) >= MOST_ORIGINATORS:
            problem = f"{MOST_ORIGINATORS} originators have spoken to the group: change its keys"
            raise SecurityError(problem, f"originator {originator.hex().upper()}", CLAUSE)
        window, mark = windows.get(originator) or (ReceiveWindow(), 0)
        window.accept(protection.invocation_counter)
        if window.expected > mark:
            mark = window.expected + AHEAD_OF_BROADCASTS
            marks = {title: each for title, (_, each) in windows.items()} | {originator: mark}
            packed = (_GROUP_WINDOW_FORM.pack(each, title) for title, each in marks.items())
            self._its.set(CLIENT, GROUP_WINDOWS, b"".join(packed), 0)
        windows[originator] = window, mark
        return apdu, protection

    def _held_group(self) -> tuple[GroupKeys, Cipher] | None:
        if self._group is None:
            try:
                octets = self._ps.get(CLIENT, GROUP, 0, _GROUP_FORM.size)
            except PsaError as error:
                if error.status is not Status.DOES_NOT_EXIST:
                    raise
                return None
            encryption, authentication = _GROUP_FORM.unpack(octets)
            keys = GroupKeys(encryption=encryption, authentication=authentication)
            self._group = keys, keys.cipher()
        return self._group

    def _windows_of_group(self) -> dict[bytes, tuple[ReceiveWindow, int]]:
        """Return the windows under the group's keys by originator, each with its durable mark."""
        if self._group_windows is None:
            try:
                most = MOST_ORIGINATORS * _GROUP_WINDOW_FORM.size
                octets = self._its.get(CLIENT, GROUP_WINDOWS, 0, most)
            except PsaError as error:
                if error.status is not Status.DOES_NOT_EXIST:
                    raise
                octets = b""
            self._group_windows = {
                title: (ReceiveWindow(mark), mark)
                for mark, title in _GROUP_WINDOW_FORM.iter_unpack(octets)
            }
        return self._group_windows

    def _handshake(self, peer_title: bytes, challenges: tuple[bytes, bytes]) -> Handshake:
        ours, peers = challenges
        return Handshake(
            mechanism=Mechanism.HLS_GMAC,
            own_title=self.secrets.title,
            peer_title=peer_title,
            own_challenge=ours,
            peer_challenge=peers,
            cipher=self.cipher,
        )


def bring_in(
    its: Storage, ps: Storage, secrets: Secrets, *, first_counter: int = 1, window_expected: int = 0
) -> None:
    """Give the device its secrets, as its factory does, and where its counters begin."""
    _keep(its, COUNTERS, first_counter)
    _keep(its, WINDOW, window_expected)
    ps.set(CLIENT, SECRETS, secrets.encode(), 0)


def _number(its: Storage, uid: int, default: int) -> int:
    try:
        (found,) = _NUMBER.unpack(its.get(CLIENT, uid, 0, _NUMBER.size))
    except PsaError as error:
        if error.status is not Status.DOES_NOT_EXIST:
            raise
        return default
    return int(found)


def _keep(its: Storage, uid: int, number: int) -> None:
    its.set(CLIENT, uid, _NUMBER.pack(number), 0)


def _name(key: bytes) -> bytes:
    return sha256(b"name of " + key).digest()[:KEY_OCTETS]
