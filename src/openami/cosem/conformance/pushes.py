# SPDX-License-Identifier: Apache-2.0
"""Cases on pushes: DataNotification, its confirmation, and the push setup (class 40).

DLMS UA 1000-2 Ed. 10, 9.4.6.8 and DLMS UA 1000-1 Ed. 12, 4.4.8; after the push test of the DLMS
UA's COSEM suite, which empties windows and delays, pushes, and expects the notification.  The meter
pushes where its push setup says: the declaration tells where that is heard.
"""

from collections.abc import Callable
from typing import Final

from openami.cosem.classes.push import PushOperationMethod, PushSetup, PushSetupV2
from openami.cosem.client import Client
from openami.cosem.conformance.case import (
    Case,
    Confirm,
    Failed,
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
from openami.dlms.apdu.fields import LongInvokeIdAndPriority
from openami.dlms.apdu.notification import DataNotification, DataNotificationConfirm
from openami.dlms.data import (
    Array,
    Data,
    DateTimeOctets,
    DoubleLongUnsigned,
    Enum,
    LongUnsigned,
    Structure,
    Unsigned,
)
from openami.dlms.errors import DlmsError
from openami.dlms.security.envelopes import decode_envelope, open_envelope

CLAUSE: Final = "DLMS UA 1000-1 Ed. 12, 4.4.8; DLMS UA 1000-2 Ed. 10, 9.4.6.8"
CIPHERED: Final = frozenset({0xDB, 0xDD})
QUIET_S: Final = 3.0
"""How long it is seen to that nothing more is pushed."""
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


def _declared(trial: Trial) -> DeclaredPush:
    if trial.declaration.push is None:
        raise NotApplicable("no push setup is declared")
    return trial.declaration.push


def _row(trial: Trial, attribute: int) -> Row:
    setup = _declared(trial).setup
    return Row(class_id=PushSetup.class_id, logical_name=setup, attribute=attribute)


def _opened(trial: Trial) -> Script[tuple[Client, int]]:
    """Open the association that may push; return also the version of the push setup."""
    client = yield from trial.opened()
    setup = _declared(trial).setup
    element = yield from require_method(
        trial, client, PushSetup.class_id, setup, PushSetup.push.index
    )
    return client, element.version


def _push(trial: Trial, client: Client) -> Script[None]:
    try:
        yield from trial.steps(client.act(PushSetup.push, 0, at=_declared(trial).setup))
    except AccessError as error:
        raise Failed(f"method push: {error}") from None


def _notification(trial: Trial, octets: bytes) -> DataNotification:
    """Return the notification that a push holds, opened with the keys of the association."""
    plain = octets
    if octets[:1] and octets[0] in CIPHERED:
        cipher = trial.aa.cipher
        if cipher is None:
            raise NotApplicable("pushes are ciphered, and this association has no keys for them")
        try:
            plain, _ = open_envelope(
                cipher, decode_envelope(octets), required=0, credentials=trial.aa.credentials
            )
        except DlmsError as error:
            raise Failed(f"the push cannot be opened: {error}") from None
    found = understood(plain)
    if not isinstance(found, DataNotification):
        raise Failed(f"{shown(plain)} was pushed; a data-notification is due")
    return found


def _awaited(trial: Trial, said: str, seconds: float) -> Script[DataNotification]:
    octets = yield Pushed(seconds)
    if octets is None:
        raise Failed(f"nothing came within {seconds:g} s {said}; a data-notification is due")
    return _notification(trial, octets)


def _written(trial: Trial, client: Client, wanted: tuple[tuple[int, Data], ...]) -> Script[None]:
    """Write attributes of the push setup, which are written back when the case is over."""
    for attribute, value in wanted:
        row = _row(trial, attribute)
        former = yield from read_row(trial, client, row)
        if former == value:
            continue
        result = yield from write_row(trial, client, row, value)
        if result != DataAccessResult.SUCCESS:
            raise NotApplicable(f"{row} may not be written: {result}")
        keep(trial, row, former)


def _pushed(trial: Trial) -> Script[str | None]:
    client, _ = yield from _opened(trial)
    listed = yield from read_row(trial, client, _row(trial, PushSetup.push_object_list.index))
    yield from _push(trial, client)
    found = yield from _awaited(trial, "after method push", _declared(trial).within_s)
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
    client, version = yield from _opened(trial)
    if version < PushSetupV2.version:
        raise NotApplicable(f"pushes are confirmed from version 2 on; it is version {version}")
    yield from _written(trial, client, CONFIRMED)
    last = _row(trial, PushSetupV2.last_confirmation_date_time.index)
    before = yield from read_row(trial, client, last)
    yield from _push(trial, client)
    found = yield from _awaited(trial, "after method push", _declared(trial).within_s)
    if not found.long_invoke_id_and_priority.confirmed:
        raise Failed("the notification asks for no confirmation, though the push setup does")
    return client, found, before


def _confirmed(trial: Trial) -> Script[str | None]:
    client, found, before = yield from _to_confirm(trial)
    yield Confirm(_confirmation(found))
    if (again := (yield Pushed(QUIET_S))) is not None:
        raise Failed(f"{shown(again)} was pushed after the confirmation; nothing is due")
    last = _row(trial, PushSetupV2.last_confirmation_date_time.index)
    after = yield from read_row(trial, client, last)
    if after in {before, ANY_TIME}:
        raise Failed("last_confirmation_date_time does not show the confirmation")
    return None


def _again(trial: Trial) -> Script[str | None]:
    _, found, _ = yield from _to_confirm(trial)
    yield Confirm(_confirmation(found, other=1))
    second = yield from _awaited(trial, "without a confirmation", _declared(trial).retry_s)
    ids = [each.long_invoke_id_and_priority.long_invoke_id for each in (found, second)]
    if ids[0] != ids[1] or second.notification_body != found.notification_body:
        raise Failed(f"the retry has long-invoke-id {ids[1]}; {ids[0]} with the same values is due")
    yield Confirm(_confirmation(second))
    return f"long-invoke-id {ids[0]} came twice"


def _case(  # noqa: PLR0913  a row of the table
    name: str,
    title: str,
    steps: str,
    accepts: str,
    script: Callable[[Trial], Script[str | None]],
    *needs: Need,
    slow: bool = False,
    changes: bool = False,
) -> Case:
    return Case(
        id=f"PUSH_{name}",
        group=Group.PUSH,
        title=title,
        clause=CLAUSE,
        needs=(Need.LN, Need.PUSH, Need.GET, Need.ACTION, *needs),
        steps=steps,
        accepts=accepts,
        script=script,
        slow=slow,
        changes=changes,
    )


CASES: Final = (
    _case(
        "P1",
        "method push sends what the push object list names",
        "GET push_object_list; push",
        "a data-notification whose structure has a value for each element of the list",
        _pushed,
    ),
    _case(
        "P2_CONFIRMED",
        "a push that is confirmed",
        "SET push_operation_method 2 without windows and delays; push; data-notification-confirm",
        "a notification that asks for confirmation, once; last_confirmation_date_time tells of it",
        _confirmed,
        Need.SET,
        changes=True,
    ),
    _case(
        "P3_RETRY",
        "a push that is not confirmed",
        "the same; data-notification-confirm with another long-invoke-id",
        "the notification again, with the same long-invoke-id and values",
        _again,
        Need.SET,
        changes=True,
        slow=True,
    ),
)
