# SPDX-License-Identifier: Apache-2.0
"""Clients that guess at a port that locks itself."""

from dataclasses import replace
from typing import Any

import pytest

from cosem.behaviour.test_port_protection import NOW, port
from openami.cosem.behaviour.guarding import GuardedConnection
from openami.cosem.behaviour.localtime import SECOND_US
from openami.cosem.client import Client
from openami.cosem.refusals import AssociationError, AuthenticationError
from openami.cosem.serving.watching import SecurityReport
from openami.dlms.association import State
from openami.dlms.sap import Sap
from openami.dlms.security.ciphering import Cipher
from openami.dlms.security.counters import CounterBlock
from playbooks.demo_meter import (
    KEYS,
    MANAGER,
    PUBLIC,
    READER,
    DemoMeter,
    entropy,
    parameters,
)


class LockedError(Exception):
    """No answer came."""


class Watch:
    def __init__(self) -> None:
        self.reports: list[SecurityReport] = []

    def report(self, report: SecurityReport) -> None:
        self.reports.append(report)


class Wire:
    def __init__(self, allowed: int = 2) -> None:
        self.guard = port(allowed=allowed)
        self.watch = Watch()
        self.connection = GuardedConnection(
            DemoMeter(), self.guard, entropy=entropy(), watch=self.watch
        )
        self.now_us = NOW

    def associate(self, client_sap: Sap, **changes: Any) -> None:
        client = Client(
            parameters(client_sap, **changes),
            entropy=lambda count: b"\xa5" * count,
            counters=CounterBlock(self.now_us // SECOND_US % 10**6, 2**32 - 1),
        )
        steps = client.associate()
        apdu = next(steps)
        while True:
            answer = self.connection.receive(client_sap, bytes(apdu), self.now_us)
            if answer is None:
                raise LockedError
            try:
                apdu = steps.send(answer)
            except StopIteration:
                return

    def guess(self, secret: bytes = b"wrong") -> None:
        with pytest.raises(AssociationError):
            self.associate(READER, secret=secret)


def test_guesses_lock_the_port_for_everybody() -> None:
    wire = Wire()
    for _ in range(3):
        wire.guess()
    assert len(wire.watch.reports) == 3
    for client in (READER, PUBLIC, MANAGER):
        with pytest.raises(LockedError):
            wire.associate(client)
    wire.now_us += 60 * SECOND_US
    wire.associate(READER)
    assert wire.guard.thing.failed_attempts == 0
    assert wire.guard.thing.cumulative_failed_attempts == 3


def test_associations_that_stand_go_on() -> None:
    wire = Wire(allowed=0)
    wire.associate(READER)
    with pytest.raises((AssociationError, AuthenticationError)):
        wire.associate(MANAGER, cipher=Cipher(replace(KEYS, encryption_key=bytes(16))))
    assert wire.guard.is_locked(wire.now_us)
    assert wire.connection.server.state(READER) is State.ASSOCIATED
    wrong = bytes.fromhex("c001c1000100002a0000ff0200")
    assert wire.connection.receive(READER, wrong, wire.now_us) is not None


def test_a_client_without_authentication_clears_nobody() -> None:
    wire = Wire()
    wire.guess()
    wire.guess()
    wire.associate(PUBLIC)
    assert wire.guard.thing.failed_attempts == 2
    wire.guess()
    with pytest.raises(LockedError):
        wire.associate(READER)
