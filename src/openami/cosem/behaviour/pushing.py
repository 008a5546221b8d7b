# SPDX-License-Identifier: Apache-2.0
"""A push setup at work: what is sent, when, how often (DLMS UA 1000-1 Ed. 12, 4.4.8).

`TRANSITIONS` is the life of one push.  It waits for a communication window and then for a random
part of the start interval; the values are read when it is sent first, and a retry sends the same
octets again.  How octets travel is the business of a `PushTransport`, which tells how it went.  A
push that is asked for while another is under way follows it, with the values of then.

Where sources say little: of version 2 on, the n-th retry comes after ``repetition_delay_min`` x
(``repetition_delay_exponent`` / 100)**(n - 1) seconds, at most ``repetition_delay_max`` unless that
is 0; a push is confirmed from ``confirmation_start_date`` on, if the last confirmation is at least
``confirmation_interval`` old.  Confirmation is waited for as long as `PushSettings` says.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol, runtime_checkable

from openami.cosem.behaviour import windows
from openami.cosem.behaviour.layers import Layers
from openami.cosem.behaviour.localtime import SECOND_US, UTC_ZONE, Zone
from openami.cosem.behaviour.selected import value_of
from openami.cosem.classes.push import (
    PushObject,
    PushOperationMethod,
    PushSetup,
    PushSetupV1,
    PushSetupV2,
    RepetitionDelay,
    SendDestinationAndMethod,
)
from openami.cosem.device import LogicalDevice
from openami.cosem.model import Refused
from openami.dlms.apdu.invocation import LongInvokeIdAndPriority
from openami.dlms.apdu.notification import DataNotification
from openami.dlms.apdu.selective import CaptureObject
from openami.dlms.data import Data, Structure
from openami.dlms.datetimes import CosemDateTime
from openami.dlms.errors import SecurityError


class PushStage(Enum):
    """How far a push has come."""

    IDLE = "nothing to send"
    WAITING = "waits for its window and its random delay"
    SENDING = "handed over, and nothing heard yet"
    AWAITING = "sent, its confirmation is awaited"
    PAUSING = "failed, to be tried again"


class PushEvent(Enum):
    """What moves a push from one state to another."""

    PUSH = "method push"
    DUE = "its time has come"
    SENT = "it went out, and no confirmation is wanted"
    SENT_TO_CONFIRM = "it went out, and a confirmation is wanted"
    CONFIRMED = "data-notification-confirm came"
    FAILED = "it did not go out, or was not confirmed in time"
    GIVEN_UP = "the same, and no retry is left"
    RESET = "method reset"


_S: Final = PushStage
_E: Final = PushEvent

TRANSITIONS: Final[Mapping[tuple[PushStage, PushEvent], PushStage]] = {
    (_S.IDLE, _E.PUSH): _S.WAITING,
    (_S.WAITING, _E.DUE): _S.SENDING,
    (_S.WAITING, _E.GIVEN_UP): _S.IDLE,  # its windows are over for good
    (_S.SENDING, _E.SENT): _S.IDLE,
    (_S.SENDING, _E.SENT_TO_CONFIRM): _S.AWAITING,
    (_S.SENDING, _E.CONFIRMED): _S.IDLE,
    (_S.SENDING, _E.FAILED): _S.PAUSING,
    (_S.SENDING, _E.GIVEN_UP): _S.IDLE,
    (_S.AWAITING, _E.CONFIRMED): _S.IDLE,
    (_S.AWAITING, _E.FAILED): _S.PAUSING,
    (_S.AWAITING, _E.GIVEN_UP): _S.IDLE,
    (_S.PAUSING, _E.DUE): _S.SENDING,
    (_S.PAUSING, _E.CONFIRMED): _S.IDLE,
    (_S.PAUSING, _E.GIVEN_UP): _S.IDLE,
    **{(stage, _E.RESET): _S.IDLE for stage in _S},
}
"""What is not here changes nothing."""


@runtime_checkable
class PushTransport(Protocol):
    """Who carries pushes; a port of the host, which tells `Pushing` how each went."""

    def send(self, destination: SendDestinationAndMethod, octets: bytes) -> None:
        """Begin to send an APDU.

        Raises:
            Refused: That cannot be begun.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PushSettings:
    """What the object does not say.

    Attributes:
        confirmation_timeout_us: How long a confirmation is awaited.
        transport_timeout_us: How long the transport may be silent.  Then a push counts as lost
            where the supporting layer confirms, and as sent where it does not.
        dated: Whether the APDU tells when it was made.
    """

    confirmation_timeout_us: int = 30 * SECOND_US
    transport_timeout_us: int = 30 * SECOND_US
    dated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PushKept:
    """What of a push setup a power cut must not lose.

    Attributes:
        unfinished: Whether a push was under way; its values are read anew.
        retries: How many were made.
        invoke_id: The last one that was used.
        confirmed_us: When the last confirmation came, microseconds UTC; None if none did.
    """

    unfinished: bool
    retries: int
    invoke_id: int
    confirmed_us: int | None


AnyPushSetup = PushSetup | PushSetupV2

NEVER: Final = CosemDateTime(year=None, month=None, day=None, hour=None, minute=None)


class Pushing:
    """The behaviour of one push setup; an actor, and a `PushSink`."""

    def __init__(  # noqa: PLR0913  ports of the host
        self,
        thing: AnyPushSetup,
        device: LogicalDevice,
        transport: PushTransport,
        *,
        entropy: Callable[[int], bytes],
        zone: Callable[[], Zone] = lambda: UTC_ZONE,
        protect: Callable[[Layers, bytes], bytes] | None = None,
        heard: Callable[[str], None] = lambda _sentence: None,
        settings: PushSettings | None = None,
    ) -> None:
        """Take up a push setup.

        Args:
            thing: The object; what a client writes to it holds from the next step on.
            device: Whose attributes are pushed.
            transport: Sends.
            entropy: Gives as many random octets as asked for.
            zone: Local time, for windows.
            protect: Puts layers of protection on an APDU (`layers.envelop`).
            heard: Hears, in sentences, what could not be read or sent.
            settings: What the object does not say.
        """
        self.thing, self.stage = thing, PushStage.IDLE
        self._device, self._transport, self._entropy = device, transport, entropy
        self._zone, self._protect, self._heard = zone, protect, heard
        self._settings = settings or PushSettings()
        self._due_us: int | None = None
        self._octets: bytes | None = None
        self._retries = self._invoke_id = self._told_us = 0
        self._confirm = self._again = False
        self._confirmed_us: int | None = None

    def due_us(self) -> int | None:
        if self.stage is PushStage.IDLE:
            return None
        return self._due_us or 0  # 0: it is not planned yet

    def push(self) -> None:
        """Send what the push object list names, or once more after the push under way."""
        if self.stage is not PushStage.IDLE:
            self._again = True
            return
        self._retries, self._octets = 0, None
        self._step(PushEvent.PUSH)

    def reset(self) -> None:
        """Forget the push under way, and when the last confirmation came."""
        self._again, self._confirmed_us = False, None
        self._step(PushEvent.RESET)

    def tick(self, now_us: int) -> None:
        if self._due_us is not None and now_us < self._told_us:
            self._due_us -= self._told_us - now_us  # the clock was set back: pauses stay as long
        self._told_us = now_us
        if self.stage is PushStage.IDLE:
            return
        if self._due_us is None:
            self._plan(now_us)
        if self._due_us is None or now_us < self._due_us:
            return
        match self.stage:
            case PushStage.WAITING | PushStage.PAUSING:
                if windows.is_open(self.thing.communication_window, now_us, self._zone()):
                    self._send(now_us)
                else:
                    self._plan(now_us)
            case PushStage.SENDING:
                if self._method is PushOperationMethod.UNCONFIRMED_RETRY_ON_FAILURE:
                    self.sent(now_us)
                else:
                    self.failed(now_us)
            case _:
                self.failed(now_us)

    def _plan(self, now_us: int) -> None:
        """Plan a start: in a window, and there after a random part of the start interval."""
        shown, zone = self.thing.communication_window, self._zone()
        start = windows.opens_us(shown, now_us, zone)
        if start is None:
            self._heard("no communication window opens any more: the push is given up")
            self._step(PushEvent.GIVEN_UP)
            return
        longest = self.thing.randomisation_start_interval * SECOND_US
        end = windows.closes_us(shown, start, zone)
        if end is not None:
            longest = min(longest, end - start - 1)
        self._due_us = start + int.from_bytes(self._entropy(8)) % (longest + 1)

    def _send(self, now_us: int) -> None:
        if self._octets is None:
            try:
                self._octets = self._apdu(now_us)
            except SecurityError as error:
                self._heard(f"the push cannot be protected: {error}")
                self._retries = self.thing.number_of_retries
                self._step(PushEvent.DUE)
                self._fail(now_us)
                return
        self._step(PushEvent.DUE)
        self._due_us = now_us + self._settings.transport_timeout_us
        try:
            self._transport.send(self.thing.send_destination_and_method, self._octets)
        except Refused as refused:
            self._heard(f"the push was not sent: {refused}")
            self.failed(now_us)

    def sent(self, now_us: int) -> None:
        """Hear that the push under way went out, as far as the supporting layer knows."""
        if self.stage is not PushStage.SENDING:
            return
        if self._confirm:
            self._step(PushEvent.SENT_TO_CONFIRM)
            self._due_us = now_us + self._settings.confirmation_timeout_us
        else:
            self._step(PushEvent.SENT)

    def failed(self, now_us: int) -> None:
        """Hear that the push under way did not go out."""
        if self.stage in {PushStage.SENDING, PushStage.AWAITING}:
            self._fail(now_us)

    def _fail(self, now_us: int) -> None:
        if self._retries >= self.thing.number_of_retries:
            self._heard(f"the push is given up after {self._retries} retries")
            self._step(PushEvent.GIVEN_UP)
            return
        self._retries += 1
        self._step(PushEvent.FAILED)
        self._due_us = now_us + self._pause_s() * SECOND_US

    def _pause_s(self) -> int:
        delay = self.thing.repetition_delay
        if not isinstance(delay, RepetitionDelay):
            return delay
        growth = self._retries - 1
        pause: int = (
            delay.repetition_delay_min * delay.repetition_delay_exponent**growth // 100**growth
        )
        return min(pause, delay.repetition_delay_max) if delay.repetition_delay_max else pause

    def confirmed(self, invoke_id: int, now_us: int) -> bool:
        """Hear a data-notification-confirm; return whether it is for the push under way.

        Args:
            invoke_id: Its long-invoke-id-and-priority.
            now_us: Calendar time, microseconds UTC.
        """
        known = LongInvokeIdAndPriority(invoke_id).long_invoke_id == self._invoke_id
        waits = (self.stage, PushEvent.CONFIRMED) in TRANSITIONS
        if not (known and waits and self._octets is not None and self._confirm):
            return False
        self._confirmed_us = now_us
        self._step(PushEvent.CONFIRMED)
        return True

    def _step(self, event: PushEvent) -> None:
        self.stage = TRANSITIONS[self.stage, event]
        self._due_us = None
        if self.stage is PushStage.IDLE:
            self._octets = None
            if self._again:
                self._again = False
                self.push()

    @property
    def _method(self) -> PushOperationMethod:
        if isinstance(self.thing, PushSetupV2):
            try:
                return PushOperationMethod(self.thing.push_operation_method)
            except ValueError:
                pass  # a manufacturer's own: as version 1, which knows one only
        return PushOperationMethod.UNCONFIRMED_RETRY_ON_FAILURE

    def _wants_confirmation(self, now_us: int) -> bool:
        thing = self.thing
        if not isinstance(thing, PushSetupV2) or self._method is not PushOperationMethod.CONFIRMED:
            return False
        begin, interval_s = thing.confirmation_parameters
        started = windows.is_unspecified(begin) or (
            windows.next_us(begin, now_us, self._zone()) is None
        )
        last = self._confirmed_us
        return started and (last is None or now_us - last >= interval_s * SECOND_US)

    def _apdu(self, now_us: int) -> bytes:
        self._confirm = self._wants_confirmation(now_us)
        self._invoke_id = (self._invoke_id + 1) & LongInvokeIdAndPriority.LARGEST_ID
        apdu = DataNotification(
            long_invoke_id_and_priority=LongInvokeIdAndPriority.of(
                self._invoke_id, confirmed=self._confirm
            ),
            date_time=self._zone().shown(now_us).encode() if self._settings.dated else b"",
            notification_body=Structure(self._value(each) for each in self.thing.push_object_list),
        ).encode()
        layers = self._layers()
        if not layers:
            return apdu
        if self._protect is None:
            problem = "push_protection_parameters name layers, and no keys are bound"
            raise SecurityError(problem, repr(self.thing), "DLMS UA 1000-1 Ed. 12, 4.4.8")
        return self._protect(layers, apdu)

    def _layers(self) -> Layers:
        if isinstance(self.thing, PushSetupV1 | PushSetupV2):
            return self.thing.push_protection_parameters
        return ()

    def _value(self, each: CaptureObject | PushObject) -> Data:
        """Return one value; null-data where it cannot be had, so that the others keep their
        place.
        """
        try:
            if isinstance(each, PushObject):
                return value_of(
                    self._device,
                    each.class_id,
                    each.logical_name,
                    each.attribute_index,
                    data_index=each.data_index,
                    restriction=each.restriction,
                    columns=each.columns,
                )
            return value_of(
                self._device,
                each.class_id,
                each.instance_id,
                each.attribute_id,
                data_index=each.data_index,
            )
        except Refused as refused:
            self._heard(f"{each} is pushed as null-data: {refused}")
            return None

    def last_confirmation(self) -> CosemDateTime:
        """Return what last_confirmation_date_time shows."""
        told = self._confirmed_us
        return NEVER if told is None else self._zone().shown(told)

    def state(self) -> PushKept:
        """Return what must not be lost."""
        return PushKept(
            unfinished=self.stage is not PushStage.IDLE,
            retries=self._retries,
            invoke_id=self._invoke_id,
            confirmed_us=self._confirmed_us,
        )

    def restore(self, kept: PushKept) -> None:
        """Go on from what was kept; a push that was under way begins anew."""
        self._invoke_id, self._confirmed_us = kept.invoke_id, kept.confirmed_us
        if kept.unfinished:
            self.push()
            self._retries = kept.retries


def push(pushing: Pushing) -> Pushing:
    """Bind a push setup of any version."""
    thing = pushing.thing
    if isinstance(thing, PushSetupV2):
        thing.bind(PushSetupV2.last_confirmation_date_time, pushing.last_confirmation)
        thing.bind_method(PushSetupV2.push, lambda _argument: pushing.push())
        thing.bind_method(PushSetupV2.reset, lambda _argument: pushing.reset())
    else:
        thing.bind_method(PushSetup.push, lambda _argument: pushing.push())
    return pushing
