# SPDX-License-Identifier: Apache-2.0
"""Who may associate with a meter: a row for each client, and what each may do."""

from dataclasses import replace
from typing import Final

from openami.cosem.device import AssociationPolicy, LogicalDevice, PreEstablished
from openami.cosem.serving.broadcasts import GroupProtector, broadcast_client
from openami.dlms.hls import Mechanism
from openami.dlms.sap import CLIENT_MANAGEMENT_PROCESS, PUBLIC_CLIENT
from openami.exchange.uplink import BROADCAST_CLIENT
from openami.meter.config import MeterConfig
from openami.meter.keys import Security
from openami.meter.objects import (
    BROADCAST_GRANTS,
    MANAGER_GRANTS,
    PUBLIC_GRANTS,
    READER_GRANTS,
    SEALED_CLIENT,
    SEALED_GRANTS,
)

READER_CLIENT: Final = 32


def clients_of(
    config: MeterConfig, security: Security, *, plain: bool
) -> tuple[AssociationPolicy, ...]:
    """Return who may associate by way of the concentrator, or of the `plain` listeners."""
    public = AssociationPolicy(client_sap=PUBLIC_CLIENT, grants=PUBLIC_GRANTS)
    manager = AssociationPolicy(
        client_sap=CLIENT_MANAGEMENT_PROCESS,
        mechanism=(
            Mechanism.HLS_ECDSA if security.ciphering.cipher.keys.suite else Mechanism.HLS_GMAC
        ),
        ciphering=security.ciphering,
        credentials=security.credentials(),
        grants=MANAGER_GRANTS,
    )
    if plain:
        third = AssociationPolicy(
            client_sap=READER_CLIENT,
            mechanism=Mechanism.LLS,
            is_password=security.is_password,
            grants=READER_GRANTS,
        )
    else:
        third = AssociationPolicy(
            client_sap=SEALED_CLIENT,
            ciphering=security.ciphering,
            grants=SEALED_GRANTS,
            pre_established=PreEstablished(client_title=config.head_end_title),
        )
    return public, manager, third


def hear_broadcasts(device: LogicalDevice, config: MeterConfig, security: Security) -> None:
    """Let a meter take blocks of images that go to all of its group."""
    group = GroupProtector(security.group.take)
    device.associations[BROADCAST_CLIENT] = broadcast_client(
        BROADCAST_CLIENT, group, config.head_end_title, BROADCAST_GRANTS
    )


def renew_credentials(device: LogicalDevice, security: Security) -> None:
    """Let the next association of the manager have the certificates as they are now."""
    held = device.associations[CLIENT_MANAGEMENT_PROCESS]
    renewed = replace(held, credentials=security.credentials())
    device.associations[CLIENT_MANAGEMENT_PROCESS] = renewed
