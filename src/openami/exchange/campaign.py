# SPDX-License-Identifier: Apache-2.0
"""Firmware campaigns: where a meter stands, what its answers prove, who may do what when.

One model for every protocol that brings firmware to a meter.  A protocol says how it tells its own
states as `Progress`; the tables here say what follows.  What a meter came to is never concluded
from a request that was answered: it is read back, and `JUDGEMENT` says what that proves.  What
proves nothing is in doubt, shown, and asked again.  Waves and stop rules are in `waves`.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Final


class MeterState(Enum):
    """Where one meter of a campaign stands."""

    PLANNED = "planned"
    TRANSFERRING = "transferring"  # which blocks it lacks is asked at the meter
    TRANSFERRED = "transferred"  # it has all blocks
    VERIFIED = "verified"  # it has found the image good
    ACTIVATING = "activating"  # it was told to start it
    TRIAL = "trial"  # the image runs, and is not confirmed
    CONFIRMED = "confirmed"  # read back: the image runs and stays
    REVERTED = "reverted"  # read back: what ran before runs again
    FAILED = "failed"  # it never came to an activation, for a reason
    SKIPPED = "skipped"  # nothing was to be done, or nobody wants it any more, for a reason
    IN_DOUBT = "in doubt"  # told to start the image, and nothing is proven


_S: Final = MeterState

TRANSITIONS: Final[Mapping[MeterState, frozenset[MeterState]]] = {
    _S.PLANNED: frozenset({_S.TRANSFERRING, _S.FAILED, _S.SKIPPED}),
    _S.TRANSFERRING: frozenset({_S.TRANSFERRED, _S.FAILED, _S.SKIPPED}),
    _S.TRANSFERRED: frozenset({_S.VERIFIED, _S.TRANSFERRING, _S.FAILED, _S.SKIPPED}),
    _S.VERIFIED: frozenset({_S.ACTIVATING, _S.TRANSFERRING, _S.FAILED, _S.SKIPPED}),
    _S.ACTIVATING: frozenset({_S.TRIAL, _S.CONFIRMED, _S.REVERTED, _S.IN_DOUBT, _S.VERIFIED}),
    _S.TRIAL: frozenset({_S.CONFIRMED, _S.REVERTED, _S.IN_DOUBT, _S.ACTIVATING}),
    _S.IN_DOUBT: frozenset({_S.TRIAL, _S.CONFIRMED, _S.REVERTED, _S.ACTIVATING, _S.VERIFIED}),
    _S.CONFIRMED: frozenset(),
    _S.REVERTED: frozenset(),
    _S.FAILED: frozenset(),
    _S.SKIPPED: frozenset(),
}
"""What may follow.  A transfer begins anew where the meter turns out not to have the image."""

ENDED: Final = frozenset(state for state, following in TRANSITIONS.items() if not following)
SENDING: Final = frozenset({_S.PLANNED, _S.TRANSFERRING, _S.TRANSFERRED, _S.VERIFIED})
"""Something is still to be sent: only while the campaign runs."""
COUNTED: Final = frozenset({_S.REVERTED, _S.FAILED, _S.IN_DOUBT})
"""What a stop rule may count."""
FOLLOWED: Final = frozenset({_S.ACTIVATING, _S.TRIAL, _S.IN_DOUBT})
"""Only asked: also while the campaign is paused, stopped or cancelled."""


class Reason(Enum):
    """Why a meter failed or was skipped."""

    UNREACHABLE = "unreachable"  # as often as it was tried
    ATTEMPTS = "attempts"  # it answers, and gets no further
    OCTETS = "octets"  # more was sent than the image is worth
    REFUSED = "refused"  # the meter takes no image, or none of this size
    NOT_VERIFIED = "not verified"  # it has all of it, and finds it bad
    NOT_ACTIVATED = "not activated"  # it refuses to start it
    RUNS_ALREADY = "runs it already"
    OTHER_VERSION = "other version"  # it runs none from which this release may follow
    NO_OBJECT = "no image transfer"  # its kind has no such object
    CANCELLED = "cancelled"


class Runs(Enum):
    """What firmware a meter says it runs."""

    RELEASE = "the campaign's"
    BEFORE = "what it ran before"
    OTHER = "a third one"


class Progress(Enum):
    """How a transfer stands at a meter, in no protocol's words."""

    NOTHING = "nothing was begun"
    RECEIVING = "blocks arrive"
    CHECKING = "the image is being verified"
    CHECKED = "the image is good"
    REJECTED = "the image is bad"
    ACTIVATING = "the image is being started, or is on trial"
    ACTIVATED = "the image was confirmed"
    NOT_ACTIVATED = "the image was left"


_P: Final = Progress
_LOST: Final = (_P.NOTHING, _P.RECEIVING, _P.CHECKING, _P.REJECTED)

JUDGEMENT: Final[Mapping[tuple[Runs, Progress], MeterState]] = {
    (Runs.RELEASE, _P.ACTIVATED): _S.CONFIRMED,
    (Runs.RELEASE, _P.NOTHING): _S.CONFIRMED,  # it has forgotten the transfer; it runs
    (Runs.RELEASE, _P.ACTIVATING): _S.TRIAL,
    **dict.fromkeys(
        [(Runs.RELEASE, each) for each in (*_LOST[1:], _P.CHECKED, _P.NOT_ACTIVATED)], _S.IN_DOUBT
    ),
    (Runs.BEFORE, _P.ACTIVATING): _S.ACTIVATING,
    (Runs.BEFORE, _P.CHECKED): _S.VERIFIED,  # the activation never arrived
    (Runs.BEFORE, _P.NOT_ACTIVATED): _S.REVERTED,
    (Runs.BEFORE, _P.ACTIVATED): _S.IN_DOUBT,
    **dict.fromkeys([(Runs.BEFORE, each) for each in _LOST], _S.REVERTED),
    **dict.fromkeys([(Runs.OTHER, each) for each in _P], _S.IN_DOUBT),
}
"""What a meter that was told to start an image proves, by what it runs and says of its transfer."""


def judge(state: MeterState, runs: Runs, progress: Progress) -> MeterState:
    """Return what an answer proves of a meter that was told to start an image, and stood so."""
    found = JUDGEMENT[runs, progress]
    # What was seen on trial and does not run any more was left, whatever the transfer says.
    return _S.REVERTED if (state, found) == (_S.TRIAL, _S.VERIFIED) else found


class CampaignState(Enum):
    """Where a campaign stands."""

    PLANNED = "planned"
    RUNNING = "running"
    PAUSED = "paused"  # by a person
    STOPPED = "stopped"  # by a rule
    CANCELLED = "cancelled"
    DONE = "done"


class Act(Enum):
    """What moves a campaign."""

    START = "start"
    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"
    STOP = "stop"  # a rule does
    FINISH = "finish"  # nothing is left to do


_C: Final = CampaignState

STEPS: Final[Mapping[tuple[CampaignState, Act], CampaignState]] = {
    (_C.PLANNED, Act.START): _C.RUNNING,
    (_C.RUNNING, Act.PAUSE): _C.PAUSED,
    (_C.RUNNING, Act.STOP): _C.STOPPED,
    (_C.RUNNING, Act.FINISH): _C.DONE,
    (_C.PAUSED, Act.RESUME): _C.RUNNING,
    (_C.STOPPED, Act.RESUME): _C.RUNNING,
    **{
        (state, Act.CANCEL): _C.CANCELLED
        for state in (_C.PLANNED, _C.RUNNING, _C.PAUSED, _C.STOPPED)
    },
}
"""What is not here is refused."""

PERSONS: Final = (Act.START, Act.PAUSE, Act.RESUME, Act.CANCEL)
OVER: Final = frozenset({_C.CANCELLED, _C.DONE})


def acts(state: CampaignState) -> tuple[Act, ...]:
    """Return what a person may do with a campaign that stands so."""
    return tuple(act for act in PERSONS if (state, act) in STEPS)
