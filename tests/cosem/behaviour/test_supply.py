# SPDX-License-Identifier: Apache-2.0
from cosem.behaviour.life import World
from openami.cosem.behaviour.hosted_payment import NoSupply
from openami.cosem.behaviour.supply import ArbitratedSupply, OwnSupply, Supply
from openami.cosem.classes.disconnect import DisconnectControl, Disconnector
from openami.cosem.classes.monitoring import Arbitrator, ArbitratorRequest
from openami.cosem.classes.tariff import ActionSpecification, Script, ScriptTable
from openami.cosem.classes.time_event import ScheduledScript
from openami.dlms.data import BitString, Integer
from openami.dlms.obis import Obis
from prepayment import Breaker

UNIT = Obis(0, 0, 96, 3, 10, 255)
ARBITRATOR, SCRIPTS = Obis(0, 0, 96, 3, 20, 255), Obis(0, 0, 10, 0, 106, 255)


def test_an_arbitrator_weighs_what_the_account_asks_for() -> None:
    def script(number: int, method: int) -> Script:
        return Script(number, (ActionSpecification(2, 70, UNIT, method, Integer(0)),))

    unit = DisconnectControl(UNIT, control_mode=6, control_state=1)
    arbitrator = Arbitrator(
        ARBITRATOR,
        actions=(ScheduledScript(SCRIPTS, 1), ScheduledScript(SCRIPTS, 2)),
        permissions_table=(BitString.from_bits("11"), BitString.from_bits("10")),
        weightings_table=((2, 2), (3, 0)),
    )
    table = ScriptTable(SCRIPTS, scripts=(script(1, 1), script(2, 2)))
    world = World([unit, arbitrator, table])
    supply = ArbitratedSupply(
        inside=world.life.inside,
        arbitrator=ARBITRATOR,
        unit=UNIT,
        actor=1,
        actions=2,
        disconnect_action=0,
        reconnect_action=1,
    )
    assert isinstance(supply, Supply)
    assert supply.is_connected()
    supply.disconnect()
    assert not supply.is_connected()
    supply.reconnect()
    assert supply.is_connected()
    # Another actor, which weighs more, opens the supply: the account cannot close it.
    arbitrator.invocations[1](ArbitratorRequest(2, BitString.from_bits("10")))
    assert not supply.is_connected()
    supply.reconnect()
    assert not supply.is_connected()


def test_what_no_arbitrator_or_unit_allows_is_not_done() -> None:
    world = World([])
    supply = ArbitratedSupply(
        inside=world.life.inside,
        arbitrator=ARBITRATOR,
        unit=UNIT,
        actor=1,
        actions=2,
        disconnect_action=0,
        reconnect_action=1,
    )
    supply.disconnect()
    supply.reconnect()
    assert supply.is_connected()
    unit = Disconnector(Breaker(), mode=0)
    OwnSupply(unit).disconnect()
    assert OwnSupply(unit).is_connected()
    NoSupply().disconnect()
    NoSupply().reconnect()
    assert NoSupply().is_connected()
