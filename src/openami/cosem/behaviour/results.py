# SPDX-License-Identifier: Apache-2.0
"""Refusals of attributes as results of a method, where a method reads or writes them."""

from collections.abc import Callable
from typing import Final, TypeVar

from openami.cosem.kinds import KindError
from openami.cosem.model import Refused
from openami.dlms.apdu.codes import ActionResult

A = TypeVar("A")
R = TypeVar("R")

_RESULTS: Final = frozenset(ActionResult)


def as_action(action: Callable[[A], R]) -> Callable[[A], R]:
    """Return `action` so that it refuses with action results only."""

    def carried_out(argument: A) -> R:
        try:
            return action(argument)
        except Refused as refused:
            known = int(refused.result) in _RESULTS
            raise Refused(
                ActionResult(int(refused.result)) if known else ActionResult.OTHER_REASON
            ) from None
        except KindError:
            raise Refused(ActionResult.TYPE_UNMATCHED) from None

    return carried_out


def no_argument(action: Callable[[], None]) -> Callable[[int], None]:
    """Return `action` for a method whose argument is an integer without meaning."""
    return lambda _argument: action()
