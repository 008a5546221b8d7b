# SPDX-License-Identifier: Apache-2.0
"""Cases on pushes: DataNotification, its confirmation, and the push setup (class 40).

DLMS UA 1000-2 Ed. 10, 9.4.6.8 and DLMS UA 1000-1 Ed. 12, 4.4.8; after the push test of the DLMS
UA's COSEM suite, which empties windows and delays, pushes, and expects the notification.  The meter
pushes where its push setup says: the declaration tells where that is heard.
"""

from typing import Final, NamedTuple

from openami.cosem.classes.push import PushOperationMethod, PushSetup, PushSetupV2
from openami.cosem.client import Client
from openami.cosem.conformance.case import (
    Confirm,
    Failed,
    Family,
    Group,
    Need,
    NotApplicable,
    Pushed,
    Script,
)
from openami.cosem.conformance.data_writing import keep, read_row, write_row
from openami.cosem.conformance.declaration import DeclaredPush, Row
from openami.cosem.conformance.trial import Trial, shown, understood
from openami.cosem.conformance.walk import require_method
from openami.cosem.refusals import AccessError
from openami.dlms.apdu.codes import DataAccessResult
from openami.dlms.apdu.invocation import LongInvokeIdAndPriority
from openami.dlms.apdu.notification import DataNotification, DataNotificationConfirm
from openami.dlms.data import (
    Array,
    Data,
    DateTimeOctets,
    DoubleLongUnsigned,
    Enum,
    LongUnsigned,
    OctetString,
    Structure,
    Unsigned,
)
from openami.dlms.errors import DlmsError
from openami.dlms.security.envelopes import decode_envelope, open_envelope, open_signed
from openami.dlms.security.suites import AUTHENTICATED, ENCRYPTED, SIGNED

CLAUSE: Final = "DLMS UA 1000-1 Ed. 12, 4.4.8; DLMS UA 1000-2 Ed. 10, 9.4.6.8"
CIPHERED: Final = frozenset({0xDB, 0xDD})
SIGNED_TAG: Final = 0xDF
MOST_LAYERS: Final = 8
QUIET_S: Final = 3.0
"""How long it is seen to that nothing more is pushed."""
PAST_WINDOW: Final = Array(
    (
        Structure(
            OctetString(bytes.fromhex(octets))
            for octets in ("07D10101FF000000008000FF", "07D10102FF000000008000FF")
        ),
    )
)
"""From 2001-01-01 to 2001-01-02: it opens no more."""
ANY_TIME: Final = DateTimeOctets(bytes.fromhex("FFFFFFFFFFFFFFFFFF8000FF"))
AT_ONCE: Final[tuple[tuple[int, Data], ...]] = (
    (PushSetup.communication_window.index, Array()),
    (PushSetup.randomisation_start_interval.index, LongUnsigned(0)),
)
CONFIRMED: Final[tuple[tuple[int, Data], ...]] = (
    *AT_ONCE,
    (PushSetup.number_of_retries.index, Unsigned(1)),
    (
        PushSetup.repetition_delay.index,
        Structure((LongUnsigned(1), LongUnsigned(100), LongUnsigned(1))),
    ),
    (PushSetupV2.push_operation_method.index, Enum(PushOperationMethod.CONFIRMED)),
    (PushSetupV2.confirmation_parameters.index, Structure((ANY_TIME, DoubleLongUnsigned(0)))),
)


def declared_push(trial: Trial) -> DeclaredPush:
    """Return the push setup under test."""
    if trial.declaration.push is None:
        raise NotApplicable("no push setup is declared")
    return trial.declaration.push


def push_row(trial: Trial, attribute: int) -> Row:
    """Return an attribute of the push setup."""
    setup = declared_push(trial).setup
    return Row(class_id=PushSetup.class_id, logical_name=setup, attribute=attribute)


def opened(trial: Trial) -> Script[tuple[Client, int]]:
    """Open the association that may push; return also the version of the push setup."""
    client = yield from trial.opened()
    setup = declared_push(trial).setup
    element = yield from require_method(
        trial, client, PushSetup.class_id, setup, PushSetup.push.index
    )
    return client, element.version


def push(trial: Trial, client: Client) -> Script[None]:
    """Invoke method push."""
    try:
        yield from trial.steps(client.act(PushSetup.push, 0, at=declared_push(trial).setup))
    except AccessError as error:
        raise Failed(f"method push: {error}") from None


class Layer(NamedTuple):
    """One layer of protection that was taken off: bits of the security control, and `SIGNED`."""

    tag: int
    bits: int


def unwrapped(trial: Trial, octets: bytes) -> tuple[DataNotification, list[Layer]]:
    """Return the notification that a push holds, and the layers it came in, outermost first.

    Raises:
        Failed: A layer cannot be taken off with the keys of the association, or it holds no
            notification.
        NotApplicable: The association has no keys for it.
    """
    layers: list[Layer] = []
    aa = trial.aa
    while octets[:1] and octets[0] in {*CIPHERED, SIGNED_TAG} and len(layers) < MOST_LAYERS:
        try:
            if octets[0] == SIGNED_TAG:
                if aa.credentials is None:
                    raise NotApplicable("pushes are signed, and no key of the meter is declared")
                layers.append(Layer(octets[0], SIGNED))
                octets = open_signed(aa.credentials, octets).content
                continue
            if aa.cipher is None:
                raise NotApplicable("pushes are ciphered, and this association has no keys")
            envelope = decode_envelope(octets)
            tag = octets[0]
            octets, protection = open_envelope(
                aa.cipher,
                envelope,
                required=0,
                form=aa.general_header,
                credentials=aa.credentials,
            )
        except DlmsError as error:
            raise Failed(f"the push cannot be opened: {error}") from None
        layers.append(Layer(tag, protection.control & (AUTHENTICATED | ENCRYPTED)))
    found = understood(octets)
    if not isinstance(found, DataNotification):
        raise Failed(f"{shown(octets)} was pushed; a data-notification is due")
    return found, layers


def heard(said: str, seconds: float) -> Script[bytes]:
    """Wait for a push; return its octets.

    Raises:
        Failed: None comes in time.
    """
    octets = yield Pushed(seconds)
    if octets is None:
        raise Failed(f"nothing came within {seconds:g} s {said}; a data-notification is due")
    return octets


def awaited(trial: Trial, said: str, seconds: float) -> Script[DataNotification]:
    """Wait for a push; return what it says."""
    octets = yield from heard(said, seconds)
    return unwrapped(trial, octets)[0]


def written(trial: Trial, client: Client, wanted: tuple[tuple[int, Data], ...]) -> Script[None]:
    """Write attributes of the push setup, which are written back when the case is over."""
    for attribute, value in wanted:
        row = push_row(trial, attribute)
        former = yield from read_row(trial, client, row)
        if former == value:
            continue
        result = yield from write_row(trial, client, row, value)
        if result != DataAccessResult.SUCCESS:
            raise NotApplicable(f"{row} may not be written: {result}")
        keep(trial, row, former)


def _outside_window(trial: Trial) -> Script[str | None]:
    client, _ = yield from opened(trial)
    yield from written(trial, client, AT_ONCE)
    window = push_row(trial, PushSetup.communication_window.index)
    result = yield from write_row(trial, client, window, PAST_WINDOW)
    if result != DataAccessResult.SUCCESS:
        raise NotApplicable(f"{window} may not be written: {result}")
    keep(trial, window, Array())
    try:
        yield from push(trial, client)
        said = "method push was taken, and nothing came"
    except Failed as refused:
        said = f"{refused}, and nothing came"
    if (early := (yield Pushed(QUIET_S))) is not None:
        raise Failed(f"{shown(early)} was pushed outside of the communication window")
    result = yield from write_row(trial, client, window, Array())
    if result != DataAccessResult.SUCCESS:
        raise Failed(f"{result} came to SET of {window} with no window")
    yield from push(trial, client)
    yield from awaited(trial, "after method push without a window", declared_push(trial).within_s)
    return said


def _pushed(trial: Trial) -> Script[str | None]:
    client, _ = yield from opened(trial)
    listed = yield from read_row(trial, client, push_row(trial, PushSetup.push_object_list.index))
    yield from push(trial, client)
    found = yield from awaited(trial, "after method push", declared_push(trial).within_s)
    body = found.notification_body
    wanted = len(listed) if isinstance(listed, list | tuple) else 0
    if not isinstance(body, list | tuple) or len(body) != wanted:
        size = len(body) if isinstance(body, list | tuple) else "no"
        raise Failed(f"{size} values were pushed; the push object list names {wanted}")
    return f"{wanted} values were pushed"


def _confirmation(found: DataNotification, *, other: int = 0) -> bytes:
    told = found.long_invoke_id_and_priority
    number = (told.long_invoke_id + other) & LongInvokeIdAndPriority.LARGEST_ID
    return DataNotificationConfirm(
        long_invoke_id_and_priority=LongInvokeIdAndPriority.of(number, confirmed=True)
    ).encode()


def _to_confirm(trial: Trial) -> Script[tuple[Client, DataNotification, Data]]:
    """Let a push be confirmed; return it, and when the last confirmation came before."""
    client, version = yield from opened(trial)
    if version < PushSetupV2.version:
        raise NotApplicable(f"pushes are confirmed from version 2 on; it is version {version}")
    yield from written(trial, client, CONFIRMED)
    last = push_row(trial, PushSetupV2.last_confirmation_date_time.index)
    before = yield from read_row(trial, client, last)
    yield from push(trial, client)
    found = yield from awaited(trial, "after method push", declared_push(trial).within_s)
    if not found.long_invoke_id_and_priority.confirmed:
        raise Failed("the notification asks for no confirmation, though the push setup does")
    return client, found, before


def _confirmed(trial: Trial) -> Script[str | None]:
    client, found, before = yield from _to_confirm(trial)
    yield Confirm(_confirmation(found))
    if (again := (yield Pushed(QUIET_S))) is not None:
        raise Failed(f"{shown(again)} was pushed after the confirmation; nothing is due")
    last = push_row(trial, PushSetupV2.last_confirmation_date_time.index)
    after = yield from read_row(trial, client, last)
    if not isinstance(after, bytes) or after == before or bytes(after) == ANY_TIME:
        raise Failed("last_confirmation_date_time does not show the confirmation")
    return None


def _again(trial: Trial) -> Script[str | None]:
    _, found, _ = yield from _to_confirm(trial)
    yield Confirm(_confirmation(found, other=1))
    second = yield from awaited(trial, "without a confirmation", declared_push(trial).retry_s)
    ids = [each.long_invoke_id_and_priority.long_invoke_id for each in (found, second)]
    if ids[0] != ids[1] or second.notification_body != found.notification_body:
        raise Failed(f"the retry has long-invoke-id {ids[1]}; {ids[0]} with the same values is due")
    yield Confirm(_confirmation(second))
    return f"long-invoke-id {ids[0]} came twice"


push_case = Family(
    prefix="PUSH_", group=Group.PUSH, needs=(Need.LN, Need.PUSH, Need.GET, Need.ACTION)
).case


CASES: Final = (
    push_case(
        "P1",
        "method push sends what the push object list names",
        CLAUSE,
        "GET push_object_list; push",
        "a data-notification whose structure has a value for each element of the list",
        _pushed,
    ),
    push_case(
        "P2_CONFIRMED",
        "a push that is confirmed",
        CLAUSE,
        "SET push_operation_method 2 without windows and delays; push; data-notification-confirm",
        "a notification that asks for confirmation, once; last_confirmation_date_time tells of it",
        _confirmed,
        Need.SET,
        Need.PUSH_CONFIRM,
        changes=True,
    ),
    push_case(
        "P3_RETRY",
        "a push that is not confirmed",
        CLAUSE,
        "the same; data-notification-confirm with another long-invoke-id",
        "the notification again, with the same long-invoke-id and values",
        _again,
        Need.SET,
        Need.PUSH_CONFIRM,
        changes=True,
        slow=True,
    ),
    push_case(
        "P4_WINDOW",
        "nothing is pushed outside of the communication window",
        CLAUSE,
        "SET communication_window to a day of 2001; push; SET no window; push",
        "nothing, whatever comes to the method; then a notification",
        _outside_window,
        Need.SET,
        changes=True,
    ),
)
