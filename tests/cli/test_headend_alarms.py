# SPDX-License-Identifier: Apache-2.0
"""`openami headend alarms`, and the command that clears them, over a real chain."""

import asyncio
import json
from pathlib import Path

import pytest

from chain import NOW, Chain, running_chain, until
from cli.runs import Run
from loops import in_loop
from openami.exchange.events import EventCode
from openami.headend.registry_import import import_shipment, load_shipment
from openami.runtime.clock import to_us
from openami.store import alarms


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    return Run(capsys, "headend")


def test_alarms_are_listed_counted_and_cleared(tmp_path: Path, run: Run) -> None:
    @in_loop
    async def test() -> None:
        async with running_chain(tmp_path, meters=1) as chain:
            await chain.attach()
            meter = chain.meters[1]
            home = ("--home", chain.layout.headend)

            async def told(*words: object) -> str:
                done = await asyncio.to_thread(run, *words, *home)
                assert done.status == 0, done.out + done.err
                return done.out

            assert "no alarm is known" in await told("alarms")
            assert "no meter has" in await told("alarms", "--regions")
            meter.alarms.event(EventCode.STRONG_FIELD, to_us(NOW) // 10**6)
            meter.alarms.event(EventCode.NEUTRAL_LOST, to_us(NOW) // 10**6)
            await until(lambda: len(alarms.of(chain.engine, 1)) == 2)
            listed = await told("alarms")
            assert "magnetic-field  register 1 bit 2" in listed
            assert listed.count("standing") == 2
            assert "neutral-lost  1 meter" in await told("alarms", "--regions")
            send = ("command", "send", "alarms")
            rest = ("--meter", 1, "--reason", "test", "--follow")
            clear = ("clear", "--register", 1, "--bit", 2)
            assert "alarms  confirmed" in await told(*send, *clear, *rest)
            found = json.loads(await told("alarms", "--meter", 1, "--json"))
            by_kind = {each["kind"]: each["cleared_us"] for each in found}
            assert by_kind["neutral-lost"] is None
            assert by_kind["magnetic-field"] is not None
            assert "cleared" in await told("alarms", "--meter", 1, "--kind", "magnetic-field")
            keep_out = ("filter", "--register", 1, "--disable", 3)
            assert "alarms  confirmed" in await told(*send, *keep_out, *rest)
            assert meter.alarms.record.filter == 0xFFFFFFF7
            whole = ("filter", "--register", 1, "--value", "0xFF")
            assert "alarms  confirmed" in await told(*send, *whole, *rest)
            assert meter.alarms.record.filter == 0xFF

    test()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("filter", "--register", "1", "--value", "all"), "0xFFFFFFFF"),
        (("filter", "--register", "1"), "either value"),
        (("clear", "--bit", "32"), "0 to 31"),
        (("show", "--bit", "1"), "alarms show"),
    ],
)
def test_what_is_asked_wrongly_is_one_sentence(
    tmp_path: Path, run: Run, words: tuple[str, ...], said: str
) -> None:
    chain = Chain(tmp_path, meters=1)
    home = chain.layout.headend
    import_shipment(chain.engine, load_shipment(home / "shipment.json"))
    given = ("--home", home, "--meter", 1, "--reason", "test")
    done = run("command", "send", "alarms", *words, *given)
    assert done.status == 2
    assert said in done.err
    assert "Traceback" not in done.err
