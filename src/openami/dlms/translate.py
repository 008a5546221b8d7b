# SPDX-License-Identifier: Apache-2.0
"""Octets to a tree that a person reads: frames, gateway headers, APDUs, what is sealed.

`describe` goes as deep as octets and keys allow and never raises for what the octets hold: where
they break a rule, or a key does not fit, the tree ends there with a finding, and everything
around it is kept.  It checks no counters and no policy: it is a reading glass, not an end point.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum, IntFlag
from typing import Final

from openami.dlms import apdu, framings
from openami.dlms.apdu import acse, block, ciphered, signed
from openami.dlms.apdu.codes import Code
from openami.dlms.apdu.fields import InvokeIdAndPriority, LongInvokeIdAndPriority
from openami.dlms.apdu.notification import DataNotification, EventNotification
from openami.dlms.data import (
    Array,
    BitString,
    CompactArray,
    Data,
    FixedInteger,
    FixedOctets,
    Float32,
    Float64,
    OctetString,
    Structure,
    Utf8String,
    VisibleString,
)
from openami.dlms.datetimes import CosemDateTime
from openami.dlms.errors import DecodeError, DlmsError, ProtocolError
from openami.dlms.gateway import GatewayRequest, GatewayResponse
from openami.dlms.obis import Obis
from openami.dlms.readings import Reading, readings
from openami.dlms.security.ciphering import Cipher, KeySet
from openami.dlms.security.suites import SecurityControl

DEEPEST: Final = 8
"""How many APDUs may stand inside each other: no profile needs more than four."""

_DATE_TIME_OCTETS: Final = 12
_LOGICAL_NAME_OCTETS: Final = 6
_TYPED: Final = (
    FixedInteger,
    Float32,
    Float64,
    VisibleString,
    Utf8String,
    OctetString,
    FixedOctets,
    BitString,
    CompactArray,
)
_ORDINARY_DATE_TIME: Final = ("tagged_date_time", False)
_GATEWAY: Final = {GatewayRequest.TAG: GatewayRequest, GatewayResponse.TAG: GatewayResponse}


@dataclass(frozen=True, slots=True, kw_only=True)
class TranslationKeys:
    """What is needed to look inside protected APDUs.

    Attributes:
        encryption_key: Global unicast encryption key, GUEK.
        authentication_key: Global authentication key, GAK; empty where only encryption is used.
        system_title: The sender's, for APDUs that do not carry it.
    """

    encryption_key: bytes = field(repr=False)
    authentication_key: bytes = field(default=b"", repr=False)
    system_title: bytes = b""


@dataclass(frozen=True, slots=True)
class Node:
    """One line of the tree and what stands below it."""

    label: str
    value: str = ""
    children: tuple["Node", ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Translation:
    """What octets say.

    Attributes:
        tree: The frames and APDUs, outermost first.
        readings: Named values of data notifications.
        findings: Why the tree ends where it does; empty if everything was understood.
    """

    tree: tuple[Node, ...]
    readings: tuple[Reading, ...]
    findings: tuple[str, ...]


def describe(octets: bytes, *, keys: TranslationKeys | None = None) -> Translation:
    """Return what one APDU, or frames one after the other, hold: wrapper, HDLC or wired M-Bus."""
    translator = _Translator(keys)
    framed = framings.frames(octets)
    tree = (translator.apdu(octets),) if framed is None else translator.frames(framed)
    return Translation(
        tree=tree, readings=tuple(translator.readings), findings=tuple(translator.findings)
    )


@dataclass(slots=True)
class _Translator:
    keys: TranslationKeys | None
    readings: list[Reading] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    levels: int = DEEPEST
    blocks: block.Assembler = field(default_factory=block.Assembler)

    def frames(self, found: Iterable[framings.Found]) -> tuple[Node, ...]:
        nodes = []
        for frame in found:
            if isinstance(frame, DecodeError):
                nodes.append(self._finding(frame))
                continue
            children = [Node(*row) for row in frame.fields]
            if frame.fault is not None:
                children.append(self._finding(frame.fault))
            if frame.apdu is not None:
                children.append(self.apdu(frame.apdu))
            nodes.append(Node(frame.framing, frame.summary, tuple(children)))
        return tuple(nodes)

    def apdu(self, octets: bytes, title: bytes = b"") -> Node:
        """Return one APDU; `title` is that of the sender if what is around it tells."""
        if self.levels == 0:
            problem = f"APDUs are nested deeper than {DEEPEST} levels"
            return self._finding(DecodeError(problem, octets, 0, "IEC 62056-5-3, 9.5"))
        self.levels -= 1
        node = self._apdu(octets, title)
        self.levels += 1
        return node

    def _apdu(self, octets: bytes, title: bytes) -> Node:
        try:
            if octets[:1] and octets[0] in _GATEWAY:
                return self._gateway(octets)
            message = apdu.decode(octets)
        except DlmsError as error:
            return Node("apdu", octets.hex(" "), (self._finding(error),))
        name = type(message).__name__
        match message:
            case ciphered.ServiceCiphering():
                name = _service_name(message.tag)
                rows = self._sealed(message.ciphered_service, title)
            case ciphered.GeneralGloCiphering():
                inside = self._sealed(message.ciphered_service, message.system_title or title)
                rows = (*_rows(message, "ciphered_service"), *inside)
            case ciphered.GeneralCiphering():
                originator, header = message.originator_system_title, message.header()
                inside = self._sealed(message.ciphered_service, originator, header)
                rows = (*_rows(message, "ciphered_service"), *inside)
            case signed.GeneralSigning():
                originator = message.originator_system_title
                rows = (*_rows(message, "content"), self.apdu(message.content, originator or title))
            case acse.Aarq() | acse.Aare() | acse.Rlrq() | acse.Rlre():
                rows = self._association(message, title)
            case block.GeneralBlockTransfer():
                rows = (*_rows(message), *self._block(message, title))
            case _:
                rows = _rows(message)
        self._note(message)
        return Node(name, "", rows)

    def _note(self, message: object) -> None:
        """Collect the values that a notification names."""
        if isinstance(message, DataNotification):
            self.readings += readings(message.notification_body, message.date_time)
        elif isinstance(message, EventNotification):
            self.readings.append(_event(message))

    def _association(
        self, message: acse.Aarq | acse.Aare | acse.Rlrq | acse.Rlre, title: bytes
    ) -> tuple[Node, ...]:
        rows = _rows(message, "user_information")
        if isinstance(message, acse.Aarq):
            title = message.calling_ap_title or title
        elif isinstance(message, acse.Aare):
            title = message.responding_ap_title or title
        if not message.user_information:
            return rows
        inside = self.apdu(message.user_information, title)
        return (*rows, Node("user_information", "", (inside,)))

    def _block(self, message: block.GeneralBlockTransfer, title: bytes) -> tuple[Node, ...]:
        """Return the APDU that the last of several blocks completes.

        A block whose predecessors were not given is shown alone: that is no fault.
        """
        try:
            whole = self.blocks.take(message)
        except ProtocolError:
            return ()
        if whole is None:
            return ()
        count = f"of {message.block_number} blocks"
        return (Node("apdu", count, (self.apdu(whole, title),)),)

    def _gateway(self, octets: bytes) -> Node:
        message = _GATEWAY[octets[0]].decode(octets)
        return Node(type(message).__name__, "", (*_rows(message, "apdu"), self.apdu(message.apdu)))

    def _sealed(self, octets: bytes, title: bytes, header: bytes = b"") -> tuple[Node, ...]:
        """Return the security header and, if the keys open it, the APDU inside."""
        try:
            if len(octets) < 5:
                raise DecodeError("security header needs 5 octets", octets, len(octets), "9.2.7.2")
            control = SecurityControl(octets[0])
            rows = (
                Node("security_control", f"{octets[0]:02X} {_protection(control)}"),
                Node("invocation_counter", str(int.from_bytes(octets[1:5]))),
            )
        except DlmsError as error:
            return Node("ciphered_service", octets.hex(" ")), self._finding(error)
        sealed = Node("ciphered_service", octets[5:].hex(" "))
        if self.keys is None:
            return (*rows, sealed)
        try:
            keys = KeySet(
                suite=control.suite,
                encryption_key=self.keys.encryption_key,
                authentication_key=self.keys.authentication_key,
            )
            sender = title or self.keys.system_title
            _, _, plain = Cipher(keys).open(octets, sender, aad_prefix=header)
        except DlmsError as error:
            return (*rows, sealed, self._finding(error))
        return (*rows, self.apdu(plain, title))

    def _finding(self, error: DlmsError) -> Node:
        self.findings.append(str(error))
        return Node("finding", str(error))


def _event(message: EventNotification) -> Reading:
    return Reading(
        obis=message.attribute.instance_id,
        attribute_id=message.attribute.attribute_id,
        value=message.value,
        date_time=message.time or b"",
    )


def _service_name(tag: int) -> str:
    if tag in ciphered.BY_GLO:
        return f"glo-{ciphered.BY_GLO[tag].service}"
    return f"ded-{ciphered.BY_DED[tag].service}"


def _protection(control: SecurityControl) -> str:
    parts = [f"suite {int(control.suite)}"]
    parts += ["authenticated"] * control.authenticated
    parts += ["encrypted"] * control.encrypted
    parts += ["broadcast key"] * control.broadcast
    return ", ".join(parts)


def _rows(message: object, *without: str) -> tuple[Node, ...]:
    """Return the fields of a message that are there, in wire order; secrets by their size only."""
    assert is_dataclass(message)  # noqa: S101  all APDUs are
    rows = []
    for row in fields(message):
        value = getattr(message, row.name)
        if value is None or row.name in without or (row.name, value) == _ORDINARY_DATE_TIME:
            continue
        if not row.repr and isinstance(value, bytes):
            value = f"{len(value)} octets, not shown"
        rows.append(_node(row.name, value))
    return tuple(rows)


def _node(label: str, value: object) -> Node:
    if isinstance(value, Array | Structure):
        inside = tuple(_node(str(number), element) for number, element in enumerate(value, 1))
        return Node(label, f"{type(value).__name__.lower()} of {len(value)}", inside)
    if isinstance(value, tuple) and not isinstance(value, Obis):
        inside = tuple(_node(str(number), element) for number, element in enumerate(value, 1))
        return Node(label, str(len(value)), inside)
    if is_dataclass(value) and not isinstance(value, BitString | CompactArray):
        return Node(label, "", _rows(value))
    return Node(label, _text(value))


def _text(value: object) -> str:
    if value is None:
        return "null-data"
    if isinstance(value, _TYPED):
        return f"{type_name(value)} {_contents(value)}"
    if isinstance(value, bytes):
        return octets_text(value)
    if isinstance(value, int):
        return _number_text(value)
    return str(value)


def _number_text(value: int) -> str:
    if isinstance(value, IntFlag):
        names = ", ".join(flag.name or "" for flag in value)
        return names.lower().replace("_", "-") or "none"
    if isinstance(value, Code):
        return f"{value} ({int(value)})"
    if isinstance(value, InvokeIdAndPriority):
        return f"{value:02X} (id {value.invoke_id}{_service_class(value)})"
    if isinstance(value, LongInvokeIdAndPriority):
        return f"{value:08X} (id {value.long_invoke_id}{_service_class(value)})"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _service_class(value: InvokeIdAndPriority | LongInvokeIdAndPriority) -> str:
    confirmed = ", confirmed" if value.confirmed else ", unconfirmed"
    return confirmed + (", high priority" if value.high_priority else "")


def _contents(value: Data) -> str:
    if isinstance(value, bytes):
        return octets_text(value)
    if isinstance(value, BitString):
        return value.bits
    if isinstance(value, CompactArray):
        return f"{value.type_description.hex(' ')} | {value.contents.hex(' ')}"
    return str(value)


def type_name(value: Data) -> str:
    """Return the standard's name of a value's type, ``double-long-unsigned``."""
    name = type(value).__name__
    return "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in name)[1:]


def octets_text(octets: bytes) -> str:
    """Return octets in hexadecimal, and what they read as: a clock, a logical name, a text."""
    plain = bytes(octets)
    if isinstance(octets, Enum):
        return f"{plain.hex(' ')} ({octets.name.lower().replace('_', '-')})"
    if len(plain) == _DATE_TIME_OCTETS:
        try:
            return f"{plain.hex(' ')} ({CosemDateTime.decode(plain)})"
        except DecodeError:
            pass
    if plain and plain.isascii() and plain.decode("ascii").isprintable():
        return f"{plain.hex(' ')} ({plain.decode('ascii')!r})"
    if len(plain) == _LOGICAL_NAME_OCTETS and plain[5] == 0xFF:
        return f"{plain.hex(' ')} ({Obis.decode(plain)})"
    return plain.hex(" ")
