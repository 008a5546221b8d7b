# SPDX-License-Identifier: Apache-2.0
"""What meters in the field do against the rules, by name: one row a habit.

Whoever reads what was recorded sees what each telegram says, whether it keeps the rules or not.
A breach is a finding; a reader who knows that this maker does so accepts the habit, and the
finding becomes a note.  Nothing here is accepted from a peer that is answered: servers, clients
and links stay strict.
"""

from types import MappingProxyType
from typing import Final, NamedTuple


class Habit(NamedTuple):
    """One thing that makers do.

    Attributes:
        name: What it is called on the command line.
        sentence: What is done, and how it is read.
        clause: The rule that it breaks.
    """

    name: str
    sentence: str
    clause: str


HABITS: Final = (
    Habit(
        "typed-date-time",
        "the date-time of a notification carries the tag of a type (09, 19), which is skipped",
        "DLMS UA 1000-2 Ed. 10, 9.5, Data-Notification",
    ),
    Habit(
        "untyped-descriptor",
        "an attribute descriptor stands among values without tags and is read as class,"
        " logical name, attribute",
        "IEC 62056-5-3, 9.5, Data",
    ),
    Habit(
        "swapped-tag",
        "a logical name stands as 06 09 and its six octets, tag and length the wrong way round",
        "IEC 62056-5-3, 9.5, Data",
    ),
    Habit(
        "short-list",
        "an array or structure announces more elements than follow; those that follow are read",
        "IEC 62056-5-3, 9.5, Data",
    ),
    Habit(
        "trailing-octets",
        "octets stand behind the end of a value or an APDU and are left alone",
        "IEC 62056-5-3, 9.5",
    ),
    Habit(
        "missing-llc",
        "an I frame holds an APDU without the LLC header in front of it",
        "IEC 62056-46, 5.3",
    ),
    Habit(
        "bad-fcs",
        "the check of an HDLC frame is wrong; it is read all the same",
        "IEC 62056-46, 6.4.2",
    ),
    Habit("missing-flags", "an HDLC frame stands without its flags", "IEC 62056-46, 6.4.2"),
    Habit(
        "bad-checksum",
        "the checksum of an M-Bus frame is wrong; it is read all the same",
        "EN 13757-2, 5.2",
    ),
    Habit(
        "wrong-length",
        "the length of an M-Bus frame does not lead to its stop octet; the stop octet counts",
        "EN 13757-2, 5.2",
    ),
    Habit(
        "missing-segment",
        "segments of an APDU are missing or out of order; the others are left unread",
        "EN 13757-3, DLMS transport",
    ),
    Habit(
        "octets-outside",
        "octets stand before, between or behind frames, such as a part of a frame; they are"
        " passed over",
        "IEC 62056-46, 6.4.2",
    ),
    Habit("truncated-end", "the recording ends inside its last frame or APDU", "9.5"),
    Habit(
        "header-not-authenticated",
        "general-ciphering leaves its header out of what the tag covers",
        "DLMS UA 1000-2 Ed. 10, 9.2.7.2",
    ),
    Habit(
        "tag-not-checked",
        "no authentication key is at hand, so an APDU is decrypted without checking its tag",
        "DLMS UA 1000-2 Ed. 10, 9.2.3.3.7",
    ),
    Habit(
        "inverted-deviation",
        "the deviation is added to UTC to get local time, which is the other way round; octets do"
        " not tell, so this habit is accepted only when it is named",
        "IEC 62056-6-2, 4.1.6",
    ),
)
"""Every habit that is known."""

BY_NAME: Final = MappingProxyType({habit.name: habit for habit in HABITS})

INVERTED_DEVIATION: Final = "inverted-deviation"

LENIENT: Final = frozenset(BY_NAME) - {INVERTED_DEVIATION}
"""Those that `openami decode --lenient` accepts: all that octets show by themselves."""
