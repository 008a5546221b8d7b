# SPDX-License-Identifier: Apache-2.0
"""What a simulated meter does for classes whose behaviour has no row in `behaviour.bindings` yet.

A push setup pushes when it is told to.  A row of `bindings` takes the place of one here.
"""

from collections.abc import Mapping
from typing import Final

from openami.cosem.behaviour.bindings import BEHAVIOURS, Behaviour
from openami.cosem.behaviour.host import Life
from openami.cosem.model import Refused
from openami.cosem.push import PushSetup
from openami.dlms.apdu.codes import ActionResult


def _push(setup: PushSetup, life: Life) -> None:
    sink = life.host.push(setup.values[1])

    def push(_argument: object) -> None:
        if sink is None:
            raise Refused(ActionResult.OBJECT_UNAVAILABLE)
        sink.push()

    setup.bind_method(PushSetup.push, push)


TABLE: Final[Mapping[int, Behaviour]] = {
    PushSetup.class_id: Behaviour(PushSetup.class_id, (0, 1, 2, 3), _push)
} | dict(BEHAVIOURS)
"""By class_id: what `bindings` has, and the stand-ins for the rest."""
