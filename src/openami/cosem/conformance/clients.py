# SPDX-License-Identifier: Apache-2.0
"""Cases on more than one client at a time, each on a connection of its own.

DLMS UA 1000-2 Ed. 10, 9.4.2: an association belongs to one pair of client and server.  No clause
obliges a meter to take a second connection; one that does must keep the two apart.  On a serial
line two clients share the line itself: `hdlc_shared`.
"""

from dataclasses import replace
from typing import Final, TypeVar

from openami.cosem.client import Client
from openami.cosem.conformance.answers import refused
from openami.cosem.conformance.case import (
    Beside,
    Connect,
    Exchange,
    Failed,
    Family,
    Group,
    Hangup,
    Inconclusive,
    LineLost,
    Need,
    NotApplicable,
    Script,
)
from openami.cosem.conformance.data_ln import OBJECT_LIST, SHORT_PDU_OCTETS, short_pdu_octets
from openami.cosem.conformance.trial import PROBE, PROBE_SN, Trial, shown

CLAUSE: Final = "DLMS UA 1000-2 Ed. 10, 9.4.2"
T = TypeVar("T")


def beside(script: Script[T]) -> Script[T]:
    """Hold a conversation on the second connection."""
    answer: bytes | None = None
    lost: LineLost | None = None
    started = False
    while True:
        try:
            if lost is not None:
                ask = script.throw(lost)
            else:
                ask = script.send(answer) if started else next(script)
        except StopIteration as stop:
            result: T = stop.value
            return result
        started, lost = True, None
        if not isinstance(ask, Connect | Exchange | Hangup):
            raise TypeError(f"{type(ask).__name__} has no place on a second connection")
        try:
            answer = yield Beside(ask)
        except LineLost as error:
            lost = error


def second(trial: Trial) -> Trial:
    """Return the same trial for the first other client that is declared."""
    for association in trial.declaration.associations:
        if association.client_sap != trial.aa.client_sap:
            return replace(trial, association=association)
    raise NotApplicable("the declaration names no second client")


def _take_second(other: Trial) -> Script[None]:
    """Make the second connection.

    Raises:
        NotApplicable: The meter takes one connection at a time.
    """
    try:
        yield Beside(Connect(other.aa.client_sap))
    except LineLost as lost:
        raise NotApplicable(f"no second connection stands beside the first: {lost}") from None


def _opened_beside(trial: Trial) -> Script[tuple[Client, Trial, Client]]:
    """Open the association, and that of a second client beside it."""
    client = yield from trial.opened()
    other = second(trial)
    yield from _take_second(other)
    guest = other.client()
    try:
        yield from beside(other.steps(guest.associate()))
    except Failed as failed:
        raise NotApplicable(f"the meter serves no second client: {failed}") from None
    return client, other, guest


def _read(trial: Trial, client: Client, whose: str) -> Script[None]:
    try:
        probe = PROBE_SN if trial.aa.short_names else PROBE
        yield from trial.steps(client.get_raw(*probe))
    except (Failed, LineLost, Inconclusive) as error:
        raise Failed(f"the association of {whose} did not stand: {error}") from None


def _side_by_side(trial: Trial) -> Script[str | None]:
    client, other, guest = yield from _opened_beside(trial)
    name = other.aa.name
    yield from _read(trial, client, trial.aa.name)
    yield from beside(_read(other, guest, name))
    yield from _read(trial, client, trial.aa.name)
    yield Beside(Hangup())
    yield from _read(trial, client, f"{trial.aa.name}, {name} having hung up,")
    return f"{trial.aa.name} and {name} had an association each"


def _not_for_others(trial: Trial) -> Script[str | None]:
    client = yield from trial.opened()
    other = second(trial)
    yield from _take_second(other)
    said = f"a read of {other.aa.name}, which has opened nothing,"
    try:
        answer = yield Beside(Exchange(other.simple_read))
    except LineLost:
        came = "the end of the connection"
    else:
        refused(answer, said, silence=True, error=True)
        came = shown(answer)
    yield from _read(trial, client, trial.aa.name)
    return f"{came} came to {other.aa.name}"


def _blocks(trial: Trial) -> Script[str | None]:
    client = yield from trial.opened()
    whole = yield from trial.steps(client.get_raw(*OBJECT_LIST))
    if len(whole) <= short_pdu_octets(trial):
        raise NotApplicable("the object list is too short to come in blocks")
    other = second(trial)
    yield from _take_second(other)
    guest = other.client()
    client = trial.client(max_receive_pdu_octets=short_pdu_octets(trial))
    yield from trial.steps(client.associate())
    try:
        yield from beside(other.steps(guest.associate()))
    except Failed as failed:
        raise NotApplicable(f"the meter serves no second client: {failed}") from None
    conversation = client.get_raw(*OBJECT_LIST)
    exchanges = 0
    try:
        request = next(conversation)
        while True:
            answer = yield Exchange(request)
            if answer is None:
                conversation.close()
                raise Failed(f"silence came to {shown(request)} beside a second client")
            yield from beside(_read(other, guest, other.aa.name))
            exchanges += 1
            request = conversation.send(answer)
    except StopIteration as stop:
        parts: bytes = stop.value
    if parts != whole:
        raise Failed(f"{len(parts)} octets came in blocks, other than the {len(whole)} at once")
    return f"{exchanges} blocks came between as many reads of {other.aa.name}"


_case = Family(prefix="APPL_CLIENTS_", group=Group.CLIENTS, needs=(Need.CLIENTS,)).case


CASES: Final = (
    _case(
        "P",
        "two clients have an association each",
        CLAUSE,
        "two connections, AARQ of a client on each; reads in turn; one hangs up; a read",
        "data for each, also after the other has left; a meter may take one connection only",
        _side_by_side,
    ),
    _case(
        "N",
        "the association of one client serves no other",
        CLAUSE,
        "AARQ of one client; on a second connection a read of another without an AARQ",
        "no data, and the first association goes on",
        _not_for_others,
    ),
    _case(
        "BLOCKS",
        "blocks of one client and reads of another do not mix",
        CLAUSE,
        f"GET of the object list with APDUs of {SHORT_PDU_OCTETS} octets, a second client's "
        "reads between",
        "the same octets as at once",
        _blocks,
        Need.LN,
        Need.GET,
        Need.GET_BLOCKS,
    ),
)
