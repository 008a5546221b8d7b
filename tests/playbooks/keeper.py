# SPDX-License-Identifier: Apache-2.0
"""Who keeps what an administrator of a test meter changed."""

from openami.cosem.device import AssociationPolicy
from openami.cosem.model import Refused
from openami.dlms.apdu.codes import ActionResult


class Keeper:
    def __init__(self) -> None:
        self.kept: list[tuple[int, AssociationPolicy]] = []
        self.refuses = False

    def keep(self, client_sap: int, policy: AssociationPolicy) -> None:
        if self.refuses:
            raise Refused(ActionResult.TEMPORARY_FAILURE)
        self.kept.append((client_sap, policy))

    @property
    def secrets(self) -> list[bytes]:
        return [policy.secret for _, policy in self.kept]
