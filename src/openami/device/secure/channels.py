# SPDX-License-Identifier: Apache-2.0
"""DLMS/COSEM security inside the secure world: keys, windows and counters of one device.

One crossing a direction: octets go in and an APDU comes out with how it arrived, an APDU goes in
and octets come out.  Keys that are transferred are unwrapped here and nowhere else; a dedicated key
is taken out of the InitiateRequest before that is handed on.

What is durable, in entries of a client of its own:

=====  =====  ==================================================================================
entry  where  what
=====  =====  ==================================================================================
1      PS     title, epoch, suite, policy, encryption, authentication and master key, the reader's
              secret; in suite 0 without suite and policy
2      ITS    first invocation counter that was never reserved, 4 octets
3      ITS    lowest counter that is accepted; ahead by up to `AHEAD` while the device runs
4      PS     keys of the group to which broadcasts go, none before they were transferred
5      ITS    of each originator under them the lowest counter that is accepted, and the title
6      PS     certificates (`identity`)
7      ITS    as 3, under keys that travel with an APDU
=====  =====  ==================================================================================

After a power cut the counters of a block that were not used are skipped in both directions: a
client is told which counter is expected.  A signature without ciphering, whose transaction-ids
would have to be kept, no policy here lets in: what is there at first asks for ciphering, and a
policy only becomes stronger.
"""

import struct
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from hmac import compare_digest
from typing import Final

from openami.device.secure.crossing import joined
from openami.device.secure.identity import CERTIFICATES, CLIENT, Ground, Identity
from openami.device.secure.keyring import MOST_OCTETS, Secrets
from openami.dlms.errors import SecurityError
from openami.dlms.hls import Handshake, Mechanism
from openami.dlms.security.agreement import (
    AgreementKey,
    Algorithm,
    Parties,
    key_data,
    open_key_data,
)
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
from openami.dlms.security.credentials import Credentials, MasterKey
from openami.dlms.security.curves import curve_of
from openami.dlms.security.envelopes import Protection
from openami.dlms.security.keyset import KeySet
from openami.dlms.security.notification import seal_notification
from openami.dlms.security.suites import (
    SecurityPolicy,
)
from openami.psa.status import PsaError, Status
from openami.psa.storage import Storage

SECRETS, COUNTERS, WINDOW, GROUP, GROUP_WINDOWS, TRAVELLING = 1, 2, 3, 4, 5, 7
COUNTERS_A_BLOCK: Final = 256
AHEAD: Final = COUNTERS_A_BLOCK
"""A note is a commit to flash: milliseconds that no busy association should pay each few APDUs."""
AHEAD_OF_BROADCASTS: Final = 16
"""Blocks that a loss of power may cost, and the client sends again."""
MOST_ORIGINATORS: Final = 4
CLAUSE: Final = "DLMS UA 1000-2 Ed. 10, 9.2.5"
INITIATE_REQUEST: Final = 0x01
PROVING: Final = frozenset({Mechanism.HLS_GMAC, Mechanism.HLS_ECDSA})
AGREED: Final = {0: "encryption", 2: "authentication", 3: "master"}
"""Secrets by the key-id under which they are agreed on."""
_NUMBER: Final = struct.Struct("<Q")
_GROUP_FORM: Final = struct.Struct("<16s16s")
_GROUP_WINDOW_FORM: Final = struct.Struct("<Q8s")


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
            policy=held.secrets.policy,
            windows=held.windows,
            credentials=held.credentials(peer_title),
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
        self._channel.replace(held.cipher, held.window, held.secrets.policy)


class Channels:
    """The DLMS/COSEM security of one device.

    Attributes:
        secrets: In force.
        cipher: Of the global keys.
        window: What is accepted under them.
        identity: Key pairs and certificates; None in suite 0, which has none.
    """

    def __init__(self, its: Storage, ground: Ground) -> None:
        """Take up what is stored.

        Raises:
            PsaError: DOES_NOT_EXIST, the device was never given keys.
        """
        self._its, self._ps, self._random = its, ground.ps, ground.random
        self.secrets = Secrets.decode(self._ps.get(CLIENT, SECRETS, 0, MOST_OCTETS))
        title, suite = self.secrets.title, self.secrets.suite
        self.identity = Identity(ground, title, suite) if suite else None
        self.cipher = Cipher(self.secrets.keys)
        self.counters = CounterBlock.reserving(_Reserve(its), COUNTERS_A_BLOCK)
        self._marks = {uid: _number(its, uid, 0) for uid in (WINDOW, TRAVELLING)}
        self.window = ReceiveWindow(self._marks[WINDOW])
        self.windows = Windows(travelling=ReceiveWindow(self._marks[TRAVELLING]))
        self._former: dict[bytes, ReceiveWindow] = {}
        self._group: tuple[GroupKeys, Cipher] | None = None  # looked for when it is first needed
        self._group_windows: dict[bytes, tuple[ReceiveWindow, int]] | None = None

    def open(self, peer_title: bytes) -> Channel:
        """Return the protection of an association with a client of this title."""
        return Channel(self, peer_title)

    def credentials(self, peer_title: bytes) -> Credentials | None:
        """Return what is here for signatures and keys that travel; in suite 0 nothing."""
        if self.identity is None:
            return None
        return self.identity.credentials(peer_title, MasterKey(self.secrets.master))

    def close(self) -> None:
        """Note the windows as they are: nothing is skipped at the next start."""
        for uid, window in self._windows:
            if self._marks[uid] != window.expected:
                self._note(uid, window.expected)

    def note_window(self) -> None:
        """Make sure that no start accepts again what was accepted."""
        for uid, window in self._windows:
            if window.expected > self._marks[uid]:
                self._note(uid, window.expected + AHEAD)

    @property
    def _windows(self) -> tuple[tuple[int, ReceiveWindow], ...]:
        return (WINDOW, self.window), (TRAVELLING, self.windows.travelling)

    def _note(self, uid: int, mark: int) -> None:
        """Note a window, and believe it only then: what the flash refuses is noted later."""
        _keep(self._its, uid, mark)
        self._marks[uid] = mark

    def names(self) -> KeySet:
        """Return names of the global keys: of a key's size, and no key."""
        held = self.secrets
        size = held.suite.key_octets
        return KeySet(
            suite=held.suite,
            encryption_key=_name(held.encryption)[:size],
            authentication_key=_name(held.authentication)[:size],
        )

    def prove(self, spoken: tuple[int, bytes, bytes, bytes]) -> bytes:
        """Return pass 4 of HLS with GMAC or ECDSA.

        Args:
            spoken: Mechanism, title of the client, our challenge and the client's.
        """
        return self._handshake(*spoken).reply(self.counters.next())

    def check(self, spoken: tuple[int, bytes, bytes, bytes], reply: bytes) -> None:
        """Accept pass 3 of HLS with GMAC or ECDSA."""
        self._handshake(*spoken).verify(reply)

    def activate(self, bits: int) -> None:
        """Add to what the policy asks; nothing that it asks already can be left out."""
        held = self.secrets.policy
        if bits != held and (held & ~bits or bits & ~0xFC or self.identity is None):
            problem = f"policy {bits:02X} cannot be had here, {held:02X} stays"
            raise SecurityError(problem, "security_activate", CLAUSE)
        self._store(replace(self.secrets, policy=SecurityPolicy(bits)))

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
        self._replace({name: master.unwrap(octets) for name, octets in wrapped.items()})

    def agree(self, peer_title: bytes, offers: bytes) -> bytes:
        """Replace keys by those agreed on with a client, C(2e, 0s); return our halves.

        Args:
            peer_title: The client's.
            offers: Each a key-id and the client's half: its ephemeral public key, signed.

        Raises:
            SecurityError: One is not signed by it, or is for no key that is here.
        """
        credentials = self.credentials(peer_title)
        if credentials is None or credentials.signer is None or credentials.peer_signing is None:
            problem = "an agreement needs our signing key and the public one of the peer"
            raise SecurityError(problem, "key_agreement", CLAUSE)
        suite, signer = credentials.suite, credentials.signer
        size = 1 + 4 * curve_of(suite).coordinate_octets
        parties = Parties(u=peer_title, v=self.secrets.title)
        found: dict[str, bytes] = {}
        halves = b""
        for at in range(0, len(offers), size):
            key_id = offers[at]
            name = AGREED.get(key_id, "")
            if not name or name in found:
                problem = "it is given twice, or no key that is here"
                raise SecurityError(problem, f"key-id {key_id}", CLAUSE)
            half = offers[at + 1 : at + size]
            public = open_key_data(credentials.peer_signing, half, key_id)
            ephemeral = AgreementKey.fresh(suite, self._random)
            algorithm = Algorithm.of(suite, wraps=name == "master")
            found[name] = ephemeral.agree(public, parties.info(algorithm))
            halves += bytes((key_id,)) + key_data(ephemeral, signer, key_id)
        self._replace(found)
        return halves

    def _replace(self, found: dict[str, bytes]) -> None:
        """Use other keys, durable before they are used."""
        size = self.secrets.suite.key_octets
        for name, key in found.items():
            if len(key) != size:
                problem = f"a key of {len(key)} octets, not {size}"
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
        if window.expected > self._marks[WINDOW]:
            self._note(WINDOW, window.expected)  # first: no start finds the key without its window
        former = self.secrets
        self._store(changed)
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

    def _store(self, changed: Secrets) -> None:
        self._ps.set(CLIENT, SECRETS, changed.encode(), 0)
        self.secrets = changed

    def _handshake(self, mechanism: int, peer_title: bytes, ours: bytes, peers: bytes) -> Handshake:
        if mechanism not in PROVING:
            problem = "neither GMAC nor ECDSA proves keys that are here"
            raise SecurityError(problem, f"authentication mechanism {mechanism}", CLAUSE)
        return Handshake(
            mechanism=Mechanism(mechanism),
            own_title=self.secrets.title,
            peer_title=peer_title,
            own_challenge=ours,
            peer_challenge=peers,
            cipher=self.cipher,
            credentials=self.credentials(peer_title),
        )


def bring_in(  # noqa: PLR0913  a device has this to be given
    its: Storage,
    ps: Storage,
    secrets: Secrets,
    *,
    first_counter: int = 1,
    window_expected: int = 0,
    certificates: Iterable[bytes] = (),
) -> None:
    """Give the device its secrets, as its factory does, and where its counters begin.

    Args:
        its: Of the device.
        ps: The same.
        secrets: What it is to know.
        first_counter: The first invocation counter that it may use.
        window_expected: The lowest that it accepts.
        certificates: Whom it is to believe: an authority, and clients that this one certified.
    """
    _keep(its, COUNTERS, first_counter)
    _keep(its, WINDOW, window_expected)
    if secrets.suite:
        ps.set(CLIENT, CERTIFICATES, joined(certificates), 0)
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
    return sha256(b"name of " + key).digest()
