# SPDX-License-Identifier: Apache-2.0
"""Cases on the ACCESS service (DLMS UA 1000-2 Ed. 10, 9.3.9); ours, as the suites know none.

Under keys ACCESS has no tag of its own and travels in envelopes of general protection.
"""

from typing import Final

from openami.cosem.client import Client
from openami.cosem.conformance.answers import opened_answer, refused
from openami.cosem.conformance.case import Failed, Need, NotApplicable, Script
from openami.cosem.conformance.data_ln import OWN_NAME, data_case, response_of
from openami.cosem.conformance.symsec import NO_DATA, security_case
from openami.cosem.conformance.trial import Trial, shown
from openami.dlms.apdu.access import AccessGet, AccessRequest, AccessResponse
from openami.dlms.apdu.fields import AttributeDescriptor
from openami.dlms.apdu.invocation import LongInvokeIdAndPriority
from openami.dlms.obis import Obis

_RESPONSE: Final = bytes((AccessResponse.TAG,))
ACCESS: Final = "DLMS UA 1000-2 Ed. 10, 9.3.9"
LONG_ID: Final = 0x5A5A5A
NOBODY: Final = AttributeDescriptor(
    class_id=1, instance_id=Obis(7, 99, 99, 99, 99, 255), attribute_id=2
)


def _request() -> bytes:
    rows = (OWN_NAME, NOBODY, OWN_NAME)
    return AccessRequest(
        long_invoke_id_and_priority=LongInvokeIdAndPriority.of(LONG_ID),
        specifications=tuple(AccessGet(attribute=row) for row in rows),
        values=(None,) * len(rows),
    ).encode()


def _access_p1(trial: Trial) -> Script[str | None]:
    client = yield from trial.opened()
    answer = yield from trial.through(client, _request())
    response = response_of(answer, "ACCESS", AccessResponse)
    found = response.long_invoke_id_and_priority.long_invoke_id
    if found != LONG_ID:
        raise Failed(f"long-invoke-id {found:06X} came to ACCESS under {LONG_ID:06X}")
    results = [int(outcome.result) for outcome in response.outcomes]
    if len(results) != 3 or results[0] or not results[1] or results[2]:
        raise Failed(f"results {results} came; only the second of three attributes is unknown")
    values = response.values
    if len(values) != 3 or values[0] is None or values[0] != values[2] or values[1] is not None:
        raise Failed(f"values {values!r} came; the first and the last are the same attribute")
    return f"{response.outcomes[1].result} stands between two values"


def _access_n1(trial: Trial) -> Script[str | None]:
    client = yield from trial.opened()
    answer = yield from trial.through(client, _request()[:12])
    said = refused(answer, "half of an ACCESS request")
    yield from trial.alive(client)
    return said


def _under_keys_n1(trial: Trial) -> Script[str | None]:
    def wrong_tag(octets: bytes) -> bytes:
        return octets[:-1] + bytes((octets[-1] ^ 0x01,))

    if trial.aa.policy.request_bits:
        client = yield from trial.opened()
        _not_served(client, (yield from trial.ask(_request())), "ACCESS in the clear")
    client = yield from trial.opened()
    sound = _protected(client)
    _not_served(client, (yield from trial.ask(wrong_tag(sound))), "ACCESS with a wrong tag")
    client = yield from trial.opened()
    sound = _protected(client)
    first = yield from trial.ask(sound)
    plain = opened_answer(client.channel, first, "ACCESS as it should be")
    if plain is None or plain[:1] != _RESPONSE:
        raise Failed(f"{shown(plain)} came to ACCESS; an access-response is due")
    again = yield from trial.ask(sound)
    return _not_served(client, again, "the same ACCESS once more")


def _protected(client: Client) -> bytes:
    if client.channel is None:
        raise NotApplicable("the association has no ciphering")
    return client.channel.protect(_request())


def _not_served(client: Client, answer: bytes | None, said: str) -> str:
    """Hold an answer to giving nothing; return it in words."""
    plain = opened_answer(client.channel, answer, said)
    if plain is not None and plain[:1] == _RESPONSE:
        raise Failed(f"an access-response came to {said}; {NO_DATA} is accepted")
    return shown(answer)


NEEDS: Final = (Need.ACCESS, Need.GET, Need.UNCIPHERED)

CASES: Final = (
    data_case(
        "ACCESS_P",
        "ACCESS answers each of its parts",
        ACCESS,
        "ACCESS with three reads, the second of an unknown object",
        "two values, null-data and an error between them, under the same long-invoke-id",
        _access_p1,
        *NEEDS,
    ),
    data_case(
        "ACCESS_N",
        "an ACCESS request that is cut off",
        ACCESS,
        "the first half of an ACCESS request; a read",
        "exception-response, and the association goes on",
        _access_n1,
        *NEEDS,
    ),
)

UNDER_KEYS: Final = (
    security_case(
        "Access_P",
        "ACCESS under keys answers each of its parts",
        ACCESS,
        "ACCESS in general protection with three reads, the second of an unknown object",
        "the same in general protection: two values, null-data and an error between them",
        _access_p1,
        Need.ACCESS,
        Need.GET,
    ),
    security_case(
        "Access_N1",
        "ACCESS that is protected too little or wrongly",
        ACCESS,
        "ACCESS in the clear, with a wrong tag, and twice under one frame counter",
        NO_DATA,
        _under_keys_n1,
        Need.ACCESS,
        Need.GET,
    ),
)
