# SPDX-License-Identifier: Apache-2.0
"""The concentrator as it runs: real TLS, strangers at the door, a full disk, a port in use."""

import asyncio
import logging
import ssl
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from chain import CONCENTRATOR, REGION, Chain, TestMeter, closed, row_of, running_chain, until
from loops import in_loop
from openami.cli.concentrator import concentrator as command
from openami.concentrator.config import ConcentratorConfig
from openami.concentrator.process import Concentrator
from openami.exchange.field import NoticeCode
from openami.runtime.errors import ConfigurationError, UserError
from openami.runtime.status import read_statuses
from openami.store import field
from openami.transport.endpoint import dial
from openami.transport.tls import Expected, Role, Secured, client_tls
from openami.transport.tlspolicy import Policy, Version
from openami.transport.wire import WireError


@in_loop
async def test_garbage_and_strangers_get_one_warning_and_the_service_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running_chain(tmp_path, meters=1) as chain:
        ports = {"meters": chain.meters_url.port, "uplink": chain.uplink_url.port}
        caplog.set_level(logging.WARNING)
        for port in ports.values():
            for octets in (b"GET / HTTP/1.1\r\n\r\n", b"\x00\x01" * 50, b""):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(octets)
                if not octets:
                    writer.write_eof()
                await reader.read()
                writer.close()
        # A concentrator's certificate at the meters' door, a meter's at the concentrators' door.
        identity = chain.concentrator_config().identity
        for url, files, wanted in (
            (chain.meters_url, identity, Role.CONCENTRATOR),
            (chain.uplink_url, chain.meters[1].identity, Role.HEAD_END),
        ):
            secured = Secured(client_tls(files), Expected(roles=frozenset({wanted})))
            try:
                wire = await dial(url, chain.meters[1].accept, secured=secured)
                await wire.gone()
            except WireError:
                continue
        await until(lambda: caplog.text.count("wrong certificate") >= 2)
        assert "Traceback" not in caplog.text
        await chain.attach()
        chain.meters[1].push([row_of(1, 0)])
        await until(lambda: len(chain.stored()) == 1)


@in_loop
async def test_inside_tls_a_frame_that_makes_no_sense_ends_that_connection_only(
    tmp_path: Path,
) -> None:
    async with running_chain(tmp_path, meters=2) as chain:
        await chain.attach()
        broken = chain.meters[1].wire
        assert broken is not None
        broken.send(1, 64, b"\xc4\x01 no push")
        await broken.gone()
        chain.meters[2].push([row_of(2, 0)])
        await until(lambda: len(chain.stored()) == 1)
        await chain.attach(1)


@in_loop
async def test_whose_handshakes_crowd_the_door_is_told_to_the_head_end_once(
    tmp_path: Path,
) -> None:
    chain = Chain(tmp_path, meters=1)
    await chain.start_headend()
    config = replace(chain.concentrator_config(), half_open_per_address=2, gateways=())
    chain.concentrator_config = lambda: config  # type: ignore[method-assign]
    await chain.start_concentrator()
    flood = [
        await asyncio.open_connection(
            "127.0.0.1", chain.meters_url.port, local_addr=("127.0.0.66", 0)
        )
        for _ in range(6)
    ]
    await until(lambda: chain.concentrator.figures()["strangers refused"] == 4)

    def told() -> list[str]:
        found = field.notices(chain.engine, CONCENTRATOR)
        return [each.text for each in found if each.code == NoticeCode.STRANGERS_REFUSED]

    await until(lambda: bool(told()))
    assert told() == ["127.0.0.66"]
    await chain.attach()  # from another address
    for _, writer in flood:
        writer.close()
    await closed_meter(chain.meters[1])
    await chain.concentrator_ends()
    await chain.headend_ends()
    chain.close()


@in_loop
async def test_a_newer_connection_of_a_meter_replaces_the_older(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with running_chain(tmp_path, meters=1) as chain:
        await chain.attach()
        older = chain.meters[1].wire
        assert older is not None
        await chain.meters[1].connect(chain.meters_url)
        await older.gone()
        assert "a newer connection replaces the older" in caplog.text
        assert chain.concentrator.relay.attached == 1
        chain.meters[1].push([row_of(1, 0)])
        await until(lambda: len(chain.stored()) == 1)
        assert chain.headend.uplinks.has_route(chain.meters[1].title)


@in_loop
async def test_a_full_quota_leaves_the_readings_with_the_meter(tmp_path: Path) -> None:
    chain = Chain(tmp_path, meters=1)
    chain.uplink_url = replace(chain.uplink_url, port=9)  # nobody there
    config = replace(chain.concentrator_config(), quota_per_meter=3)
    chain.concentrator_config = lambda: config  # type: ignore[method-assign]
    await chain.start_concentrator()
    meter = chain.meters[1]
    await meter.connect(chain.meters_url)
    for index in range(5):
        meter.push([row_of(1, index)])
    await until(lambda: chain.concentrator.relay.tally.full == 2)
    await until(lambda: len(meter.receipts) == 3)
    assert len(meter.outbox) == 2
    assert chain.concentrator.figures()["meters at quota"] == 1
    await closed_meter(meter)
    await chain.concentrator_ends()

    chain.uplink_url = replace(chain.uplink_url, port=0)  # the head-end is back
    await chain.start_headend()
    config = replace(config, uplink=chain.uplink_url)
    await chain.start_concentrator()
    await until(lambda: chain.concentrator.journal.depth == 0)
    await meter.connect(chain.meters_url)
    await until(lambda: len(chain.stored()) == 5)
    await until(lambda: not meter.outbox)
    await closed_meter(meter)
    await chain.concentrator_ends()
    await chain.headend_ends()
    chain.close()


async def closed_meter(meter: TestMeter) -> None:
    assert meter.wire is not None
    await closed(meter.wire)


@in_loop
async def test_a_full_disk_gives_no_receipt_until_there_is_room(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    chain = Chain(tmp_path, meters=1)
    chain.uplink_url = replace(chain.uplink_url, port=9)
    await chain.start_concentrator()
    chain.concentrator.writer.pause_s = 0.01
    journal = chain.concentrator.journal
    pages = journal._writer.execute("PRAGMA page_count").fetchone()[0]
    journal._writer.execute(f"PRAGMA max_page_count = {pages}")
    meter = chain.meters[1]
    await meter.connect(chain.meters_url)
    for index in range(40):  # more than the free room of the file
        meter.push([row_of(1, n) for n in range(index, index + 40)])
    await until(lambda: chain.concentrator.writer.failing != "")
    assert "full" in str(chain.concentrator.figures()["alarm"])
    assert meter.outbox
    journal._writer.execute("PRAGMA max_page_count = 1000000")
    await closed_meter(meter)
    await meter.connect(chain.meters_url)  # it sends again what has no receipt
    await until(lambda: not meter.outbox)
    assert journal.depth == 40
    assert caplog.text.count("cannot be written") == 1
    await closed_meter(meter)
    await chain.concentrator_ends()
    chain.close()


@in_loop
async def test_a_port_in_use_is_one_sentence(tmp_path: Path) -> None:
    chain = Chain(tmp_path, meters=1)
    await chain.start_concentrator()
    taken = replace(
        chain.concentrator_config(),
        meters_listen=chain.meters_url,
        journal=tmp_path / "other.db",
    )
    with pytest.raises(UserError, match="is in use by another process"):
        await Concentrator(taken).run(asyncio.Event())
    await chain.concentrator_ends()
    chain.close()


@in_loop
async def test_the_status_says_what_matters(tmp_path: Path) -> None:
    chain = Chain(tmp_path, meters=1)
    service = Concentrator(chain.concentrator_config())
    stop = asyncio.Event()
    task = asyncio.create_task(service.run(stop, tmp_path / "run"))
    await until((tmp_path / "run" / f"concentrator-{REGION}.json").exists)
    (status,) = read_statuses(tmp_path / "run")
    assert status.process == f"concentrator-{REGION}"
    kept = status.figures.pop("clock kept", 0)  # not everywhere does a kernel tell
    assert kept in {0, 1}
    assert status.figures == {
        "meters attached": 0,
        "journal": 0,
        "uplink up": 0,
        "pushes": 0,
        "receipts": 0,
        "forwarded": 0,
        "confirmed": 0,
        "commands": 0,
        "meters at quota": 0,
        "not kept": 0,
        "journal octets": 0,
        "meters known": 0,
        "collected": 0,
        "broadcasts": 0,
        "sealed refused": 0,
        "strangers refused": 0,
        "lines": 0,
        "lines up": 0,
        "clock past limit": 0,
        "times refused": 0,
        "alarm": "",
    }
    stop.set()
    await task
    chain.close()


@in_loop
async def test_the_head_end_is_told_of_every_damaged_file(tmp_path: Path) -> None:
    chain = Chain(tmp_path, meters=1)
    config = chain.concentrator_config()
    for path in (config.journal, config.plans, config.registry):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"no database" * 1000)
    service = Concentrator(config)
    told = {notice.code: notice.text for notice in service.registry.untold(10)}
    assert told == {
        NoticeCode.STARTED: "",
        NoticeCode.JOURNAL_SET_ASIDE: f"{config.journal.name}.damaged-1",
        NoticeCode.PLANS_SET_ASIDE: f"{config.plans.name}.damaged-1",
        NoticeCode.REGISTRY_SET_ASIDE: f"{config.registry.name}.damaged-1",
    }
    chain.close()


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('name = "north"\n', "", "lacks the key 'name'"),
        (
            "quota_per_meter = 5000",
            'quota_per_meter = "many"',
            "quota_per_meter is 'many', not a whole number of 1",
        ),
        ("tls://127.0.0.1", "ftp://127.0.0.1", "unknown scheme ftp"),
        ("[journal]", "[journal", "not valid TOML"),
    ],
)
def test_a_wrong_configuration_is_one_sentence(
    tmp_path: Path, old: str, new: str, problem: str
) -> None:
    home = Chain(tmp_path, meters=1).layout.concentrator(REGION)
    path = home / "config.toml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(UserError, match=problem) as caught:
        ConcentratorConfig.load(home)
    assert str(path) in str(caught.value)


def test_the_command_asks_for_a_home() -> None:
    result = CliRunner().invoke(command, ["run"])
    assert result.exit_code == 2
    assert "--home" in result.output
    result = CliRunner().invoke(command, ["run", "--home", "/nowhere"])
    assert isinstance(result.exception, ConfigurationError)


def test_a_version_of_tls_that_the_policy_leaves_out_is_not_offered(tmp_path: Path) -> None:
    @in_loop
    async def test() -> None:
        chain = Chain(tmp_path, meters=1)
        config = chain.concentrator_config()
        identity = replace(config.identity, policy=Policy(versions=(Version.TLS_1_2,)))
        chain.concentrator_config = lambda: replace(config, identity=identity)  # type: ignore[method-assign]
        await chain.start_concentrator()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with pytest.raises(OSError, match=r"(?i)alert|handshake|EOF|reset|lost"):
            await asyncio.open_connection("127.0.0.1", chain.meters_url.port, ssl=context)
        await chain.concentrator_ends()
        chain.close()

    test()
