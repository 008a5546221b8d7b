# SPDX-License-Identifier: Apache-2.0
"""Octets to a tree that a person reads: frames, gateway headers, APDUs, what is sealed.

`describe` goes as deep as octets and keys allow and never raises for what the octets hold: where
they break a rule, or a key does not fit, there is a finding, and everything around it is kept.  It
checks no counters and no policy: it is a reading glass, not an end point.  A breach that the reader
accepts, by the name of its habit, is a note instead of a finding.
"""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import Final

from openami.dlms import apdu
from openami.dlms.apdu import acse, block, ciphered, get, initiate, signed
from openami.dlms.apdu.fields import AttributeDescriptor
from openami.dlms.apdu.notification import DataNotification, EventNotification
from openami.dlms.apdu.registry import Apdu
from openami.dlms.data import Array, Data, Structure
from openami.dlms.errors import DecodeError, DlmsError, ProtocolError
from openami.dlms.gateway import GatewayRequest, GatewayResponse
from openami.dlms.recordings import framings, p1
from openami.dlms.recordings.framings import Found
from openami.dlms.recordings.partial import Breach, read_apdu, read_data
from openami.dlms.recordings.readings import Reading, moment, readings
from openami.dlms.recordings.seals import Seal, TranslationKeys, open_part, open_sealed
from openami.dlms.recordings.tree import Node, node, octets_text, rows, type_name

__all__ = ["Node", "Translation", "TranslationKeys", "describe", "octets_text", "type_name"]

DEEPEST: Final = 8
"""How many APDUs may stand inside each other: no profile needs more than four."""

_GATEWAY: Final = {GatewayRequest.TAG: GatewayRequest, GatewayResponse.TAG: GatewayResponse}
_CLIENTS: Final = frozenset({0x01, 0x05, 0x06, 0x16, 0xC0, 0xC1, 0xC3})
"""Plain tags of what a client sends; the others come from a server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Translation:
    """What octets say.

    Attributes:
        tree: The frames and APDUs, outermost first.
        readings: Named values of notifications, and of answers whose request was seen.
        findings: Why the tree ends where it does; empty if everything was understood.
        notes: Breaches that were accepted, and what is missing without being wrong.
        framings: What the octets are framed in, outermost first, each once.
        seals: How APDUs were protected, in their order.
        moment: The 12 octets of when the first notification was made; empty if nothing says so.
        text: Telegrams of a consumer port (P1) that were inside.
        complete: Whether nothing is missing: no finding, no seal left closed, no block unfinished.
    """

    tree: tuple[Node, ...]
    readings: tuple[Reading, ...]
    findings: tuple[str, ...]
    notes: tuple[str, ...] = ()
    framings: tuple[str, ...] = ()
    seals: tuple[Seal, ...] = ()
    moment: bytes = b""
    text: str = ""
    complete: bool = True


def describe(
    octets: bytes,
    *,
    keys: TranslationKeys | None = None,
    accept: AbstractSet[str] = frozenset(),
    framing: str | None = None,
) -> Translation:
    """Return what one APDU, one value, or frames one after the other hold.

    Args:
        octets: As recorded.
        keys: To look inside protected APDUs.
        accept: Names of `habits` whose breaches are notes.
        framing: One of `framings.FRAMINGS`; None finds it out.
    """
    translator = _Translator(keys, frozenset(accept))
    if p1.is_telegram(octets):
        translator.framings.append("p1")
        tree: tuple[Node, ...] = (translator.telegram(octets),)
    elif (framed := framings.frames(octets, framing)) is None:
        tree = (translator.bare(octets),)
    else:
        tree = translator.frames(framed)
    if octets and not tree:
        tree = (translator.nothing(octets),)
    translator.end()
    return Translation(
        tree=tree,
        readings=tuple(translator.readings),
        findings=tuple(translator.findings),
        notes=tuple(translator.notes),
        framings=tuple(dict.fromkeys(translator.framings)) or ("none",),
        seals=tuple(translator.seals),
        moment=translator.moment,
        text=translator.text,
        complete=bool(tree) and not (translator.findings or translator.unread),
    )


@dataclass(slots=True)
class _Translator:
    keys: TranslationKeys | None
    accept: frozenset[str]
    readings: list[Reading] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    framings: list[str] = field(default_factory=list)
    seals: list[Seal] = field(default_factory=list)
    moment: bytes = b""
    text: str = ""
    unread: bool = False
    levels: int = DEEPEST
    blocks: block.Assembler = field(default_factory=block.Assembler)
    blocks_open: int = 0
    raw: bytearray = field(default_factory=bytearray)
    raw_blocks: int = 0
    asked: dict[int, AttributeDescriptor] = field(default_factory=dict)
    dedicated_key: bytes = b""
    titles: dict[bool, bytes] = field(default_factory=dict)
    """System titles that an association told, of the client (True) and of the server."""

    def frames(self, found: Iterable[Found]) -> tuple[Node, ...]:
        nodes = []
        for frame in found:
            if isinstance(frame, Breach):
                nodes.append(self._breach(frame))
                continue
            self.framings.append(_FRAMING_NAMES.get(frame.framing, frame.framing))
            children = [Node(*row) for row in frame.fields]
            children += [self._breach(fault) for fault in frame.faults]
            if frame.apdu is not None:
                children.append(self.apdu(frame.apdu))
            nodes.append(Node(frame.framing, frame.summary, tuple(children)))
        return tuple(nodes)

    def bare(self, octets: bytes) -> Node:
        """Return one APDU, or a value of data where no APDU stands."""
        try:
            apdu.decode(octets)
        except DecodeError as error:
            if octets[:1] and octets[0] not in _GATEWAY:
                try:
                    value, breaches = read_data(octets)
                except DecodeError as inside:
                    no_apdu = error.offset == 0 and inside.offset > 0
                    return self._unread(octets, inside) if no_apdu else self.apdu(octets)
                if not breaches or self._is_no_apdu(octets, error):
                    return self.value(value, breaches)
        return self.apdu(octets)

    @staticmethod
    def _is_no_apdu(octets: bytes, error: DecodeError) -> bool:
        try:
            read_apdu(octets)
        except DecodeError:
            return error.offset == 0
        return False

    def value(self, value: Data, breaches: list[Breach]) -> Node:
        """Return a value of data that stands alone."""
        wrong = tuple(self._breach(each) for each in breaches)
        found = readings(value)
        self.readings += found
        self.moment = self.moment or moment(value, found)
        shown = node("data", value)
        return Node(shown.label, shown.value, (*shown.children, *wrong))

    def telegram(self, octets: bytes) -> Node:
        """Return the lines of a consumer port's telegram."""
        text, found, when, breaches = p1.read(octets)
        self.text += text
        self.readings += found
        self.moment = self.moment or when
        lines = tuple(Node("line", line) for line in text.splitlines() if line)
        return Node("p1", "", (*lines, *(self._breach(each) for each in breaches)))

    def apdu(self, octets: bytes, title: bytes = b"") -> Node:
        """Return one APDU; `title` is that of the sender if what is around it tells."""
        if self.levels == 0:
            problem = f"APDUs are nested deeper than {DEEPEST} levels"
            return self._finding(DecodeError(problem, octets, 0, "IEC 62056-5-3, 9.5"))
        self.levels -= 1
        found = self._apdu(octets, title)
        self.levels += 1
        return found

    def _apdu(self, octets: bytes, title: bytes) -> Node:
        if p1.is_telegram(octets):
            self.framings.append("p1")
            return self.telegram(octets)
        try:
            if octets[:1] and octets[0] in _GATEWAY:
                return self._gateway(octets)
            message, breaches = read_apdu(octets)
        except DecodeError as error:
            return self._unread(octets, error)
        wrong = tuple(self._breach(each) for each in breaches)
        cut_off = any(breach.habit == "truncated-end" for breach in breaches)
        name, lines = self._lines(message, title, cut_off=cut_off)
        self._note(message)
        return Node(name, "", (*lines, *wrong))

    def _unread(self, octets: bytes, error: DecodeError) -> Node:
        self.unread = True
        habit = "truncated-end" if " needs " in error.problem and octets else ""
        return Node("apdu", octets.hex(" "), (self._breach(Breach(error, habit)),))

    def _lines(  # noqa: PLR0911  one for each kind of envelope
        self, message: Apdu, title: bytes, *, cut_off: bool
    ) -> tuple[str, tuple[Node, ...]]:
        """Return the name of a message and the lines below it."""
        name = type(message).__name__
        match message:
            case ciphered.ServiceCiphering():
                name, envelope = _service(message.tag)
                sealed = Seal.of(message.ciphered_service, envelope, title or self._title(message))
                return name, self._sealed(message.ciphered_service, sealed, cut_off=cut_off)
            case ciphered.GeneralGloCiphering():
                dedicated = isinstance(message, ciphered.GeneralDedCiphering)
                envelope = "general-ded-ciphering" if dedicated else "general-glo-ciphering"
                sender = message.system_title or title
                sealed = Seal.of(message.ciphered_service, envelope, sender)
                inside = self._sealed(message.ciphered_service, sealed, cut_off=cut_off)
                return name, (*rows(message, "ciphered_service"), *inside)
            case ciphered.GeneralCiphering():
                originator = message.originator_system_title
                sealed = Seal.of(message.ciphered_service, "general-ciphering", originator)
                own_key = _OWN_KEYS.get(type(message.key_info), "")
                if own_key and isinstance(sealed, Seal):
                    sealed = replace(sealed, own_key=own_key)
                inside = self._sealed(message.ciphered_service, sealed, message.header())
                return name, (*rows(message, "ciphered_service"), *inside)
            case signed.GeneralSigning():
                originator = message.originator_system_title
                inside = (self.apdu(message.content, originator or title),)
                return name, (*rows(message, "content"), *inside)
            case acse.Aarq() | acse.Aare() | acse.Rlrq() | acse.Rlre():
                return name, self._association(message, title)
            case block.GeneralBlockTransfer():
                return name, (*rows(message), *self._block(message, title))
            case get.GetResponseWithDatablock():
                return name, (*rows(message), *self._datablock(message))
        return name, rows(message)

    def _note(self, message: object) -> None:
        """Collect what a message tells: named values, keys and titles of an association."""
        match message:
            case DataNotification():
                found = readings(message.notification_body, message.date_time)
                when = moment(message.notification_body, found, message.date_time)
                self.readings += found
                self.moment = self.moment or when
            case EventNotification():
                self.readings.append(_named(message.attribute, message.value, message.time or b""))
                self.moment = self.moment or message.time or b""
            case initiate.InitiateRequest():
                self.dedicated_key = message.dedicated_key or b""
            case get.GetRequestNormal():
                self.asked[message.invoke_id_and_priority & 0x0F] = message.attribute
            case get.GetResponseNormal():
                self._answer(message.invoke_id_and_priority & 0x0F, message.result)

    def _answer(self, invoke_id: int, result: object) -> None:
        asked = self.asked.pop(invoke_id, None)
        if isinstance(result, get.DataAccessResult):
            return
        if asked is not None:
            self.readings.append(_named(asked, result, b""))  # type: ignore[arg-type]
        elif isinstance(result, Array | Structure):
            self.readings += readings(result)

    def _title(self, message: ciphered.ServiceCiphering) -> bytes:
        """Return the title of who sends this service, if the association told it."""
        row = ciphered.BY_GLO.get(message.tag) or ciphered.BY_DED[message.tag]
        return self.titles.get(row.plain in _CLIENTS, b"")

    def _association(
        self, message: acse.Aarq | acse.Aare | acse.Rlrq | acse.Rlre, title: bytes
    ) -> tuple[Node, ...]:
        lines = rows(message, "user_information")
        if isinstance(message, acse.Aarq):
            title = message.calling_ap_title or title
            self.titles[True] = title
            self.dedicated_key = b""
        elif isinstance(message, acse.Aare):
            title = message.responding_ap_title or title
            self.titles[False] = title
        if not message.user_information:
            return lines
        inside = self.apdu(message.user_information, title)
        return (*lines, Node("user_information", "", (inside,)))

    def _block(self, message: block.GeneralBlockTransfer, title: bytes) -> tuple[Node, ...]:
        """Return the APDU that the last of several blocks completes.

        A block whose predecessors were not given is shown alone: that is no fault.
        """
        self.framings.append("gbt")
        if message.block_number == 1:
            self._unfinished()
        try:
            whole = self.blocks.take(message)
        except ProtocolError:
            self.blocks_open = message.block_number
            self._unfinished()
            return ()
        self.blocks_open = message.block_number
        if whole is None:
            return ()
        self.blocks_open = 0
        count = f"of {message.block_number} blocks"
        return (Node("apdu", count, (self.apdu(whole, title),)),)

    def _unfinished(self) -> None:
        if self.blocks_open:
            self.unread = True
            self.notes.append(
                f"general-block-transfer ends with block {self.blocks_open}: the APDU is not whole"
            )
        self.blocks_open = 0

    def _datablock(self, message: get.GetResponseWithDatablock) -> tuple[Node, ...]:
        """Return the value that the last of several blocks completes."""
        if message.block_number == 1:
            self.raw.clear()
            self.raw_blocks = 0
        if message.block_number != self.raw_blocks + 1 or not isinstance(message.result, bytes):
            self.unread = True
            return ()
        self.raw += message.result
        self.raw_blocks += 1
        if not message.last_block:
            return ()
        octets = bytes(self.raw)
        self.raw_blocks = 0
        invoke_id = message.invoke_id_and_priority & 0x0F
        try:
            value, breaches = read_data(octets)
        except DecodeError as error:
            return (self._finding(error),)
        self._answer(invoke_id, value)
        wrong = tuple(self._breach(each) for each in breaches)
        return (node("value", value), *wrong)

    def end(self) -> None:
        """Tell what was begun and not finished."""
        self._unfinished()
        self.unread |= self.raw_blocks > 0

    def _gateway(self, octets: bytes) -> Node:
        self.framings.append("gateway")
        message = _GATEWAY[octets[0]].decode(octets)
        return Node(type(message).__name__, "", (*rows(message, "apdu"), self.apdu(message.apdu)))

    def _sealed(
        self,
        octets: bytes,
        seal: Seal | DlmsError,
        header: bytes = b"",
        *,
        cut_off: bool = False,
    ) -> tuple[Node, ...]:
        """Return the security header and, if the keys open it, the APDU inside."""
        if isinstance(seal, DlmsError):
            return Node("ciphered_service", octets.hex(" ")), self._finding(seal)
        lines = (
            Node("security_control", f"{octets[0]:02X} {seal.protection}"),
            Node("invocation_counter", str(seal.invocation_counter)),
        )
        closed = Node("ciphered_service", octets[5:].hex(" "))
        place = len(self.seals)
        self.seals.append(seal)
        if self.keys is None:
            self.unread = True
            return (*lines, closed)
        if cut_off:
            opened = open_part(octets, seal, self.keys, self.dedicated_key)
        else:
            opened = open_sealed(octets, seal, self.keys, self.dedicated_key, header)
        self.seals[place] = opened.seal
        wrong = tuple(self._breach(each) for each in opened.breaches)
        if opened.plain is None:
            self.unread = True
            return (*lines, closed, *wrong)
        return (*lines, *wrong, self.apdu(opened.plain, seal.system_title))

    def nothing(self, octets: bytes) -> Node:
        """Say that flags and idle octets alone are no recording of anything."""
        problem = f"no frame stands in these {len(octets)} octets"
        return self._finding(DecodeError(problem, octets, 0, "IEC 62056-46, 6.4.2"))

    def _finding(self, error: Exception) -> Node:
        self.findings.append(str(error))
        return Node("finding", str(error))

    def _breach(self, breach: Breach) -> Node:
        self.unread |= breach.habit in _MISSING
        if breach.habit in self.accept:
            self.notes.append(f"{breach.error}: accepted as {breach.habit}")
            return Node("note", str(breach.error))
        return self._finding(breach.error)


_MISSING: Final = frozenset({"truncated-end", "short-list", "missing-segment"})
"""Habits after which something is not there, accepted or not."""

_OWN_KEYS: Final[dict[type, str]] = {
    ciphered.WrappedKey: "wrapped",
    ciphered.AgreedKey: "agreed",
}

_FRAMING_NAMES: Final = {"m-bus": "mbus", "wireless m-bus": "wmbus"}


def _named(attribute: AttributeDescriptor, value: Data, time: bytes) -> Reading:
    return Reading(
        obis=attribute.instance_id,
        class_id=attribute.class_id,
        attribute_id=attribute.attribute_id,
        value=value,
        date_time=time,
    )


def _service(tag: int) -> tuple[str, str]:
    """Return the name of a service that is ciphered, and of what it is in."""
    if tag in ciphered.BY_GLO:
        return f"glo-{ciphered.BY_GLO[tag].service}", "service-specific-glo-ciphering"
    return f"ded-{ciphered.BY_DED[tag].service}", "service-specific-ded-ciphering"
