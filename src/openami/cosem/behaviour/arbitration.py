# SPDX-License-Identifier: Apache-2.0
"""The arbitrator: decides between actors that ask for contrary actions (class 68, 4.5.12).

Each actor's last request is kept, less what it may not ask for.  The weights of all who ask for an
action are added; the action with the largest sum is carried out and becomes last_outcome.  If two
share the largest sum, or nobody asks for anything, nothing is done.  How actors and actions are
numbered and what a tie means are not checked twice.
"""

from typing import Any, Final

from openami.cosem.behaviour.host import Life
from openami.cosem.classes.monitoring import Arbitrator, ArbitratorRequest
from openami.cosem.model import Refused
from openami.dlms.apdu.codes import ActionResult
from openami.dlms.data import Array, BitString

FIRST: Final = 1
NO_OUTCOME: Final = 0


class Arbiter:
    """Serves one arbitrator.

    Args:
        row: The object.
        life: Its device.
        first_actor: The number of the first actor; actions are numbered from 1 in last_outcome.
    """

    def __init__(self, row: Arbitrator, life: Life, *, first_actor: int = FIRST) -> None:
        self._row = row
        self._life = life
        self._first_actor = first_actor
        self._requests: dict[int, str] = {}
        self._outcome: int = row.values.get(6, NO_OUTCOME)
        dumped = row.values.get(5)
        for actor, bits in enumerate(dumped if isinstance(dumped, Array) else ()):
            if isinstance(bits, BitString):
                self._requests[actor] = bits.bits
        row.bind(Arbitrator.most_recent_requests_table, self._table)
        row.bind(Arbitrator.last_outcome, lambda: self._outcome)
        row.bind_method(Arbitrator.request_action, self._request)
        row.bind_method(Arbitrator.reset, lambda _argument: self._reset())

    def sums(self) -> list[int]:
        """Return for each action the weights of those who ask for it."""
        weights = self._row.weightings_table
        return [
            sum(
                weights[actor][action]
                for actor, bits in self._requests.items()
                if bits[action : action + 1] == "1"
                and actor < len(weights)
                and action < len(weights[actor])
            )
            for action in range(len(self._row.actions))
        ]

    def state(self) -> tuple[tuple[tuple[int, str], ...], int]:
        """Return the last request of each actor, as bits, and the last outcome."""
        return tuple(sorted(self._requests.items())), self._outcome

    def restore(self, state: Any) -> None:  # noqa: ANN401  what `state` returned
        self._requests, self._outcome = dict(state[0]), state[1]

    def _request(self, request: ArbitratorRequest) -> None:
        actor = request.request_actor - self._first_actor
        permissions = self._row.permissions_table
        if not 0 <= actor < len(permissions):
            raise Refused(ActionResult.OBJECT_UNDEFINED)
        wanted, allowed = request.request_action_list.bits, permissions[actor].bits
        count = len(self._row.actions)
        if len(wanted) != count:
            raise Refused(ActionResult.TYPE_UNMATCHED)
        granted = "".join(
            "1" if want == may == "1" else "0"
            for want, may in zip(wanted, allowed.ljust(count, "0"), strict=False)
        )
        if "1" in wanted and "1" not in granted:
            raise Refused(ActionResult.READ_WRITE_DENIED)
        self._requests[actor] = granted
        self._decide()

    def _decide(self) -> None:
        sums = self.sums()
        largest = max(sums, default=0)
        if largest == 0 or sums.count(largest) > 1:
            return
        action = sums.index(largest)
        self._outcome = action + 1
        self._life.run(self._row.actions[action], by=self._row.logical_name, is_local=True)

    def _reset(self) -> None:
        self._requests.clear()
        self._outcome = NO_OUTCOME

    def _table(self) -> Array:
        none = "0" * len(self._row.actions)
        actors = range(len(self._row.permissions_table))
        return Array(BitString.from_bits(self._requests.get(actor, none)) for actor in actors)


def bind_arbitrator(row: Arbitrator, life: Life) -> Arbiter:
    """Bind an arbitrator to the scripts of its device."""
    return Arbiter(row, life)
