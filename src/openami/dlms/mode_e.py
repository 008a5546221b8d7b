# SPDX-License-Identifier: Apache-2.0
r"""Opening an optical port in mode E: from 300 baud to HDLC (IEC 62056-21, 6.3 and annex E).

::

    client  / ? address ! CR LF               request, at 300 baud, 7 data bits, even parity
    meter   / X X X Z \ 2 identification CR LF
    client  ACK 2 Z 2 CR LF                   option select: HDLC, baud Z, binary
    meter   ACK 2 Z 2 CR LF                   the same at the new speed; some leave it out

Then both speak HDLC at the new speed with 8 data bits and no parity.  `XXX` is the maker's FLAG id;
a lower case third letter announces 20 ms of reaction time instead of 200.  ``\2`` says that the
meter knows mode E; without it, it speaks another protocol of the standard.

Octets are given and taken without parity: that is the business of the line.
"""

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import ClassVar, Final, Self

from openami.dlms.errors import DecodeError

CLAUSE: Final = "IEC 62056-21, 6.3"

OPENING_BAUD: Final = 300
BAUD_RATES: Final = MappingProxyType(
    {
        "0": 300,
        "1": 600,
        "2": 1200,
        "3": 2400,
        "4": 4800,
        "5": 9600,
        "6": 19200,
        "7": 38400,
        "8": 57600,
        "9": 115200,
    }
)
"""The baud rate identifications; 7 to 9 are those of COSEM class 19."""

LONGEST_ADDRESS: Final = 32
LONGEST_LINE_OCTETS: Final = 128
MODE_E: Final = "\\2"

_END: Final = b"\r\n"


def _line(octets: bytes, start: str, what: str) -> str:
    """Return a message without its start and end."""
    if not octets.isascii() or not octets.startswith(start.encode()):
        raise DecodeError(f"{what} does not begin with {start!r}", octets, 0, CLAUSE)
    if not octets.endswith(_END) or octets.count(b"\n") > 1:
        raise DecodeError(f"{what} does not end with CR LF", octets, len(octets), CLAUSE)
    return octets[len(start) : -len(_END)].decode("ascii")


@dataclass(frozen=True, slots=True)
class RequestMessage:
    """``/?address!``: who is meant; the empty address means whoever hears it."""

    START: ClassVar[str] = "/?"

    address: str = ""

    def encode(self) -> bytes:
        if not _is_address(self.address):
            limit = f"at most {LONGEST_ADDRESS} letters, digits or blanks"
            raise ValueError(f"a device address has {limit}, not {self.address!r}")
        return f"{self.START}{self.address}!".encode("ascii") + _END

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        text = _line(octets, cls.START, "request message")
        if not text.endswith("!") or not _is_address(text[:-1]):
            raise DecodeError("the device address is no text of up to 32", octets, 2, CLAUSE)
        return cls(text[:-1])


def _is_address(text: str) -> bool:
    letters = text.replace(" ", "")
    return len(text) <= LONGEST_ADDRESS and text.isascii() and (not letters or letters.isalnum())


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentificationMessage:
    r"""``/XXXZ\2identification``: the meter tells who it is and what it can do.

    Attributes:
        manufacturer: FLAG id, three letters.
        baud: Baud rate identification, 0 to 9: the fastest that it offers.
        modes: Escape sequences, ``\2`` for mode E.
        identification: Of the device.
    """

    START: ClassVar[str] = "/"

    manufacturer: str
    baud: str = "5"
    modes: str = MODE_E
    identification: str = ""

    @property
    def offers_mode_e(self) -> bool:
        return MODE_E in self.modes

    @property
    def reaction_s(self) -> float:
        """How long to wait at least before answering."""
        return 0.02 if self.manufacturer[2].islower() else 0.2

    def encode(self) -> bytes:
        text = f"{self.manufacturer}{self.baud}{self.modes}{self.identification}"
        return f"{self.START}{text}".encode("ascii") + _END

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        text = _line(octets, cls.START, "identification message")
        manufacturer, baud, rest = text[:3], text[3:4], text[4:]
        if len(manufacturer) < 3 or not manufacturer.isalpha():
            raise DecodeError("the maker's id is not three letters", octets, 1, CLAUSE)
        if baud not in BAUD_RATES:
            problem = f"baud rate identification {baud!r} is not 0 to 9"
            raise DecodeError(problem, octets, 4, CLAUSE)
        modes = ""
        while rest.startswith("\\") and len(rest) > 1:
            modes, rest = modes + rest[:2], rest[2:]
        return cls(manufacturer=manufacturer, baud=baud, modes=modes, identification=rest)


@dataclass(frozen=True, slots=True)
class OptionSelect:
    """``ACK V Z Y``: which protocol, which speed, which mode; 2 Z 2 is HDLC in binary."""

    START: ClassVar[str] = "\x06"

    baud: str
    protocol: str = "2"
    mode: str = "2"

    @property
    def is_mode_e(self) -> bool:
        return (self.protocol, self.mode) == ("2", "2")

    def encode(self) -> bytes:
        return f"{self.START}{self.protocol}{self.baud}{self.mode}".encode("ascii") + _END

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        text = _line(octets, cls.START, "option select message")
        if len(text) != 3 or text[1] not in BAUD_RATES:
            raise DecodeError("an option select message is ACK V Z Y", octets, 1, CLAUSE)
        return cls(text[1], text[0], text[2])


def with_even_parity(octets: bytes) -> bytes:
    """Return 7 data bits and even parity as 8 bits, for a line that is set to 8 and none."""
    return bytes(octet | 0x80 * (octet.bit_count() & 1) for octet in octets)


@dataclass(slots=True)
class LineReader:
    """Finds messages that end with LF among what an optical head brings; noise is skipped."""

    start: bytes
    _pending: bytearray = field(default_factory=bytearray)

    def feed(self, octets: bytes) -> list[bytes]:
        """Return the messages that `octets` complete."""
        found = []
        for octet in octets:
            self._pending.append(octet & 0x7F)  # an adapter may leave the parity bit in
            if octet & 0x7F == _END[1]:
                message = bytes(self._pending)
                self._pending.clear()
                if (at := message.rfind(self.start)) >= 0:
                    found.append(message[at:])
            elif len(self._pending) > LONGEST_LINE_OCTETS:
                del self._pending[:-LONGEST_LINE_OCTETS]
        return found


@dataclass(slots=True)
class ClientOpening:
    """The client's side, up to the change of speed.

    Attributes:
        fastest: The fastest speed that the client can do.
        identification: What the meter said.
    """

    address: str = ""
    fastest: int = 115200
    identification: IdentificationMessage | None = None
    _reader: LineReader = field(default_factory=lambda: LineReader(b"/"))

    def request(self) -> bytes:
        """Return what is sent first, at 300 baud."""
        return RequestMessage(self.address).encode()

    def receive(self, octets: bytes) -> tuple[bytes, int] | None:
        """Take what the meter says; return the option select message and the speed after it.

        The message goes out at 300 baud once `identification.reaction_s` has passed.

        Raises:
            DecodeError: The meter says something else, or does not know mode E.
        """
        for message in self._reader.feed(octets):
            if message.startswith(b"/?"):
                continue  # the optical head hears us too
            found = IdentificationMessage.decode(message)
            if not found.offers_mode_e:
                problem = f"meter {found.manufacturer} {found.identification!r} offers no mode E"
                raise DecodeError(problem, message, 5, CLAUSE)
            self.identification = found
            baud = min(BAUD_RATES[found.baud], self.fastest)
            chosen = max(each for each in BAUD_RATES if BAUD_RATES[each] <= baud)
            return OptionSelect(chosen).encode(), BAUD_RATES[chosen]
        return None


@dataclass(slots=True)
class ServerOpening:
    """The meter's side.

    Attributes:
        identification: What it says of itself; its `baud` is the fastest it can do.
        address: Its device address; a request for another is not answered.
    """

    identification: IdentificationMessage
    address: str = ""
    _requests: LineReader = field(default_factory=lambda: LineReader(b"/?"))
    _options: LineReader = field(default_factory=lambda: LineReader(b"\x06"))

    def receive(self, octets: bytes) -> tuple[bytes, int | None]:
        """Take what the client says; return the answer, and the new speed once it is chosen.

        The answer to an option select message is sent at the new speed.  What makes no sense is
        not answered: the client begins again.
        """
        answer = b""
        for message in self._requests.feed(octets):
            try:
                asked = RequestMessage.decode(message).address.lstrip("0 ")
            except DecodeError:
                continue
            if asked in {"", self.address.lstrip("0 ")}:
                answer = self.identification.encode()
        for message in self._options.feed(octets):
            try:
                chosen = OptionSelect.decode(message)
            except DecodeError:
                continue
            fastest = BAUD_RATES[self.identification.baud]
            if chosen.is_mode_e and BAUD_RATES[chosen.baud] <= fastest:
                return chosen.encode(), BAUD_RATES[chosen.baud]
        return answer, None
