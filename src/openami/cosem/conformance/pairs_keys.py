# SPDX-License-Identifier: Apache-2.0
"""Cases that agree on global keys with the security setup, and put the former back.

DLMS UA 1000-1 Ed. 12, 4.4.7 (key_agreement) and DLMS UA 1000-2 Ed. 10, 9.2.3.4.6.2: C(2e, 0s).
What is agreed nobody can make again: the former keys go back by key_transfer, under the master
key, while the case still holds the new ones.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from openami.cosem.classes.access_control import KeyData, KeyId, SecuritySetup, SecuritySetupV1
from openami.cosem.conformance.answers import not_opened
from openami.cosem.conformance.case import Failed, Need, Script
from openami.cosem.conformance.pairs import credentials_of, pairs_case
from openami.cosem.conformance.symsec_keys import (
    CHOICES,
    GAK,
    GUEK,
    NEEDS,
    held,
    transfer,
    with_keys,
    works,
)
from openami.cosem.conformance.trial import Trial, Undo
from openami.cosem.conformance.walk import require_method
from openami.cosem.refusals import AccessError, ExceptionResponseError
from openami.cosem.serving.security_setup import KeyOffer, wrap_keys
from openami.dlms.errors import SecurityError
from openami.dlms.obis import Obis
from openami.dlms.security.agreement import Parties
from openami.dlms.security.signing import SigningKey

CLAUSE: Final = "DLMS UA 1000-1 Ed. 12, 4.4.7; DLMS UA 1000-2 Ed. 10, 9.2.3.4.6"


def _agreeing(trial: Trial, setup: Obis) -> Script[None]:
    client = yield from trial.opened()
    method = SecuritySetupV1.key_agreement
    yield from require_method(trial, client, SecuritySetup.class_id, setup, method.index)


def _agreed(*key_ids: KeyId) -> Callable[[Trial], Script[str | None]]:
    names = " and ".join("GUEK" if each is GUEK else "GAK" for each in key_ids)

    def script(trial: Trial) -> Script[str | None]:
        keys, master_key, setup = held(trial)
        yield from _agreeing(trial, setup)
        client = yield from trial.opened()
        parties = Parties(u=trial.aa.client_title, v=client.context.server_title)
        offers = [KeyOffer.of(each, parties, credentials_of(trial)) for each in key_ids]
        try:
            halves = yield from trial.steps(
                client.act(
                    SecuritySetupV1.key_agreement, tuple(each.data for each in offers), at=setup
                )
            )
        except (AccessError, ExceptionResponseError) as error:
            raise Failed(f"key_agreement on {names}: {error}") from None
        try:
            put = {each.key_id: each.key(halves or ()) for each in offers}
        except SecurityError as error:
            raise Failed(f"the meter's half of key_agreement on {names}: {error}") from None
        fresh = with_keys(keys, put)
        former = {GUEK: keys.encryption_key, GAK: keys.authentication_key}

        def undo(trial: Trial) -> Script[None]:
            back = {each: former[each] for each in key_ids}
            yield from transfer(trial, fresh, wrap_keys(master_key, back), setup)
            yield from works(trial, keys, "the former keys")

        trial.undo.append(Undo(names, undo))
        yield from works(trial, fresh, f"the agreed {names}")
        yield from trial.connect()
        answer = yield from trial.ask(trial.aarq())
        not_opened(answer, f"under the former {names}")
        return f"the agreed {names} worked, the former was refused"

    return script


def _signed_by_another(trial: Trial) -> Script[str | None]:
    keys, _, setup = held(trial)
    yield from _agreeing(trial, setup)
    client = yield from trial.opened()
    ours = credentials_of(trial)
    parties = Parties(u=trial.aa.client_title, v=client.context.server_title)
    forged = replace(ours, signer=SigningKey.fresh(ours.suite, trial.entropy))
    offers: tuple[KeyData, ...] = (KeyOffer.of(GUEK, parties, forged).data,)
    try:
        yield from trial.steps(client.act(SecuritySetupV1.key_agreement, offers, at=setup))
    except (AccessError, ExceptionResponseError) as error:
        words = str(error)
    else:
        raise Failed("success came to key_agreement with a half that another signed")
    yield from works(trial, keys, "the declared keys")
    return f"{words}; the keys stayed"


CASES: Final = (
    *(
        pairs_case(
            f"Key_Agr_P_{name}",
            f"key_agreement on {names}",
            CLAUSE,
            f"key_agreement on {names}; AARQ under the new; AARQ under the former; "
            "key_transfer of the former",
            "the meter's half, signed; the new key works, the former does not; it works again",
            _agreed(*key_ids),
            *NEEDS,
            changes=True,
        )
        for name, names, key_ids in CHOICES
    ),
    pairs_case(
        "Key_Agr_N1",
        "key_agreement with a half that another signed",
        CLAUSE,
        "key_agreement on GUEK, signed with another key; AARQ under the declared keys",
        "a result other than success; the declared keys work",
        _signed_by_another,
        Need.SETUP,
        Need.MASTER_KEY,
        Need.ACTION,
        changes=True,
    ),
)
