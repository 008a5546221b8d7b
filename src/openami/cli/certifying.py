# SPDX-License-Identifier: Apache-2.0
"""The authority of an AMI, for meters that make their own key pairs when they are personalised."""

from pathlib import Path

from openami.device.secure.personal import Certify
from openami.lifecycle.authority import Authority
from openami.lifecycle.certifying import certifies
from openami.meter.config import MeterConfig
from openami.runtime.layout import Layout
from openami.transport.tls import Role


def certifier(home: Path) -> Certify:
    """Return who certifies the key pairs of the meter in `home`.

    The authority is looked for when the first request comes, beside the folder of the meters: a
    meter of suite 0 asks for nothing and needs none.
    """

    def certify(usage: int, request: bytes) -> bytes:
        authority = Authority.load(Layout(home.parent.parent).authority)
        return certifies(authority, MeterConfig.load(home).title, Role.METER)(usage, request)

    return certify
