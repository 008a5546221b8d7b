# SPDX-License-Identifier: Apache-2.0
"""What a conformance case is, what it may ask of a line, and how it ends.

A script yields asks and is sent what came: octets, or None for silence.  It ends by returning (the
case passes, with a remark or none) or by raising one of the three other verdicts as a sentence.
Numbers of cases are those of the DLMS UA's abstract test suites where our sources give them; cases
named by words are ours.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, TypeAlias, TypeVar

if TYPE_CHECKING:
    from openami.cosem.conformance.trial import Trial

T = TypeVar("T")


class Verdict(Enum):
    """How a case ended."""

    PASS = "PASS"  # noqa: S105  no password
    """The meter did what the clause asks."""
    FAIL = "FAIL"
    """It did something else."""
    INCONCLUSIVE = "INCONCLUSIVE"
    """The case did not come to its question."""
    NOT_APPLICABLE = "NOT APPLICABLE"
    """The meter does not claim what the case is about."""


class Failed(Exception):  # noqa: N818  a verdict on the meter, not a failure of ours
    """The meter did something that the clause does not accept; the sentence quotes it."""


class Inconclusive(Exception):  # noqa: N818  a verdict
    """The question could not be put."""


class NotApplicable(Exception):  # noqa: N818  a verdict
    """The meter turns out not to have what the case is about."""


class LineLost(Exception):  # noqa: N818  an event of the line
    """No connection could be made, or it broke: raised into a script by whoever has the line."""


class Group(Enum):
    """What a case is about; the value is the heading in the report."""

    HDLC = "HDLC data link"
    OPEN = "Application layer: opening"
    DATA_LN = "Application layer: data, logical names"
    DATA_SN = "Application layer: data, short names"
    RELEASE = "Application layer: release"
    CLIENTS = "Application layer: more than one client"
    COSEM = "COSEM objects"
    SYMSEC = "Security with shared keys"
    PAIRS = "Security with key pairs (suites 1 and 2)"
    PUSH = "Pushes"


class Need(Enum):
    """What a case needs; the value ends the sentence of NOT APPLICABLE."""

    HDLC = "a meter on HDLC"
    LN = "an association with logical names"
    SN = "an association with short names"
    UNCIPHERED = "an association without ciphering"
    CIPHERED = "an association with ciphering"
    AUTHENTICATED = "an association with a password or with HLS"
    LOWEST = "an association without authentication"
    LLS = "an association with a password (LLS)"
    HLS = "an association with high level security"
    MASTER_KEY = "the master key (master_key_file)"
    SETUP = "a security setup object (security_setup)"
    WRITABLE = "a writable test attribute ([test_attribute])"
    PROFILE = "a profile generic object ([profile])"
    GET = "conformance: get"
    SET = "conformance: set"
    ACTION = "conformance: action"
    READ = "conformance: read"
    WRITE = "conformance: write"
    ACCESS = "conformance: access"
    UNCONFIRMED_WRITE = "conformance: unconfirmed-write"
    UNPROVEN = "an association without high level security"
    GET_BLOCKS = "conformance: block-transfer-with-get-or-read"
    SET_BLOCKS = "conformance: block-transfer-with-set-or-write"
    GENERAL_BLOCKS = "conformance: general-block-transfer"
    MULTIPLE = "conformance: multiple-references"
    SELECTIVE = "conformance: selective-access"
    USERS = "user identification (user_id)"
    PAIRS = "key pairs in suite 1 or 2 (sign_key_file, meter_certs_file)"
    AGREEMENT = "key agreement keys (agree_key_file)"
    ECDSA = "HLS by ECDSA"
    PUSH = "a push setup and where it pushes to ([push])"
    PUSH_CONFIRM = "pushes that are heard where we can answer"
    PUSH_LINE = "pushes that are heard on a line: [push] listen = hdlc+..."
    CLIENTS = "a second client: associations of two clients"


@dataclass(frozen=True, slots=True)
class Connect:
    """Make a fresh connection of the lower layer for one client; whatever stood is hung up.

    Over the wrapper this is a TCP connection, over HDLC a data link.
    """

    client_sap: int


@dataclass(frozen=True, slots=True)
class Hangup:
    """End the connection of the lower layer: close TCP, or DISC."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """Send an APDU as it is, and wait for one; None is sent back for silence."""

    apdu: bytes


@dataclass(frozen=True, slots=True)
class Line:
    """Put octets on a line as they are, and listen until the answer is over; HDLC only."""

    octets: bytes


@dataclass(frozen=True, slots=True)
class Wait:
    """Be silent."""

    seconds: float
    why: str


@dataclass(frozen=True, slots=True)
class Send:
    """Send an APDU and do not wait: the answer comes to what is sent after it."""

    apdu: bytes


@dataclass(frozen=True, slots=True)
class Hear:
    """Wait for one more APDU, unasked; None is sent back for silence."""


@dataclass(frozen=True, slots=True)
class Pushed:
    """Wait for an APDU where the meter pushes to; None is sent back if none comes in time.

    `framed` asks for it as it came on a line: the octets between two silences.
    """

    seconds: float
    framed: bool = False


@dataclass(frozen=True, slots=True)
class Confirm:
    """Send an APDU to where the last push came from."""

    apdu: bytes


@dataclass(frozen=True, slots=True)
class Beside:
    """Ask on a second connection, which stands beside the first."""

    ask: Connect | Hangup | Exchange


Ask: TypeAlias = Connect | Hangup | Exchange | Line | Wait | Send | Hear | Pushed | Confirm | Beside
Script: TypeAlias = Generator[Ask, bytes | None, T]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One conformance case.

    Attributes:
        id: Its name in reports and on the command line.
        group: What it is about.
        title: What is tested, in a few words.
        clause: The rule that the meter is held to.
        needs: What the meter must have for it.
        steps: What is sent.
        accepts: What the clause accepts.
        script: Does it.
        changes: Whether it changes something in the meter (and changes it back).
        slow: Whether it waits for a time-out of the meter.
        last: Whether it leaves the meter so that other cases could not be run: it comes when all
            others were run at all associations.
    """

    id: str
    group: Group
    title: str
    clause: str
    needs: tuple[Need, ...] = ()
    steps: str
    accepts: str
    script: "Callable[[Trial], Script[str | None]]"
    changes: bool = False
    slow: bool = False
    last: bool = False

    @property
    def by_association(self) -> bool:
        """Whether it is run once for each association that is declared."""
        return self.group is not Group.HDLC


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Cases about one thing: they share the head of their names, their group, and what all need."""

    prefix: str = ""
    group: Group
    needs: tuple[Need, ...] = ()

    def case(  # noqa: PLR0913, PLR0917  a row of the table
        self,
        name: str,
        title: str,
        clause: str,
        steps: str,
        accepts: str,
        script: "Callable[[Trial], Script[str | None]] | Callable[[Trial], Script[str]]",
        *needs: Need,
        changes: bool = False,
        slow: bool = False,
        last: bool = False,
    ) -> Case:
        """Return a row of the table of cases; what the words mean is said at `Case`."""
        return Case(
            id=self.prefix + name,
            group=self.group,
            title=title,
            clause=clause,
            needs=self.needs + needs,
            steps=steps,
            accepts=accepts,
            script=script,
            changes=changes,
            slow=slow,
            last=last,
        )
