# SPDX-License-Identifier: Apache-2.0
"""A primary station that may misbehave: frames built octet by octet, answers read as frames.

`dlms.hdlc.primary` would refuse to send most of what a conformance test sends.
"""

from dataclasses import dataclass
from typing import Final

from openami.cosem.conformance.case import Failed, Inconclusive, Line, Script, Wait
from openami.cosem.conformance.trial import Trial, shown
from openami.dlms.errors import DecodeError
from openami.dlms.hdlc.address import Address
from openami.dlms.hdlc.control import Kind, control
from openami.dlms.hdlc.fcs import check_sequence
from openami.dlms.hdlc.frame import Frame
from openami.dlms.hdlc.link import LinkTimings
from openami.dlms.hdlc.llc import FROM_CLIENT, take_off
from openami.dlms.hdlc.parameters import LinkParameters
from openami.dlms.hdlc.reader import FrameReader

FORMAT_TYPE_3: Final = 0xA
MOST_POLLS: Final = 30
POLL_S: Final = LinkTimings().poll_s
_FLAG: Final = b"\x7e"


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """What is wrong with a frame; as it stands, nothing.

    Attributes:
        opening: Whether the flag in front is there.
        closing: Whether the flag behind is there.
        cut: How many octets are missing in front of the closing flag.
        format_type: Four bits; A is type 3.
        longer: What the length says beyond the truth; checks are made for what it says.
        hcs: Bits to turn over in the HCS.
        fcs: Bits to turn over in the FCS.
    """

    opening: bool = True
    closing: bool = True
    cut: int = 0
    format_type: int = FORMAT_TYPE_3
    longer: int = 0
    hcs: int = 0
    fcs: int = 0


SOUND: Final = Damage()


def _turned(check: bytes, bits: int) -> bytes:
    return (int.from_bytes(check) ^ bits).to_bytes(2)


def assemble(  # noqa: PLR0913  the fields of a frame
    destination: bytes,
    source: bytes,
    control_octet: int,
    information: bytes = b"",
    damage: Damage = SOUND,
    *,
    segmented: bool = False,
) -> bytes:
    """Return a frame with exactly these octets and this damage."""
    length = 2 + len(destination) + len(source) + 1 + 2
    length += len(information) + 2 if information else 0
    format_field = damage.format_type << 12 | segmented << 11 | (length + damage.longer)
    body = format_field.to_bytes(2) + destination + source + bytes((control_octet,))
    if information:
        body += _turned(check_sequence(body), damage.hcs) + information
    body += _turned(check_sequence(body), damage.fcs)
    body = body[: len(body) - damage.cut]
    return _FLAG * damage.opening + body + _FLAG * damage.closing


def named(frames: list[Frame]) -> str:
    """Return frames in words."""
    return ", ".join(map(str, frames)) if frames else "silence"


class Station:
    """The tester's end of a link."""

    def __init__(self, trial: Trial, client: int | None = None) -> None:
        """Speak for `client`, or for the client of the declaration."""
        if trial.declaration.link is None:
            raise Inconclusive("no data link is declared")
        self.link = trial.declaration.link
        self.server = Address.server(
            self.link.logical, self.link.physical, self.link.address_octets
        )
        self.client = Address.client(self.link.client if client is None else client)
        self.parameters = LinkParameters()
        self.received = 0
        """The next N(S) that is due from the meter, after `transfer`."""

    def octets(  # noqa: PLR0913  the fields of a frame
        self,
        kind: Kind | int,
        information: bytes = b"",
        damage: Damage = SOUND,
        *,
        numbers: tuple[int, int] = (0, 0),
        destination: bytes | None = None,
        source: bytes | None = None,
        segmented: bool = False,
    ) -> bytes:
        """Return a frame with P = 1.

        Args:
            kind: What it is, or its control field as it stands.
            information: What it carries.
            damage: What is wrong with it.
            numbers: N(S) and N(R).
            destination: Instead of the server's address.
            source: Instead of the client's.
            segmented: Bit S.
        """
        octet = kind
        if isinstance(kind, Kind):
            octet = control(kind, send_number=numbers[0], receive_number=numbers[1]).octet
        assert isinstance(octet, int)  # noqa: S101  the other half of the union
        return assemble(
            self.server.encode() if destination is None else destination,
            self.client.encode() if source is None else source,
            octet,
            information,
            damage,
            segmented=segmented,
        )

    def listen(self, octets: bytes) -> Script[list[Frame]]:
        """Put octets on the line; return the frames that came for us.

        Raises:
            Failed: What came is no frame.
        """
        answer = yield Line(octets)
        if not answer:
            return []
        found = FrameReader().feed(answer)
        for each in found:
            if isinstance(each, DecodeError):
                raise Failed(f"the answer {shown(answer)} is no sound frame: {each}")
        return [each for each in found if isinstance(each, Frame)]

    def silent(self, octets: bytes, why: str) -> Script[None]:
        """Send what must not be answered; then wait until a half frame is given up."""
        if frames := (yield from self.listen(octets)):
            raise Failed(f"{named(frames)} came to {why}; the clause asks for silence")
        yield self.pause("a frame that stopped half-way is given up")

    def pause(self, why: str) -> Wait:
        """Return a wait of a little more than the inter-octet time-out."""
        return Wait(self.link.inter_octet_s * 1.2, why)

    def expect(self, octets: bytes, kind: Kind, said: str) -> Script[Frame]:
        """Send octets; return the single frame of `kind` that answers, with F = 1.

        Raises:
            Failed: Anything else came.
        """
        frames = yield from self.listen(octets)
        if len(frames) != 1 or frames[0].control.kind is not kind:
            raise Failed(f"{named(frames)} came to {said}; the clause accepts {kind.value}")
        frame = frames[0]
        if not frame.control.poll_final:
            raise Failed(f"{frame} came to {said} with F = 0; the clause asks for F = 1")
        if frame.source != self.server or frame.destination != self.client:
            wanted = f"{self.server}>{self.client}"
            raise Failed(f"{frame} came to {said}; the addresses must be {wanted}")
        return frame

    def connect(self, proposal: bytes = b"") -> Script[Frame]:
        """Send SNRM; return the UA."""
        frame = yield from self.expect(self.octets(Kind.SNRM, proposal), Kind.UA, "SNRM")
        try:
            self.parameters = LinkParameters.decode(frame.information)
        except DecodeError as error:
            raise Failed(f"the parameters of UA cannot be read: {error}") from None
        return frame

    def start(self) -> Script[None]:
        """Leave whatever link stands, and make sure that the meter is in NDM."""
        frames = yield from self.listen(self.octets(Kind.DISC))
        if not frames or frames[0].control.kind not in {Kind.UA, Kind.DM}:
            raise Inconclusive(f"{named(frames)} came to DISC, so the meter's mode is not known")

    def leave(self) -> Script[None]:
        """Send DISC; any answer will do."""
        yield from self.listen(self.octets(Kind.DISC))

    def transfer(self, apdu: bytes, segment_octets: int) -> Script[bytes]:
        """Carry one APDU over a fresh link, in segments, and return the one that answers.

        Raises:
            Failed: A segment is not acknowledged by RR with the right N(R), or no answer comes.
        """
        information = FROM_CLIENT + apdu
        parts = [
            information[start : start + segment_octets]
            for start in range(0, len(information), segment_octets)
        ]
        for number, part in enumerate(parts[:-1]):
            octets = self.octets(Kind.I, part, numbers=(number % 8, 0), segmented=True)
            said = f"segment {number + 1} of {len(parts)}"
            frame = yield from self.expect(octets, Kind.RR, said)
            wanted = (number + 1) % 8
            if frame.control.receive_number != wanted:
                raise Failed(f"{frame} came to {said}; the clause asks for N(R) = {wanted}")
        sent = len(parts) % 8
        octets = self.octets(Kind.I, parts[-1], numbers=((len(parts) - 1) % 8, 0))
        return (yield from self._collect(octets, sent))

    def _collect(self, octets: bytes, sent: int) -> Script[bytes]:
        self.received, message = 0, b""
        for _ in range(MOST_POLLS):
            frames = yield from self.listen(octets)
            if not frames:
                raise Failed("silence came where the answer to an APDU was due")
            for frame in frames:
                what = frame.control
                if what.kind not in {Kind.I, Kind.RR}:
                    raise Failed(f"{frame} came where the answer to an APDU was due")
                if what.receive_number != sent:
                    raise Failed(f"{frame} came; the clause asks for N(R) = {sent}")
                if what.kind is not Kind.I:
                    continue
                if what.send_number != self.received:
                    raise Failed(f"{frame} came; the clause asks for N(S) = {self.received}")
                self.received = (self.received + 1) % 8
                message += frame.information
                if not frame.segmented:
                    return _without_llc(message)
            yield Wait(POLL_S, "the answer is not ready")
            octets = self.octets(Kind.RR, numbers=(0, self.received))
        raise Failed(f"no whole answer came within {MOST_POLLS} polls")


def _without_llc(message: bytes) -> bytes:
    try:
        return take_off(message)
    except DecodeError as error:
        raise Failed(f"the answer {shown(message)} has no LLC header: {error}") from None
