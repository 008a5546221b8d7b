# SPDX-License-Identifier: Apache-2.0
"""One address holds no more handshakes under way than it may; others, and gateways, do."""

import asyncio
import logging
from pathlib import Path

import pytest

from openami.runtime.config import ConfigFile
from openami.runtime.errors import ConfigurationError
from openami.transport.doors import Doors, doors_of, is_in, parse_networks
from openami.transport.endpoint import Listener, dial, listen
from openami.transport.tls import Secured
from openami.transport.wire import Limits, WireError
from transport.parties import ANY_PORT, Party, Pki, echo

FLOODER, OTHER = "127.0.0.66", "127.0.0.77"


def test_an_address_has_so_many_and_is_told_of_once_a_flood() -> None:
    told: list[str] = []
    doors = Doors(most=2, on_crowd=told.append)
    assert [doors.enter("a") for _ in range(5)] == [True, True, False, False, False]
    assert doors.enter("b")
    doors.leave("a")
    assert doors.enter("a")
    assert not doors.enter("a")
    assert (doors.refused, told) == (4, ["a"])
    for _ in range(2):
        doors.leave("a")
    doors.leave("b")
    assert not doors._under_way  # nothing is kept of who has gone
    assert not doors._crowds
    assert [doors.enter("a") for _ in range(3)] == [True, True, False]
    assert told == ["a", "a"]


def test_who_shares_an_address_with_many_has_no_bound_of_its_own() -> None:
    gateways = parse_networks(["10.1.0.0/16", "192.0.2.7", "2001:db8::/32"])
    doors = Doors(most=1, gateways=gateways)
    assert all(doors.enter("10.1.2.3") for _ in range(9))
    assert is_in("::ffff:192.0.2.7", gateways)
    assert is_in("2001:db8::1%eth0", gateways)
    assert not is_in("192.0.2.8", gateways)
    assert not is_in("unknown", gateways)
    assert [doors.enter("10.2.0.1") for _ in range(2)] == [True, False]


@pytest.mark.parametrize("wrong", ['["10.0.0.1/8"]', '["a street"]', '"10.0.0.0/8"'])
def test_a_gateway_that_is_no_network_is_refused_by_name(tmp_path: Path, wrong: str) -> None:
    file = tmp_path / "config.toml"
    file.write_text(f"[meters]\ngateways = {wrong}\n")
    with pytest.raises(ConfigurationError, match=r"\[meters\] gateways is"):
        doors_of(ConfigFile(file).table("meters"))


def test_a_flood_of_half_open_handshakes_keeps_nobody_else_out(
    pki: Pki, caplog: pytest.LogCaptureFixture
) -> None:
    async def served(listener: Listener, secured: Secured, host: str) -> None:
        party = Party()
        wire = await dial(listener.url, party.accept, secured=secured, local_host=host)
        wire.close()
        await wire.gone()

    async def conversation() -> None:
        # Half of the connections may be handshakes: without a bound an address would take all.
        limits = Limits(max_connections=12, half_open_per_address=3)
        listener = await listen(
            ANY_PORT["tls"], Party(echo).accept, secured=pki.concentrator(), limits=limits
        )
        port, flood = listener.url.port, []
        for _ in range(12):
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", port, local_addr=(FLOODER, 0)
            )
            flood.append((reader, writer))
            if len(flood) > 3:
                assert await reader.read() == b""  # closed at once, and without a TLS record
        assert listener.doors.refused == 9
        await served(listener, pki.meter(), OTHER)
        with pytest.raises(WireError):
            await served(listener, pki.meter(), FLOODER)
        for _, writer in flood:
            writer.close()
        while listener.wires:  # noqa: ASYNC110  nobody tells when
            await asyncio.sleep(0.01)
        await served(listener, pki.meter(), FLOODER)  # it may come again, too
        await listener.close()

    caplog.set_level(logging.WARNING)
    asyncio.run(conversation())
    told = [record.message for record in caplog.records if FLOODER in record.message]
    assert len(told) == 1
    assert "3 TLS handshakes of 127.0.0.66 are under way" in told[0]
    assert "`gateways`" in told[0]
