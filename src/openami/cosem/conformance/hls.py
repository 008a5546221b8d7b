# SPDX-License-Identifier: Apache-2.0
"""Cases on high level security, passes 2 to 4 (DLMS UA 1000-2 Ed. 10, 9.2.7.4; OPEN_3)."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from openami.cosem.classes.access_control import CURRENT_ASSOCIATION
from openami.cosem.conformance.answers import Opened, accepted, no_data
from openami.cosem.conformance.case import (
    Case,
    Failed,
    Group,
    Inconclusive,
    Need,
    NotApplicable,
    Script,
)
from openami.cosem.conformance.trial import (
    BOTH,
    CHALLENGE_OCTETS,
    Trial,
    shown,
    understood,
)
from openami.dlms.apdu.action import ActionRequestNormal, ActionResponseNormal
from openami.dlms.apdu.codes import ActionResult
from openami.dlms.apdu.fields import MethodDescriptor
from openami.dlms.apdu.invocation import InvokeIdAndPriority
from openami.dlms.apdu.read import ReadRequest, ReadResponse
from openami.dlms.apdu.variables import ParameterizedAccess
from openami.dlms.data import OctetString
from openami.dlms.errors import DlmsError, SecurityError
from openami.dlms.hls import Handshake, Mechanism
from openami.dlms.security.ciphering import TAG_OCTETS
from openami.dlms.security.keyset import KeySet
from openami.dlms.security.signing import SigningKey
from openami.dlms.security.suites import ENCRYPTED

CLAUSE: Final = "DLMS UA 1000-2 Ed. 10, 9.2.7.4"
REPLY_NAME: Final = 0xFA58
"""Short name of reply_to_HLS_authentication."""

Wrong = Callable[["PassTwo"], bytes]


class PassTwo:
    """What both sides know after pass 2."""

    def __init__(self, trial: Trial, opened: Opened, challenge: bytes) -> None:
        aa = trial.aa
        self.trial = trial
        self.opened = opened
        theirs = opened.aare.responding_authentication_value
        if theirs is None:
            raise Failed("the AARE has no challenge, though HLS was proposed")
        self.server_challenge, self.own_challenge = theirs, challenge
        try:
            self.handshake = Handshake(
                mechanism=aa.mechanism,
                own_title=aa.client_title,
                peer_title=opened.aare.responding_ap_title or b"",
                own_challenge=challenge,
                peer_challenge=theirs,
                secret=aa.secret,
                cipher=aa.cipher,
                credentials=aa.credentials,
            )
        except SecurityError as error:
            raise Inconclusive(f"pass 3 cannot be made here: {error}") from None

    @property
    def counter(self) -> int:
        """A fresh counter for GMAC; other mechanisms take none."""
        aa = self.trial.aa
        return aa.counters.next() if aa.mechanism is Mechanism.HLS_GMAC else 0

    def reply(self) -> bytes:
        """The right f(StoC)."""
        return self.handshake.reply(self.counter)


def _second_pass(trial: Trial, **initiate: bytes) -> Script[PassTwo]:
    challenge = trial.entropy(CHALLENGE_OCTETS)
    octets = trial.aarq(
        trial.initiate(**initiate) if initiate else None, calling_authentication_value=challenge
    )
    yield from trial.connect()
    answer = yield from trial.ask(octets)
    return PassTwo(trial, accepted(trial, answer, "of HLS"), challenge)


def _action(reply: bytes) -> bytes:
    return ActionRequestNormal(
        invoke_id_and_priority=InvokeIdAndPriority.of(1),
        method=MethodDescriptor(class_id=15, instance_id=CURRENT_ASSOCIATION, method_id=1),
        parameters=OctetString(reply),
    ).encode()


def _read(reply: bytes) -> bytes:
    """Pass 3 by short name: a Read of the method, with its parameter."""
    method = ParameterizedAccess(name=REPLY_NAME, selector=0, parameter=OctetString(reply))
    return ReadRequest(variables=(method,)).encode()


def _pass_three(passed: PassTwo, reply: bytes, key: KeySet | None = None) -> Script[bytes | None]:
    """Send a reply under the protection of the association; return the answer as it came."""
    trial = passed.trial
    octets = _read(reply) if trial.aa.short_names else _action(reply)
    if key is not None:
        aa = trial.aa
        sealed = replace(trial, association=replace(aa, keys=key))
        octets = sealed.sealed(octets, dedicated=True)
    elif trial.aa.is_ciphered:
        octets = trial.sealed(octets, control=BOTH)
    return (yield from trial.ask(octets))


def _get(passed: PassTwo) -> Script[bytes | None]:
    trial = passed.trial
    read = trial.simple_read
    octets = trial.sealed(read) if trial.aa.is_ciphered else read
    return (yield from trial.ask(octets))


def _not_established(passed: PassTwo, answer: bytes | None, said: str) -> Script[str]:
    """Hold the meter to refusing pass 3 and to not serving afterwards."""
    words = shown(answer)
    plain, channel = answer, passed.opened.channel
    if channel is not None and answer and answer[0] not in {0xD8, 0x0E}:
        try:
            plain, _ = channel.unprotect(answer)
        except DlmsError as error:
            raise Failed(f"the answer to {said} is not protected as agreed: {error}") from None
    apdu = understood(plain)
    if isinstance(apdu, ActionResponseNormal):
        words = f"action-result {apdu.result}"
        if apdu.result == ActionResult.SUCCESS:
            raise Failed(f"{words} came to {said}; the association must not be established")
    if isinstance(apdu, ReadResponse) and any(isinstance(each, bytes) for each in apdu.results):
        raise Failed(f"{words} came to {said}; the association must not be established")
    after = yield from _get(passed)
    no_data(passed.opened.channel, after, f"a read after {said}")
    return words


def _open_3_pending(trial: Trial) -> Script[str | None]:
    passed = yield from _second_pass(trial)
    answer = yield from _get(passed)
    said = no_data(passed.opened.channel, answer, "a read between passes 2 and 3")
    return f"{said} came to a read before pass 3"


def _random(passed: PassTwo) -> bytes:
    reply = passed.reply()
    # Another octet at the end: of a hash, of a signature, or of a tag.
    return reply[:-1] + bytes((reply[-1] ^ 0x01,))


def _swapped(passed: PassTwo) -> bytes:
    """The hash over secret and challenge in the wrong order."""
    aa = passed.trial.aa
    name = "md5" if aa.mechanism is Mechanism.HLS_MD5 else "sha1"
    return hashlib.new(name, aa.secret + passed.server_challenge, usedforsecurity=False).digest()


def _wrong_control(passed: PassTwo) -> bytes:
    """GMAC with security control 20 where 10 is due, its tag made for 20."""
    aa = passed.trial.aa
    if aa.keys is None:
        raise Inconclusive("no keys are declared")
    counter = passed.counter.to_bytes(4)
    control = bytes((ENCRYPTED | aa.keys.suite,))
    covered = control + aa.keys.authentication_key + passed.server_challenge
    sealed = AESGCM(aa.keys.encryption_key).encrypt(aa.client_title + counter, b"", covered)
    return control + counter + sealed[:TAG_OCTETS]


def _signed_in_order_of_the_meter(passed: PassTwo) -> bytes:
    """A signature of our own over titles and challenges as the meter has to sign them."""
    aa, opened = passed.trial.aa, passed.opened
    if aa.credentials is None:
        raise Inconclusive("no signing key is declared")
    titles = (opened.aare.responding_ap_title or b"") + aa.client_title
    return aa.credentials.sign(titles + passed.own_challenge + passed.server_challenge)


def _signed_by_another(passed: PassTwo) -> bytes:
    """The right octets, signed with a key that nobody has certified."""
    aa = passed.trial.aa
    if aa.credentials is None:
        raise Inconclusive("no signing key is declared")
    signer = SigningKey.fresh(aa.credentials.suite, passed.trial.entropy)
    forging = replace(aa.credentials, signer=signer)
    return replace(passed.handshake, credentials=forging).reply()


def _proves(trial: Trial) -> Script[str | None]:
    passed = yield from _second_pass(trial)
    answer = yield from _pass_three(passed, passed.reply())
    channel = passed.opened.channel
    try:
        plain = answer if channel is None or answer is None else channel.unprotect(answer)[0]
    except DlmsError as error:
        raise Failed(f"the answer to f(StoC) is not protected as agreed: {error}") from None
    apdu = understood(plain)
    proof: object = None
    if isinstance(apdu, ActionResponseNormal):
        proof = apdu.return_parameters
    elif isinstance(apdu, ReadResponse) and len(apdu.results) == 1:
        (proof,) = apdu.results
    if not isinstance(proof, bytes):
        raise Failed(f"{shown(plain)} came to f(StoC); f(CtoS) is due")
    try:
        passed.handshake.verify(bytes(proof))
    except SecurityError as error:
        raise Failed(f"f(CtoS) is wrong: {error}") from None
    return None


def _wrong(
    make: Wrong, said: str, only: frozenset[Mechanism] | None = None
) -> Callable[[Trial], Script[str | None]]:
    def script(trial: Trial) -> Script[str | None]:
        if only is not None and trial.aa.mechanism not in only:
            names = " or ".join(sorted(each.name for each in only))
            raise NotApplicable(f"it is a case of {names}")
        passed = yield from _second_pass(trial)
        answer = yield from _pass_three(passed, make(passed))
        words = yield from _not_established(passed, answer, said)
        return f"{words} came, and a read was refused"

    return script


def _dedicated(trial: Trial) -> Script[str | None]:
    keys = trial.aa.keys
    if keys is None:
        raise NotApplicable("the association has no ciphering")
    key = trial.entropy(keys.suite.key_octets)
    passed = yield from _second_pass(trial, dedicated_key=key)
    if passed.opened.channel is not None:
        passed.opened.channel.use_dedicated_key(key)
    answer = yield from _pass_three(passed, passed.reply(), replace(keys, encryption_key=key))
    words = yield from _not_established(passed, answer, "pass 3 under the dedicated key")
    return f"{words} came, and a read was refused"


_GMAC: Final = frozenset({Mechanism.HLS_GMAC})
_SIGNED: Final = frozenset({Mechanism.HLS_ECDSA})
_HASHED: Final = frozenset({Mechanism.HLS_MD5, Mechanism.HLS_SHA1})


def _case(
    name: str, title: str, steps: str, script: Callable[[Trial], Script[str | None]], *needs: Need
) -> Case:
    return Case(
        id=f"APPL_OPEN_3_{name}",
        group=Group.OPEN,
        title=title,
        clause=CLAUSE,
        needs=(Need.HLS, *needs),
        steps=steps,
        accepts="a refusal, and no data afterwards",
        script=script,
    )


CASES: Final = (
    _case(
        "PENDING",
        "before pass 3 nothing but reply_to_HLS_authentication works",
        "AARQ; GET (or Read)",
        _open_3_pending,
    ),
    Case(
        id="APPL_OPEN_3_PROOF",
        group=Group.OPEN,
        title="the meter proves itself in pass 4",
        clause=CLAUSE,
        needs=(Need.HLS,),
        steps="AARQ; reply_to_HLS_authentication",
        accepts="f(CtoS), which proves key or secret",
        script=_proves,
    ),
    _case(
        "REPLY",
        "a wrong f(StoC) establishes nothing",
        "AARQ; reply_to_HLS_authentication with one bit turned over; GET (or Read)",
        _wrong(_random, "a wrong f(StoC)"),
    ),
    _case(
        "ORDER",
        "a hash over secret and challenge in the wrong order",
        "AARQ; reply_to_HLS_authentication over secret and challenge swapped; GET (or Read)",
        _wrong(_swapped, "a swapped f(StoC)", _HASHED),
    ),
    _case(
        "CONTROL",
        "GMAC under security control 20",
        "AARQ; reply_to_HLS_authentication with SC 20 where 10 is due; GET (or Read)",
        _wrong(_wrong_control, "f(StoC) with SC 20", _GMAC),
    ),
    _case(
        "SIGNED_ORDER",
        "a signature over titles and challenges in the wrong order",
        "AARQ; reply_to_HLS_authentication signed in the order of the meter's; GET",
        _wrong(_signed_in_order_of_the_meter, "a signature in the meter's order", _SIGNED),
        Need.ECDSA,
    ),
    _case(
        "SIGNER",
        "a signature by another key",
        "AARQ; reply_to_HLS_authentication signed with a key that nobody certified; GET",
        _wrong(_signed_by_another, "a signature by another key", _SIGNED),
        Need.ECDSA,
    ),
    _case(
        "DEDICATED",
        "pass 3 under the dedicated key",
        "AARQ with a dedicated key; reply_to_HLS_authentication under it; GET (or Read)",
        _dedicated,
        Need.CIPHERED,
    ),
)
