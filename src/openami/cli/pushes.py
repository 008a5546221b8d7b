# SPDX-License-Identifier: Apache-2.0
"""Pushes as they arrive: blocks put together, protection taken off, repetitions refused.

`Inbox` takes the APDUs of many meters.  Each sender has its own blocks; each meter its keys, found
by the system title that stands in the clear.  An invocation counter that a meter has used before
is refused; the same octets once more are only what a meter does whose confirmation was lost.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final, NamedTuple

from openami.cli.push_signers import Signed, Signers
from openami.dlms.apdu.block import Assembler, GeneralBlockTransfer
from openami.dlms.apdu.ciphered import (
    BY_GLO,
    GENERAL_CIPHERING,
    GENERAL_GLO_CIPHERING,
    AuthenticatedHeader,
    GeneralCiphering,
    ServiceCiphering,
)
from openami.dlms.apdu.notification import (
    DataNotification,
    DataNotificationConfirm,
    EventNotification,
)
from openami.dlms.apdu.signed import GeneralSigning
from openami.dlms.apdu.write import InformationReport
from openami.dlms.errors import DecodeError, SecurityError
from openami.dlms.gateway import GatewayRequest, GatewayResponse
from openami.dlms.recordings import p1
from openami.dlms.recordings.translate import Translation, describe
from openami.dlms.security.ciphering import Cipher
from openami.dlms.security.envelopes import decode_envelope, open_envelope
from openami.dlms.security.keyset import KeySet
from openami.dlms.security.suites import SecurityControl

MOST_REMEMBERED: Final = 100_000
"""How many counters are remembered of all meters together."""
DEEPEST: Final = 8
CLAUSE: Final = "DLMS UA 1000-2 Ed. 10, 9.3.10"


@dataclass(frozen=True, slots=True, kw_only=True)
class PushKeys:
    """The keys of one meter, or of any whose title is not known here."""

    guek: bytes = field(repr=False)
    gak: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """One push that was understood.

    Attributes:
        source: Where it came from.
        system_title: The meter's; empty where nothing told it.
        control: How it was protected; None if it was not.
        counter: Its invocation counter.
        signatures: Whose, outermost first.
        kind: ``data-notification``, ``event-notification``, or another APDU's name.
        confirm: What the meter wants to hear; empty if nothing.
        repeated: Whether the same octets came before.
        apdu: The plain APDU.
        told: What it says.
        uses: What it used up, for `Inbox.give_back`.
    """

    source: str
    system_title: bytes = b""
    control: SecurityControl | None = None
    counter: int | None = None
    signatures: tuple[Signed, ...] = ()
    kind: str
    invoke_id: int | None = None
    confirm: bytes = b""
    repeated: bool = False
    apdu: bytes
    told: Translation
    uses: tuple["_Use", ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class _Opened:
    apdu: bytes
    title: bytes = b""
    control: SecurityControl | None = None
    counter: int | None = None
    signatures: tuple[Signed, ...] = ()
    uses: tuple["_Use", ...] = ()


class _Use(NamedTuple):
    """What must not come again with other octets: a counter, or all of what was signed alone."""

    title: bytes
    counter: int | bytes
    octets: bytes


class Inbox:
    """Takes what meters push.

    Args:
        keys: By system title.
        default: For meters that are not among them; None for nobody.
        title: Of a sender whose APDUs tell none.
        protected: Whether plain pushes are refused.
        signers: Looks at signatures; without it no signed push is taken.
        form: Whether the header of general-ciphering is under its tag.
    """

    def __init__(  # noqa: PLR0913  all that pushes are held to
        self,
        keys: Mapping[bytes, PushKeys],
        default: PushKeys | None = None,
        title: bytes = b"",
        *,
        protected: bool = False,
        signers: Signers | None = None,
        form: AuthenticatedHeader = AuthenticatedHeader.STANDARD,
    ) -> None:
        self._keys = keys
        self._default = default
        self._title = title
        self._protected = protected
        self._signers = signers or Signers((), lambda: datetime.now(UTC))
        self._form = form
        self._blocks: dict[str, Assembler] = {}
        self._seen: OrderedDict[tuple[bytes, int | bytes], bytes] = OrderedDict()

    def forget(self, source: str) -> None:
        """Drop the blocks of a sender that is gone."""
        self._blocks.pop(source, None)

    def take(self, apdu: bytes, source: str) -> Push | None:
        """Return the push that an APDU is or completes; None while blocks are missing.

        Raises:
            DlmsError: It is none, cannot be opened, or was there before.
        """
        if apdu[:1] == bytes((GeneralBlockTransfer.TAG,)):
            assembler = self._blocks.setdefault(source, Assembler())
            whole = assembler.take(GeneralBlockTransfer.decode(apdu))
            return None if whole is None else self._whole(whole, source)
        return self._whole(apdu, source)

    def _whole(self, octets: bytes, source: str) -> Push:
        opened = self._open(octets, _Opened(octets), DEEPEST)
        if opened.control is None and self._protected:
            raise SecurityError("a plain push is not taken here", f"push from {source}", CLAUSE)
        title = self._sender(opened, source)
        uses = opened.uses
        if opened.signatures and not uses:  # a signature brings no counter: its octets come once
            uses = (_Use(title, hashlib.sha256(octets).digest(), octets),)
        repeated = [self._accept(use) for use in uses]
        plain = opened.apdu
        tag = plain[0] if plain else -1
        invoke_id, confirm = None, b""
        if tag == DataNotification.TAG:
            message = DataNotification.decode(plain)
            long_id = message.long_invoke_id_and_priority
            invoke_id, kind = long_id.long_invoke_id, "data-notification"
            if long_id.confirmed:
                answer = DataNotificationConfirm(
                    long_invoke_id_and_priority=message.long_invoke_id_and_priority
                )
                confirm = answer.encode()
        elif tag == EventNotification.TAG:
            EventNotification.decode(plain)
            kind = "event-notification"
        elif tag == InformationReport.TAG:
            InformationReport.decode(plain)
            kind = "information-report"
        elif p1.is_telegram(plain):
            kind = "p1-telegram"
        else:
            raise DecodeError("this is no notification", plain, 0, CLAUSE)
        return Push(
            source=source,
            system_title=title,
            control=opened.control,
            counter=opened.counter,
            signatures=opened.signatures,
            kind=kind,
            invoke_id=invoke_id,
            confirm=confirm,
            repeated=any(repeated),
            apdu=plain,
            told=describe(plain),
            uses=uses,
        )

    def give_back(self, push: Push) -> None:
        """Forget that a push came: it could not be kept, and its meter sends it once more."""
        for use in push.uses:
            self._seen.pop((use.title, use.counter), None)

    def _open(self, octets: bytes, so_far: _Opened, levels: int) -> _Opened:
        """Take one envelope off after the other."""
        tag = octets[0] if octets else -1
        if levels == 0:
            raise DecodeError("envelopes are nested too deep", octets, 0, CLAUSE)
        if tag in {GatewayRequest.TAG, GatewayResponse.TAG}:
            of = GatewayRequest if tag == GatewayRequest.TAG else GatewayResponse
            return self._open(of.decode(octets).apdu, so_far, levels - 1)
        if tag == GeneralSigning.TAG:
            signed = GeneralSigning.decode(octets)
            title = signed.originator_system_title or so_far.title or self._title
            by = self._signers.look_at(signed, title)
            inner = replace(so_far, signatures=(*so_far.signatures, by))
            return self._open(signed.content, inner, levels - 1)
        if tag in {GENERAL_GLO_CIPHERING, GENERAL_CIPHERING}:
            envelope = decode_envelope(octets)
            if isinstance(envelope, GeneralCiphering):
                title = envelope.originator_system_title or self._title
            else:
                title = envelope.system_title or self._title
            control = _control(envelope.ciphered_service)
            cipher = self._cipher(title, control)
            plain, protection = open_envelope(cipher, envelope, required=0, form=self._form)
            counter = protection.invocation_counter
            return self._open(plain, _inside(so_far, octets, title, control, counter), levels - 1)
        if tag in BY_GLO:
            service = ServiceCiphering.decode(octets).ciphered_service
            title, control = self._only_title(), _control(service)
            _, counter, plain = self._cipher(title, control).open(service, title)
            return self._open(plain, _inside(so_far, octets, title, control, counter), levels - 1)
        return replace(so_far, apdu=octets)

    def _cipher(self, title: bytes, control: SecurityControl) -> Cipher:
        keys = self._keys.get(title, self._default)
        if keys is None:
            name = title.hex().upper() or "which tells no system title"
            problem = f"no keys of meter {name} are known: give its keys.json with --keys"
            raise SecurityError(problem, "push", CLAUSE)
        return Cipher(
            KeySet(suite=control.suite, encryption_key=keys.guek, authentication_key=keys.gak)
        )

    def _only_title(self) -> bytes:
        if self._title:
            return self._title
        if len(self._keys) == 1:
            return next(iter(self._keys))
        raise SecurityError("it tells no system title: give --title", "push", CLAUSE)

    def _sender(self, opened: _Opened, source: str) -> bytes:
        """Return the system title of who pushed; empty where nobody vouches for one.

        Raises:
            SecurityError: One meter has ciphered and another signed, or a signature is due.
        """
        place = f"push from {source}"
        titles = {each.by for each in opened.signatures}
        if opened.control is not None:
            titles.add(opened.title)
        if len(titles) > 1:
            names = ", ".join(sorted(title.hex().upper() or "(none)" for title in titles))
            raise SecurityError(f"it was signed and ciphered by several: {names}", place, CLAUSE)
        verified = bool(opened.signatures) and all(each.verified for each in opened.signatures)
        if self._signers.required and not verified:
            raise SecurityError("a push without a verified signature is not taken", place, CLAUSE)
        return titles.pop() if titles and (verified or opened.control is not None) else b""

    def _accept(self, use: _Use) -> bool:
        """Remember a counter; return whether the same octets came before.

        Raises:
            SecurityError: Other octets came with that counter.
        """
        title, counter, octets = use
        key, digest = (title, counter), hashlib.sha256(octets).digest()
        held = self._seen.get(key)
        if held is not None and held != digest:
            raise SecurityError(
                "its invocation counter was used before: it is a replay, or two meters share a key",
                f"invocation counter {counter!r} of {title.hex().upper()}",
                CLAUSE,
            )
        self._seen[key] = digest
        if len(self._seen) > MOST_REMEMBERED:
            self._seen.popitem(last=False)
        return held is not None


def _inside(
    so_far: _Opened, octets: bytes, title: bytes, control: SecurityControl, counter: int
) -> _Opened:
    """Return what is known inside of one more layer of ciphering, `octets`."""
    uses = (*so_far.uses, _Use(title, counter, octets))
    return _Opened(b"", title, control, counter, so_far.signatures, uses)


def _control(ciphered_service: bytes) -> SecurityControl:
    if not ciphered_service:
        raise DecodeError("security control octet is missing", ciphered_service, 0, CLAUSE)
    return SecurityControl(ciphered_service[0])
