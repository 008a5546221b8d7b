# SPDX-License-Identifier: Apache-2.0
"""From octets to APDUs: one table from tag and choice to the class that decodes it."""

from collections.abc import Callable
from typing import Final, Protocol, TypeAlias

from openami.dlms.apdu import (
    access,
    acse,
    action,
    block,
    ciphered,
    faults,
    get,
    initiate,
    notification,
    read,
    signed,
    write,
)
from openami.dlms.apdu import set as set_
from openami.dlms.errors import DecodeError

CLAUSE: Final = "IEC 62056-5-3, 9.5"


class Apdu(Protocol):
    """What every APDU can: become octets."""

    def encode(self) -> bytes:
        """Return the octets."""


_Decoder: TypeAlias = Callable[[bytes], Apdu]


class _Class(Protocol):
    TAG: int

    def decode(self, octets: bytes, /) -> Apdu:
        """Return the APDU that the octets hold."""


class _Choice(_Class, Protocol):
    CHOICE: int


_WITH_CHOICE: Final[tuple[_Choice, ...]] = (
    get.GetRequestNormal,
    get.GetRequestNext,
    get.GetRequestWithList,
    get.GetResponseNormal,
    get.GetResponseWithDatablock,
    get.GetResponseWithList,
    set_.SetRequestNormal,
    set_.SetRequestWithFirstDatablock,
    set_.SetRequestWithDatablock,
    set_.SetRequestWithList,
    set_.SetRequestWithListAndFirstDatablock,
    set_.SetResponseNormal,
    set_.SetResponseDatablock,
    set_.SetResponseLastDatablock,
    set_.SetResponseLastDatablockWithList,
    set_.SetResponseWithList,
    action.ActionRequestNormal,
    action.ActionRequestNextPblock,
    action.ActionRequestWithList,
    action.ActionRequestWithFirstPblock,
    action.ActionRequestWithListAndFirstPblock,
    action.ActionRequestWithPblock,
    action.ActionResponseNormal,
    action.ActionResponseWithPblock,
    action.ActionResponseWithList,
    action.ActionResponseNextPblock,
)
_WITHOUT_CHOICE: Final[tuple[_Class, ...]] = (
    initiate.InitiateRequest,
    initiate.InitiateResponse,
    faults.ConfirmedServiceError,
    faults.ExceptionResponse,
    notification.DataNotification,
    notification.DataNotificationConfirm,
    notification.EventNotification,
    access.AccessRequest,
    access.AccessResponse,
    block.GeneralBlockTransfer,
    read.ReadRequest,
    read.ReadResponse,
    write.WriteRequest,
    write.WriteResponse,
    write.UnconfirmedWriteRequest,
    write.InformationReport,
    ciphered.GeneralGloCiphering,
    ciphered.GeneralDedCiphering,
    ciphered.GeneralCiphering,
    signed.GeneralSigning,
    acse.Aarq,
    acse.Aare,
    acse.Rlrq,
    acse.Rlre,
)

_CHOICES: Final[dict[int, _Decoder]] = {
    kind.TAG << 8 | kind.CHOICE: kind.decode for kind in _WITH_CHOICE
}
_TAGS: Final[dict[int, _Decoder]] = {kind.TAG: kind.decode for kind in _WITHOUT_CHOICE}
_TAGS.update(dict.fromkeys(ciphered.BY_GLO, ciphered.ServiceCiphering.decode))
_TAGS.update(dict.fromkeys(ciphered.BY_DED, ciphered.ServiceCiphering.decode))
_TAGS_WITH_CHOICE: Final = frozenset(kind.TAG for kind in _WITH_CHOICE)


def classes() -> tuple[type, ...]:
    """Return the class of each APDU that is no more than its fields, by tag and choice."""
    found: list[object] = [*_WITH_CHOICE, *_WITHOUT_CHOICE]
    return tuple(kind for kind in found if isinstance(kind, type))


def known_tags() -> frozenset[int]:
    """Return the tags that `decode` understands."""
    return _TAGS_WITH_CHOICE | frozenset(_TAGS)


def decode(octets: bytes) -> Apdu:
    """Return the APDU that `octets` hold; every octet is accounted for.

    Raises:
        DecodeError: The tag is unknown, or the octets break a rule of that APDU.
    """
    if len(octets) < 2:
        raise DecodeError("an APDU needs 2 octets or more", octets, 0, CLAUSE)
    tag = octets[0]
    decoder = _CHOICES.get(tag << 8 | octets[1]) or _TAGS.get(tag)
    if decoder is None:
        raise _unknown(octets)
    return decoder(octets)


def _unknown(octets: bytes) -> DecodeError:
    tag = octets[0]
    if tag in _TAGS_WITH_CHOICE:
        return DecodeError(f"APDU {tag:02X} has no choice {octets[1]:02X}", octets, 1, CLAUSE)
    problem = f"{tag:02X} is no APDU tag"
    if octets[:2] == b"\x00\x01":
        problem += "; this looks like a wrapper frame: take its header off first"
    elif tag == 0x7E:
        problem += "; this looks like an HDLC frame: take its header off first"
    elif octets[:2] in {b"\xe6\xe6", b"\xe6\xe7"}:
        problem += "; this looks like an LLC header: take its three octets off first"
    return DecodeError(problem, octets, 0, CLAUSE)
