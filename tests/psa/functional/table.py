# SPDX-License-Identifier: Apache-2.0
"""A case of the functional tests as a value: what is asked in turn, and what must come.

Functions are named as in `device.secure.calls`, which are PSA's names.  A word among the arguments
stands for a result that an earlier step gave: ``ask("import_key", KEY, octets, to="key")`` and then
``ask("export_key", "key")``.  `RESTART` and its like are asked of the device under test, not of
the API.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from openami.device.secure.calls import Kind
from openami.device.secure.codec import Value
from openami.psa.status import PsaError, Status

RESTART: Final = "restart"
KEEP_FLASH: Final = "keep flash"
OLD_FLASH: Final = "old flash"
"""The flash that was kept comes back, while the counter stays where it is."""


class Api(Protocol):
    """What is under test."""

    point: bytes
    """04 || x || y of the attestation key."""

    def call(self, name: str, *arguments: Value) -> tuple[Value, ...]:
        """Call a function by its name; raise `PsaError` where it is refused."""

    def device(self, event: str) -> None:
        """Let something happen to the device."""


Argument: TypeAlias = Value | str
Check: TypeAlias = Callable[[Api, tuple[Value, ...]], object]


@dataclass(frozen=True, slots=True)
class Ask:
    """One call.

    Attributes:
        status: What it must come to.
        gives: What it must return: one value, a tuple of several, or a check that asserts; None
            where anything will do.
        to: Under which word its results stand afterwards.
    """

    name: str
    arguments: tuple[Argument, ...]
    status: Status = Status.SUCCESS
    gives: Value | tuple[Value, ...] | Check | None = None
    to: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """One case.

    Attributes:
        after: The test of the public suite whose checks it follows; `own` for one of ours.
        name: What is tried.
        asks: In turn; mostly the last is what the case is about.
        over_the_wall: Whether it can be tried over a wall, whose caller cannot touch the flash.
    """

    after: str
    name: str
    asks: tuple[Ask, ...]
    over_the_wall: bool = True

    def __str__(self) -> str:
        return f"{self.after}: {self.name}"

    @property
    def restarts(self) -> bool:
        """Whether the device has to start anew in between."""
        return any(each.name == RESTART for each in self.asks)


@dataclass(frozen=True, slots=True)
class Group:
    """Cases of one kind.

    Attributes:
        title: Of the group.
        cases: The rows.
        left_out: What of the public suite has no case here, and why.
    """

    title: str
    cases: tuple[Case, ...]
    left_out: str


def case(after: str, name: str, *asks: Ask | Iterable[Ask], over_the_wall: bool = True) -> Case:
    """Return a case; steps that belong together may come as one."""
    flat: list[Ask] = []
    for each in asks:
        flat += [each] if isinstance(each, Ask) else each
    return Case(after, name, tuple(flat), over_the_wall)


def ask(
    name: str,
    *arguments: Argument,
    status: Status = Status.SUCCESS,
    gives: Value | tuple[Value, ...] | Check | None = None,
    to: str = "",
) -> Ask:
    return Ask(name, arguments, status, gives, to)


def opened(kind: Kind, to: str = "op") -> Ask:
    """Open a multi-part operation."""
    return ask("operation_open", kind.value, to=to)


def device(event: str, status: Status = Status.SUCCESS) -> Ask:
    """Let something happen to the device; with a status, the start that follows is refused."""
    return Ask(event, (), status)


def run(api: Api, tried: Case) -> None:
    """Try a case."""
    known: dict[str, Value] = {}
    for step in tried.asks:
        found: tuple[Value, ...] = ()
        try:
            if step.name in {RESTART, KEEP_FLASH, OLD_FLASH}:
                api.device(step.name)
            else:
                found = api.call(
                    step.name,
                    *(known[each] if isinstance(each, str) else each for each in step.arguments),
                )
        except PsaError as error:
            if error.status is not step.status:
                raise AssertionError(f"{step.name}: {error}") from None
            continue
        assert step.status is Status.SUCCESS, f"{step.name} was not refused"
        if callable(step.gives):
            step.gives(api, found)
        elif step.gives is not None:
            assert found == (step.gives if isinstance(step.gives, tuple) else (step.gives,))
        if step.to:
            known[step.to] = found[0]
            known |= {f"{step.to}.{place}": value for place, value in enumerate(found)}


def octets(length: int) -> Check:
    """Return a check that the first result has so many octets."""

    def check(_: Api, found: tuple[Value, ...]) -> None:
        assert isinstance(found[0], bytes)
        assert len(found[0]) == length

    return check
