# SPDX-License-Identifier: Apache-2.0
"""Cases on pushes over HDLC: what frames a notification comes in (IEC 62056-46, 6.4.4.7).

On a line that is its own (a customer port) a meter pushes in UI frames, unasked, from its address
to that of the client.  A long one comes in several, with bit S in all but the last.  Blocks of a
general block transfer may come in a frame each, the later ones without an LLC header, as meters in
the field send them.  Where the line is shared, a notification waits until the client polls: what
makes a meter notify there no source says for all meters, so no case asks for it.
"""

from typing import Final

from openami.cosem.conformance.case import Case, Failed, Group, Need, Pushed, Script
from openami.cosem.conformance.pushes import declared_push, opened, push, unwrapped
from openami.cosem.conformance.station import named
from openami.cosem.conformance.trial import Trial, shown
from openami.dlms.apdu.block import Assembler, GeneralBlockTransfer
from openami.dlms.errors import DecodeError, DlmsError
from openami.dlms.hdlc.control import Kind
from openami.dlms.hdlc.frame import Frame
from openami.dlms.hdlc.llc import FROM_SERVER
from openami.dlms.hdlc.reader import FrameReader

CLAUSE: Final = "IEC 62056-46, 6.4.4.7"
BLOCK: Final = bytes((GeneralBlockTransfer.TAG,))


def _frames(octets: bytes) -> list[Frame]:
    found = FrameReader().feed(octets)
    for each in found:
        if isinstance(each, DecodeError):
            raise Failed(f"what was pushed, {shown(octets)}, is no sound frame: {each}")
    frames = [each for each in found if isinstance(each, Frame)]
    if not frames:
        raise Failed(f"no frame is in {shown(octets)}, which was pushed")
    return frames


def _apdu(frames: list[Frame]) -> bytes:
    """Return the APDU of the frames, of which the last is the only one without bit S."""
    assembler, message, first = Assembler(), b"", True
    for frame in frames:
        message += frame.information
        if frame.segmented:
            continue
        if message.startswith(FROM_SERVER):
            message = message[len(FROM_SERVER) :]
        elif first or not message.startswith(BLOCK):
            raise Failed(f"{shown(message)} has no LLC header E6 E7 00")
        first = False
        if not message.startswith(BLOCK):
            return message
        whole = assembler.take(GeneralBlockTransfer.decode(message))
        message = b""
        if whole is not None:
            return whole
    raise Failed(f"{named(frames)} came, and the notification is not whole")


def _on_line(trial: Trial) -> Script[str | None]:
    client, _ = yield from opened(trial)
    yield from push(trial, client)
    within_s = declared_push(trial).within_s
    octets = yield Pushed(within_s, framed=True)
    if octets is None:
        raise Failed(f"nothing came within {within_s:g} s after method push; UI frames are due")
    frames = _frames(octets)
    other = [frame for frame in frames if frame.control.kind is not Kind.UI]
    if other:
        raise Failed(f"{named(other)} was pushed; UI frames are due")
    ends = {(frame.source, frame.destination) for frame in frames}
    if len(ends) != 1:
        raise Failed(f"{named(frames)} have other addresses from frame to frame")
    ((source, destination),) = ends
    if source.upper != trial.declaration.server_sap or destination.size != 1:
        raise Failed(
            f"{frames[0]} came from {source} for {destination}; the logical device "
            f"{trial.declaration.server_sap} and a client in one octet are due"
        )
    try:
        apdu = _apdu(frames)
    except DlmsError as error:
        raise Failed(f"the blocks of the push do not fit together: {error}") from None
    unwrapped(trial, apdu)
    return f"{len(frames)} UI frames from {source} for client {destination}"


CASES: Final = (
    Case(
        id="PUSH_P6_HDLC",
        group=Group.PUSH,
        title="a push over HDLC comes in UI frames",
        clause=CLAUSE,
        needs=(Need.LN, Need.PUSH, Need.ACTION, Need.PUSH_LINE),
        steps="push, heard on a line of its own",
        accepts="sound UI frames with an LLC header, from the logical device to a client",
        script=_on_line,
    ),
)
