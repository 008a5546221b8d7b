# SPDX-License-Identifier: Apache-2.0
"""A server behind a port that locks itself (DLMS UA 1000-1 Ed. 12, 4.4.12).

While the port is locked nobody associates over it: requests to do so are not answered, and what
goes on in associations that stand goes on.  A failure is a wrong password or secret, a user that is
not on the list, or protection that does not open where there is no association yet.  Success is an
association whose client has authenticated; one without authentication proves nothing, and leaves
the failures of others counted.
"""

from typing import Final

from openami.cosem.behaviour.port_protection import PortProtection
from openami.cosem.device import LogicalDevice
from openami.cosem.server import ServerConnection
from openami.cosem.serving.watching import SecurityIncident, SecurityReport, SecurityWatch
from openami.dlms.association import State
from openami.dlms.hls import Mechanism
from openami.dlms.security.curves import Entropy

_FAILURES: Final = frozenset(
    {SecurityIncident.AUTHENTICATION_FAILED, SecurityIncident.USER_REFUSED}
)


class GuardedConnection:
    """One connection over a guarded port; a `SecurityWatch` of its own server.

    Attributes:
        server: Serves; what it does beside answering is asked of it directly.
    """

    def __init__(
        self,
        device: LogicalDevice,
        guard: PortProtection,
        *,
        entropy: Entropy,
        watch: SecurityWatch | None = None,
    ) -> None:
        """Serve `device` while `guard` lets anybody in.

        Args:
            device: Its objects and who may associate.
            guard: The port's protection.
            entropy: Gives the challenges.
            watch: Is told what this connection is told.
        """
        self._device, self._guard, self._watch = device, guard, watch
        self._now_us = 0
        self.server = ServerConnection(device, entropy=entropy, watch=self)

    def receive(self, client_sap: int, apdu: bytes, now_us: int) -> bytes | None:
        """Return the answer to one APDU; None where the client wants none or the port is locked.

        Args:
            client_sap: Who sends.
            apdu: What.
            now_us: Calendar time, microseconds UTC.
        """
        self._now_us = now_us
        before = self.server.state(client_sap)
        if before is not State.ASSOCIATED and self._guard.is_locked(now_us):
            return None
        answer = self.server.receive(client_sap, apdu)
        if before is not State.ASSOCIATED and self._has_authenticated(client_sap):
            self._guard.succeeded()
        return answer

    def _has_authenticated(self, client_sap: int) -> bool:
        policy = self._device.associations.get(client_sap)
        return (
            policy is not None
            and policy.mechanism is not Mechanism.LOWEST
            and self.server.state(client_sap) is State.ASSOCIATED
        )

    def report(self, report: SecurityReport) -> None:
        """Take note of a failure, and pass the report on."""
        is_open = self.server.state(report.client_sap) is State.ASSOCIATED
        undeciphered = report.incident is SecurityIncident.NOT_DECIPHERED and not is_open
        if report.incident in _FAILURES or undeciphered:
            self._guard.failed(self._now_us)
        if self._watch is not None:
            self._watch.report(report)
