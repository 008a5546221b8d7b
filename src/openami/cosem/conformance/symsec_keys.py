# SPDX-License-Identifier: Apache-2.0
"""Cases that replace the global keys, and put them back (SYMSEC_0 Key_Tx).

The keys that a case puts in are derived from the master key, so that they can be made again if a
run dies between the transfer and its undoing (`case_key`).
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from openami.cosem.classes.access_control import KeyId, SecuritySetup, WrappedKey
from openami.cosem.conformance.answers import not_opened
from openami.cosem.conformance.case import Failed, Inconclusive, Need, NotApplicable, Script
from openami.cosem.conformance.symsec import security_case
from openami.cosem.conformance.trial import PROBE, Trial, Undo
from openami.cosem.conformance.walk import require_method
from openami.cosem.refusals import AccessError, ExceptionResponseError
from openami.cosem.serving.security_setup import wrap_keys
from openami.dlms.errors import DlmsError
from openami.dlms.obis import Obis
from openami.dlms.security.ciphering import Cipher
from openami.dlms.security.credentials import MasterKey
from openami.dlms.security.keyset import KeySet

CLAUSE: Final = "DLMS UA 1000-1 Ed. 12, 4.4.7; DLMS UA 1000-2 Ed. 10, 9.2.5"
GUEK: Final = KeyId.GLOBAL_UNICAST_ENCRYPTION_KEY
GAK: Final = KeyId.AUTHENTICATION_KEY
UNKNOWN_KEY_ID: Final = 9
_NAMES: Final = {GUEK: "GUEK", GAK: "GAK"}


def case_key(master_key: MasterKey, key_id: KeyId) -> bytes:
    """Return the key that a case puts in for `key_id`; it follows from the master key.

    Its octets, as many as the master key has, are the first of SHA-256 over
    ``OpenAMI conformance``, the key id, and the master key.
    """
    told = b"OpenAMI conformance" + bytes((key_id,)) + master_key.octets
    return hashlib.sha256(told).digest()[: len(master_key.octets)]


def held(trial: Trial) -> tuple[KeySet, MasterKey, Obis]:
    """Return the declared keys, the master key and the security setup."""
    aa = trial.aa
    if aa.keys is None or aa.master_key is None or aa.security_setup is None:
        raise NotApplicable("keys, master key and security setup must be declared")
    return aa.keys, aa.master_key, aa.security_setup


def with_keys(keys: KeySet, put: Mapping[KeyId, bytes]) -> KeySet:
    """Return a key set with some of its keys replaced."""
    return replace(
        keys,
        encryption_key=put.get(GUEK, keys.encryption_key),
        authentication_key=put.get(GAK, keys.authentication_key),
    )


def transfer(
    trial: Trial, under: KeySet, wrapped: tuple[WrappedKey, ...], setup: Obis
) -> Script[None]:
    """Open under `under` and call key_transfer."""
    client = yield from trial.opened(cipher=Cipher(under))
    # The answer still goes out under the old keys: it belongs to the old association.
    yield from trial.steps(client.act(SecuritySetup.key_transfer, wrapped, at=setup))


def works(trial: Trial, keys: KeySet, said: str) -> Script[None]:
    """Hold the meter to opening and answering under keys."""
    try:
        client = yield from trial.opened(cipher=Cipher(keys))
        yield from trial.steps(client.get_raw(*PROBE))
    except (Inconclusive, DlmsError) as error:
        raise Failed(f"{said} do not work: {error}") from None


def restore(trial: Trial) -> Script[str | None]:
    """Put the declared keys back into a meter that a run has left with the keys of a case.

    A run puts them back itself, whatever happens, unless it is killed.
    """
    keys, master_key, setup = held(trial)
    if (yield from _opens(trial, keys)):
        return "the declared keys work: there is nothing to put back"
    former = {GUEK: keys.encryption_key, GAK: keys.authentication_key}
    for put in ((GUEK,), (GAK,), (GUEK, GAK)):
        left = with_keys(keys, {each: case_key(master_key, each) for each in put})
        if (yield from _opens(trial, left)):
            back = {each: former[each] for each in put}
            yield from transfer(trial, left, wrap_keys(master_key, back), setup)
            yield from works(trial, keys, "the declared keys")
            return f"{' and '.join(_NAMES[each] for each in put)} put back"
    raise Failed("neither the declared keys nor those of a case open the association")


def _opens(trial: Trial, keys: KeySet) -> Script[bool]:
    try:
        yield from trial.opened(cipher=Cipher(keys))
    except Inconclusive:
        return False
    return True


def _granted(trial: Trial, setup: Obis) -> Script[None]:
    client = yield from trial.opened()
    method = SecuritySetup.key_transfer
    yield from require_method(trial, client, SecuritySetup.class_id, setup, method.index)


def _transferred(*key_ids: KeyId) -> Callable[[Trial], Script[str | None]]:
    names = " and ".join(_NAMES[each] for each in key_ids)

    def script(trial: Trial) -> Script[str | None]:
        keys, master_key, setup = held(trial)
        put = {each: case_key(master_key, each) for each in key_ids}
        fresh = with_keys(keys, put)
        former = {GUEK: keys.encryption_key, GAK: keys.authentication_key}

        def undo(trial: Trial) -> Script[None]:
            back = {each: former[each] for each in key_ids}
            yield from transfer(trial, fresh, wrap_keys(master_key, back), setup)
            yield from works(trial, keys, "the former keys")

        yield from _granted(trial, setup)  # under the declared keys, which so are seen to work
        trial.undo.append(Undo(names, undo))
        try:
            yield from transfer(trial, keys, wrap_keys(master_key, put), setup)
        except (AccessError, ExceptionResponseError) as error:
            trial.undo.clear()
            raise Failed(f"key_transfer of {names}: {error}") from None
        yield from works(trial, fresh, f"the new {names}")
        yield from trial.connect()
        answer = yield from trial.ask(trial.aarq())
        # With HLS the AARQ's own protection, or pass 3, shows that the old key is refused.
        not_opened(answer, f"under the former {names}")
        return f"the new {names} worked, the former was refused"

    return script


def _refused_transfer(
    wrapped: Callable[[MasterKey], tuple[WrappedKey, ...]], said: str
) -> Callable[[Trial], Script[str | None]]:
    def script(trial: Trial) -> Script[str | None]:
        keys, master_key, setup = held(trial)
        yield from _granted(trial, setup)
        client = yield from trial.opened()
        try:
            yield from trial.steps(
                client.act(SecuritySetup.key_transfer, wrapped(master_key), at=setup)
            )
        except (AccessError, ExceptionResponseError) as error:
            words = str(error)
        else:
            raise Failed(f"success came to key_transfer {said}")
        yield from works(trial, keys, "the declared keys")
        return f"{words}; the keys stayed"

    return script


def _of_unknown_id(master_key: MasterKey) -> tuple[WrappedKey, ...]:
    # The number stands where KeyId does: the meter must not take it.
    number: KeyId = UNKNOWN_KEY_ID  # type: ignore[assignment]
    return (WrappedKey(number, master_key.wrap(case_key(master_key, GUEK))),)


def _wrongly_wrapped(master_key: MasterKey) -> tuple[WrappedKey, ...]:
    other = MasterKey(bytes(octet ^ 0x5A for octet in master_key.octets))
    return wrap_keys(other, {GUEK: case_key(master_key, GUEK)})


NEEDS: Final = (Need.SETUP, Need.MASTER_KEY, Need.ACTION)
_ACCEPTS: Final = "success; the new key works, the former does not; success; the former works again"

CHOICES: Final = (
    ("GUEK", "GUEK", (GUEK,)),
    ("GAK", "GAK", (GAK,)),
    ("BOTH", "GUEK and GAK in one call", (GUEK, GAK)),
)
"""Which keys a case changes: its name, in words, and their numbers."""

CASES: Final = (
    *(
        security_case(
            f"Key_Tx_P_{name}",
            f"key_transfer of {names}",
            CLAUSE,
            f"key_transfer of {names}; AARQ under the new; AARQ under the former; and back",
            _ACCEPTS,
            _transferred(*key_ids),
            *NEEDS,
            changes=True,
        )
        for name, names, key_ids in CHOICES
    ),
    security_case(
        "Key_Tx_N1",
        "key_transfer of a key that does not exist",
        CLAUSE,
        f"key_transfer with key_id {UNKNOWN_KEY_ID}; AARQ under the declared keys",
        "a result other than success; the declared keys work",
        _refused_transfer(_of_unknown_id, f"with key_id {UNKNOWN_KEY_ID}"),
        *NEEDS,
        changes=True,
    ),
    security_case(
        "Key_Tx_N_WRAPPING",
        "key_transfer with a wrong wrapping",
        CLAUSE,
        "key_transfer of GUEK wrapped with another key; AARQ under the declared keys",
        "a result other than success; the declared keys work",
        _refused_transfer(_wrongly_wrapped, "wrapped with another key"),
        *NEEDS,
        changes=True,
    ),
)
