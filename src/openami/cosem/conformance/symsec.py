# SPDX-License-Identifier: Apache-2.0
"""Cases on shared keys: protection, frame counters, policies (DLMS UA 1000-2 Ed. 10, 9.2).

After the DLMS UA's SYMSEC_0, and put to suites 1 and 2 as well.  Keys are `symsec_keys`,
dedicated keys `symsec_dedicated`, key pairs `pairs`.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Final

from openami.cosem.classes.access_control import SecuritySetup
from openami.cosem.client import Client
from openami.cosem.conformance import answers
from openami.cosem.conformance.case import (
    Failed,
    Family,
    Group,
    Inconclusive,
    Need,
    NotApplicable,
    Script,
)
from openami.cosem.conformance.data_ln import OWN_NAME
from openami.cosem.conformance.data_writing import (
    WRITES,
    declared_row,
    keep,
    other_value,
    read_row,
    write_row,
)
from openami.cosem.conformance.trial import BOTH, Trial, Undo, shown, understood
from openami.cosem.conformance.walk import require_method
from openami.cosem.refusals import AccessError
from openami.dlms.apdu.acse import (
    ReleaseRequestReason,
    ReleaseResponseReason,
    Rlre,
    Rlrq,
)
from openami.dlms.apdu.codes import DataAccessResult
from openami.dlms.apdu.get import GetRequestNormal
from openami.dlms.apdu.invocation import InvokeIdAndPriority
from openami.dlms.errors import DlmsError
from openami.dlms.obis import Obis
from openami.dlms.security.ciphering import Cipher
from openami.dlms.security.suites import (
    BROADCAST_KEY,
    NO_PROTECTION,
    SIGNED,
    SecurityControl,
    SecurityPolicy,
    SecuritySuite,
)

CLAUSE: Final = "DLMS UA 1000-2 Ed. 10, 9.2.7"
FRESHNESS: Final = "DLMS UA 1000-2 Ed. 10, 9.2.3.3.7"
SUITE: Final = SecuritySuite.AES_GCM_128
AUTHENTICATED: Final = SecurityControl.of(SUITE, encrypted=False)
ENCRYPTED: Final = SecurityControl.of(SUITE, authenticated=False)
CONTROLS: Final = {
    "authentication": AUTHENTICATED,
    "encryption": ENCRYPTED,
    "authentication and encryption": BOTH,
}
GENERAL: Final = frozenset({0xDB, 0xDC})
"""general-glo- and general-ded-ciphering."""
GET_OWN_NAME: Final = GetRequestNormal(
    invoke_id_and_priority=InvokeIdAndPriority.of(3), attribute=OWN_NAME
).encode()


def no_data(client: Client, answer: bytes | None, said: str) -> str:
    """Hold the answer to a wrongly protected GET to not giving data."""
    return answers.no_data(client.channel, answer, said)


def served(trial: Trial) -> Script[None]:
    """See that a sound GET gives data in a fresh association.

    Raises:
        Inconclusive: It does not: then a refusal of a wrong one says nothing.
    """
    client = yield from trial.opened()
    answer = yield from trial.ask(trial.sealed(GET_OWN_NAME))
    plain = answers.opened_answer(client.channel, answer, "a sound GET")
    if plain is None or plain[:1] != b"\xc4" or plain[3:4] != b"\x00":
        sentence = f"{shown(plain)} came to a sound GET too, so that refusals say nothing"
        raise Inconclusive(sentence)


def _ciphering(policy: SecurityPolicy) -> int:
    """Return what a policy asks of the ciphering of requests."""
    return policy.request_bits & ~SIGNED


def allowed(policy: SecurityPolicy) -> Iterator[tuple[str, SecurityControl]]:
    """Yield the protections that a policy lets in."""
    for name, control in CONTROLS.items():
        if control & _ciphering(policy) == _ciphering(policy):
            yield name, control


def weaker(policy: SecurityPolicy) -> Iterator[tuple[str, SecurityControl | None]]:
    """Yield the protections that a policy must keep out; None is none at all."""
    if policy.request_bits:
        yield "no protection", None
    for name, control in CONTROLS.items():
        if control & _ciphering(policy) != _ciphering(policy):
            yield name, control


def _basic_cap(trial: Trial) -> Script[str | None]:
    names = []
    for name, control in allowed(trial.aa.policy):
        client = yield from trial.opened()
        answer = yield from trial.ask(trial.sealed(GET_OWN_NAME, control=control))
        if answer is None or client.channel is None:
            raise Failed(f"silence came to GET under {name}")
        try:
            plain, protection = client.channel.unprotect(answer)
        except DlmsError as error:
            raise Failed(f"the answer to GET under {name} cannot be opened: {error}") from None
        owed = trial.aa.policy.response_bits
        if protection.bits & owed != owed:
            raise Failed(f"the answer to GET under {name} is protected by {protection.control:02X}")
        if plain[:1] != b"\xc4" or plain[3:4] != b"\x00":
            raise Failed(f"{shown(plain)} came to GET under {name}; data is due")
        names.append(name)
    return f"read under {', '.join(names)}"


def _replayed(trial: Trial) -> Script[str | None]:
    client = yield from trial.opened()
    octets = trial.sealed(GET_OWN_NAME)
    answer = yield from trial.ask(octets)
    if answer is None or answer[0] == 0xD8:
        raise Failed(f"{shown(answer)} came to the first GET; data is due")
    again = yield from trial.ask(octets)
    said = no_data(client, again, "the same GET under the same frame counter")
    lower = trial.sealed(GET_OWN_NAME, counter=max(trial.aa.counters.following - 3, 0))
    answer = yield from trial.ask(lower)
    no_data(client, answer, "GET under a lower frame counter")
    return said


def counter_of(octets: bytes) -> int | None:
    """Return the invocation counter of a ciphered response; None for another APDU."""
    service = {0xCC, 0xCD, 0xCF, 0xD4, 0xD5, 0xD7}
    if octets[0] in GENERAL:  # its title stands between tag and length
        octets = octets[1 + octets[1] :]
    elif octets[0] not in service:
        return None
    start = 2 if octets[1] < 0x80 else 2 + (octets[1] & 0x7F)
    return int.from_bytes(octets[start + 1 : start + 5])


def _server_counts(trial: Trial) -> Script[str | None]:
    yield from trial.opened()
    counters = []
    for _ in range(4):
        answer = yield from trial.ask(trial.sealed(GET_OWN_NAME))
        counter = counter_of(answer) if answer else None
        if counter is None:
            raise Failed(f"{shown(answer)} came to GET; a glo-get-response is due")
        counters.append(counter)
    if any(after <= before for before, after in pairwise(counters)):
        raise Failed(f"the meter's frame counters were {counters}; each must be above the last")
    return f"the meter's frame counters were {counters}"


def _write(trial: Trial) -> Script[str | None]:
    row = declared_row(trial)
    client = yield from trial.opened()
    value = yield from read_row(trial, client, row)
    keep(trial, row, value)
    wanted = other_value(value)
    result = yield from write_row(trial, client, row, wanted)
    if result in {DataAccessResult.READ_WRITE_DENIED, DataAccessResult.OBJECT_UNDEFINED}:
        trial.undo.clear()
        raise NotApplicable(f"this association may not write {row}: {result}")
    if result != DataAccessResult.SUCCESS:
        raise Failed(f"{result} came to a protected SET of {row}")
    found = yield from read_row(trial, client, row)
    if found != wanted:
        raise Failed(f"{found!r} is read where {wanted!r} was written")
    return None


def _other(key: bytes) -> bytes:
    return bytes(octet ^ 0x5A for octet in key)


def _spoilt(trial: Trial, place: int) -> bytes:
    """A sound GET with one bit turned over."""
    octets = bytearray(trial.sealed(GET_OWN_NAME))
    octets[place] ^= 0x01
    return bytes(octets)


def _under(trial: Trial, control: int = BOTH, **changes: Any) -> bytes:  # noqa: ANN401  fields of KeySet
    """A GET under other keys."""
    keys = trial.aa.keys
    if keys is None:
        raise NotApplicable("the association has no keys")
    return trial.sealed(GET_OWN_NAME, control=control, cipher=Cipher(replace(keys, **changes)))


def _guek(trial: Trial) -> bytes:
    return trial.aa.keys.encryption_key if trial.aa.keys else b""


WRONG: Final[Mapping[str, Callable[[Trial], bytes]]] = MappingProxyType(
    {
        "GET under another encryption key": lambda trial: _under(
            trial, encryption_key=_other(_guek(trial))
        ),
        "GET under another authentication key": lambda trial: _under(
            trial, authentication_key=_other(_guek(trial))
        ),
        "GET with a wrong tag": lambda trial: _spoilt(trial, -1),
        "GET with an altered body": lambda trial: _spoilt(trial, 8),
        "GET under a broadcast key that is none": lambda trial: _under(
            trial, BOTH | BROADCAST_KEY, broadcast_key=_other(_guek(trial))
        ),
    }
)


def _wrong(trial: Trial) -> Script[str | None]:
    last = ""
    for said, make in WRONG.items():
        client = yield from trial.opened()
        answer = yield from trial.ask(make(trial))
        last = no_data(client, answer, said)
    yield from served(trial)
    return f"the last of {len(WRONG)}: {last}"


def _policy(number: int) -> Callable[[Trial], Script[str | None]]:
    wanted = SecurityPolicy.from_version_0(number)

    def script(trial: Trial) -> Script[str | None]:
        aa = trial.aa
        setup = aa.security_setup
        if setup is None:
            raise NotApplicable("no security setup is declared")
        if aa.policy & ~wanted:
            raise NotApplicable(f"the meter's policy already asks for more than policy {number}")
        if aa.policy != wanted:
            yield from _activate(trial, setup, number)
        client = yield from trial.opened(policy=NO_PROTECTION)
        last = ""
        for name, control in weaker(wanted):
            octets = GET_OWN_NAME
            if control is not None:
                octets = trial.sealed(GET_OWN_NAME, control=control)
            answer = yield from trial.ask(octets)
            last = no_data(client, answer, f"GET with {name} under policy {number}")
        yield from trial.opened(policy=wanted)
        name, control = next(allowed(wanted))
        answer = yield from trial.ask(trial.sealed(GET_OWN_NAME, control=control))
        if answer is None or counter_of(answer) is None:
            raise Failed(f"{shown(answer)} came to GET with {name} under policy {number}")
        return f"{last} came to too little protection"

    return script


def _activate(trial: Trial, setup: Obis, number: int) -> Script[None]:
    client = yield from trial.opened(policy=NO_PROTECTION)
    method = SecuritySetup.security_activate
    found = yield from require_method(trial, client, SecuritySetup.class_id, setup, method.index)

    def argument(policy: SecurityPolicy) -> int:
        # Version 1 tells requests from responses, and writes bits.
        return policy.to_version_0() if found.version == 0 else int(policy)

    wanted = SecurityPolicy.from_version_0(number)
    try:
        yield from trial.steps(client.act(method, argument(wanted), at=setup))
    except AccessError as error:
        reason = f"the meter does not activate policy {number}: {error.result}"
        raise NotApplicable(reason) from None

    def undo(trial: Trial) -> Script[None]:
        client = yield from trial.opened(policy=NO_PROTECTION)
        try:
            held = argument(trial.aa.policy)
            yield from trial.steps(client.act(SecuritySetup.security_activate, held, at=setup))
        except AccessError as error:
            reason = f"the meter lets its policy only become stronger ({error.result})"
            raise Failed(reason) from None

    trial.undo.append(Undo(f"the policy, which is {number} now", undo))


def _release(trial: Trial) -> Script[str | None]:
    plain = trial.initiate().encode()
    sound = trial.sealed(plain)
    wrong = {
        "an unprotected InitiateRequest": plain,
        "a wrong tag": sound[:-1] + bytes((sound[-1] ^ 0x01,)),
    }
    said = ""
    for name, information in wrong.items():
        client = yield from trial.opened()
        rlrq = Rlrq(reason=ReleaseRequestReason.NORMAL, user_information=information)
        answer = yield from trial.ask(rlrq.encode())
        if isinstance(understood(answer), Rlre):
            raise Failed(f"RLRE came to RLRQ with {name}; the release must be refused")
        said = shown(answer)
        yield from trial.alive(client)
    return f"{said} came, and the association went on"


def _bare_release(trial: Trial) -> Script[str | None]:
    """A meter may release or refuse: what it says must be what it does."""
    client = yield from trial.opened()
    rlrq = Rlrq(reason=ReleaseRequestReason.NORMAL)
    answer = yield from trial.ask(rlrq.encode())
    rlre = understood(answer)
    released = isinstance(rlre, Rlre) and rlre.reason != ReleaseResponseReason.NOT_FINISHED
    if answer is not None and not released:
        yield from trial.alive(client)
        return f"{shown(answer)} came, and the association went on"
    if answer is None:
        return "silence came, which says nothing of whether the association goes on"
    after = yield from trial.ask(trial.sealed(GET_OWN_NAME))
    said = no_data(client, after, "GET after the release that the meter confirmed")
    return f"{shown(answer)} came, and then {said}"


security_case = Family(prefix="SYMSEC_0_", group=Group.SYMSEC, needs=(Need.LN, Need.CIPHERED)).case


NO_DATA: Final = "a refusal or silence, no data"

CASES: Final = (
    security_case(
        "BasicCap_1",
        "reading under each protection that the policy lets in",
        CLAUSE,
        "GET with authentication, with encryption, with both, as far as the policy goes",
        "data, protected at least as the policy asks",
        _basic_cap,
        Need.GET,
    ),
    security_case(
        "FraCount_1_GUEK",
        "a frame counter serves once under the global key",
        FRESHNESS,
        "GET; the same octets again; GET under a lower counter",
        f"data; {NO_DATA}",
        _replayed,
        Need.GET,
    ),
    security_case(
        "FraCount_3",
        "the meter's frame counter grows",
        FRESHNESS,
        "GET, four times",
        "each response under a higher counter than the one before",
        _server_counts,
        Need.GET,
    ),
    security_case(
        "SecDataX_P1",
        "a protected SET is carried out",
        CLAUSE,
        "SET of the test attribute with another value; GET",
        "success; the value written",
        _write,
        *WRITES,
        changes=True,
    ),
    security_case(
        "SecDataX_N1",
        "a GET that is ciphered wrongly",
        CLAUSE,
        "GET under other keys, with a wrong tag, with an altered body, under a broadcast key; "
        "a sound GET",
        NO_DATA,
        _wrong,
        Need.GET,
    ),
    *(
        security_case(
            f"SecPol_{number}",
            f"security policy {number}",
            CLAUSE,
            f"security_activate({number}); GET with less; GET with enough; the policy as before",
            f"success; {NO_DATA}; data",
            _policy(number),
            Need.SETUP,
            Need.ACTION,
            changes=True,
        )
        for number in (1, 2, 3)
    ),
    security_case(
        "REL_N1",
        "a release that is protected too little",
        CLAUSE,
        "RLRQ with an unprotected InitiateRequest; with a wrong tag; a read each time",
        "no RLRE, and the association goes on",
        _release,
    ),
    security_case(
        "REL_BARE",
        "a release without any proof does what it says",
        CLAUSE,
        "RLRQ without user-information; GET",
        "RLRE and then no data, or a refusal and data: sources do not say which",
        _bare_release,
        Need.GET,
    ),
)
