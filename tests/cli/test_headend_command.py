# SPDX-License-Identifier: Apache-2.0
"""`openami headend command`: asked for here, done by a head-end, told here."""

import asyncio
import json
from pathlib import Path

import pytest

from chain import Chain, running_chain
from cli.runs import Run
from loops import in_loop
from openami.access.accounts import audit_trail
from openami.headend.registry_import import import_shipment, load_shipment
from openami.store import commands

TARIFF = """
name = "flat"
activate = "now"
days = [{id = 1, switch = [{at = "00:00", tariff = 1}]}]
weeks = [{name = "w", days = [1, 1, 1, 1, 1, 1, 1]}]
seasons = [{name = "s", start = 2026-01-01, week = "w"}]
special_days = [{date = "12-25", day = 1}]
"""


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    return Run(capsys, "headend")


@pytest.fixture
def chain(tmp_path: Path) -> Chain:
    """A head-end that does not run, with three meters in its registry."""
    made = Chain(tmp_path)
    import_shipment(made.engine, load_shipment(made.layout.headend / "shipment.json"))
    return made


def test_every_kind_is_sent_followed_and_told(tmp_path: Path, run: Run) -> None:
    tariff = tmp_path / "flat.toml"
    tariff.write_text(TARIFF, encoding="utf-8")
    bundle = tmp_path / "bundle.json"
    bundle.write_text('{"items": [{"kind": "read"}, {"kind": "disconnect"}]}', encoding="utf-8")

    @in_loop
    async def test() -> None:
        async with running_chain(tmp_path, meters=2) as chain:
            await chain.attach()
            home = ("--home", chain.layout.headend)

            async def send(*words: object) -> str:
                common = (*home, "--reason", "test", "--follow")
                told = await asyncio.to_thread(run, "command", "send", *words, *common)
                assert told.status == 0, told.out + told.err
                return told.out

            one = ("--meter", 1)
            assert "read  confirmed" in await send("read", "--region", "north")
            limit = ("limit", "--normal", 5000, "--over-s", 20, "--group", 3)
            profile = ("--profile-id", 3, "--profile-start", "2026-12-01T06:00:00+01:00")
            assert "the limiter is as asked" in await send(
                *limit, *profile, "--profile-s", 60, *one
            )
            assert chain.meters[1].limit.row.threshold_normal == 5000
            assert "the calendar is active" in await send("tariff", tariff, *one)
            assert chain.meters[1].tariffs.calendar.calendar_name_active == b"flat"
            assert "it was +0.0 s" in await send("clock", "shift", "--shift-s", 7, *one)
            await send("clock", "set", "--force", *one)
            await send("parameters", "71:0.0.17.0.0.255:6=double-long-unsigned:45", *one)
            assert chain.meters[1].limit.row.min_over_threshold_duration == 45
            words = ("bundle", bundle, *one, "--correlation", "WO-9", "--priority", "urgent")
            assert "2 of 2 done" in await send(*words)
            assert not chain.meters[1].switch.closed
            assert "connect  confirmed" in await send("connect", *one)
            assert "disconnect  confirmed" in await send("disconnect", *one)
            assert "arm  confirmed" in await send("arm", *one)
            told = json.loads(run("command", "list", *home, "--correlation", "WO-9", "--json").out)
            assert [(each["kind"], each["priority"]) for each in told] == [("bundle", "urgent")]
            shown = run("command", "show", *home, told[0]["command_id"])
            assert "sent through north" in shown.out
            assert '"control_state": 0' in shown.out
            assert audit_trail(chain.engine, 1)[0].action == "command.arm"
            refused = await asyncio.to_thread(
                *(run, "command", "send", "parameters", *home, *one, "--reason", "test"),
                *("--follow", "1:0.0.99.9.0.255:2=octet-string:00"),
            )
            assert refused.status == 1
            assert "refused" in refused.out

    test()


def test_what_waits_is_listed_and_cancelled(chain: Chain, run: Run) -> None:
    home = ("--home", chain.layout.headend)
    assert "no command fits" in run("command", "list", *home).out
    send = ("command", "send", "disconnect", *home, "--reason", "moves out")
    asked = run(*send, "--all", "--at", "2026-12-24T06:00:00+01:00")
    assert asked.status == 0, asked.err
    assert asked.out.count("disconnect  requested") == 3
    now = run(*send, "--meter", 1)  # one for later is in nobody's way
    assert now.status == 0
    again = run(*send, "--meter", 1)
    assert again.status == 1
    assert "left out: meter 1 still works on a disconnect" in again.out
    first = commands.commands(chain.engine, meter_id=2)[0].command_id
    assert run("command", "cancel", *home, first, "--reason", "stays").out == (
        f"{first} is cancelled\n"
    )
    late = run("command", "cancel", *home, first, "--reason", "stays")
    assert late.status == 1
    assert "is cancelled by now" in late.sentence
    listed = run("command", "list", *home, "--state", "cancelled", "--meter", 2).out
    assert listed.startswith(first)
    chain.close()


X = ("--meter", 1, "--reason", "test")


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (("read", "--reason", "test"), 2, "name the meters"),
        (("read", "--all", "--meter", 1, "--reason", "test"), 2, "name the meters"),
        (("read", "--meter", 99, "--reason", "test"), 1, "no meter 99"),
        (("read", "--region", "mars", "--reason", "test"), 1, "no meter is in region 'mars'"),
        (("read", "--meter", 1, "--reason", "x"), 2, "reason has 1 letters"),
        (("read", *X, "--at", "tomorrow"), 2, "--at is 'tomorrow'"),
        (("read", *X, "--at", "2020-01-01T00:00:00+00:00"), 2, "which is over"),
        (("read", *X, "--at", "2099-01-01T00:00:00+00:00"), 2, "is to wait"),
        (("read", *X, "--valid-s", 0), 2, "is valid for"),
        (("read", *X, "--valid-s", "nan"), 2, "is valid for"),
        (("read", *X, "--correlation", ""), 2, "correlation is no text"),
        (("limit", *X), 2, "nothing to set"),
        (("limit", *X, "--normal", -5), 2, "limit.normal is -5"),
        (("limit", *X, "--profile-id", 1), 2, "limit.profile.start"),
        (("tariff", "/nowhere.toml", *X), 2, "cannot be read"),
        (("clock", "shift", *X), 2, "clock.shift_s is None"),
        (("clock", "set", *X, "--shift-s", 1), 2, "leave it out"),
        (("parameters", "71=1", *X), 2, "is no attribute"),
        (("parameters", "1:0.0.1.0.0.255:2=colour:red", *X), 2, "parameters.set[0]"),
        (("parameters", "1:0.0.1.0.0.255:0=unsigned:1", *X), 2, "attribute_id is 0"),
        (("bundle", "/nowhere.json", *X), 2, "cannot be read"),
    ],
)
def test_mistakes_get_one_sentence(
    chain: Chain, run: Run, words: tuple[object, ...], status: int, sentence: str
) -> None:
    kind, *rest = words
    refused = run("command", "send", kind, "--home", chain.layout.headend, *rest)
    assert refused.status == status, refused.err
    assert sentence in refused.sentence
    assert commands.commands(chain.engine) == []
    chain.close()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("name =", "is no TOML"),
        (TARIFF.replace("flat", "f" * 13), "name is"),
        (TARIFF.replace("[1, 1, 1, 1, 1, 1, 1]", "[1, 1]"), "weeks[0].days"),
        (TARIFF.replace("[1, 1, 1, 1, 1, 1, 1]", "[1, 1, 1, 1, 1, 1, 2]"), "names day 2"),
        (TARIFF.replace('week = "w"', 'week = "v"'), "seasons[0].week is 'v'"),
        (TARIFF.replace("12-25", "12-32"), "special_days[0].date"),
        (TARIFF.replace('"now"', '"2027-01-01"'), "activate is '2027-01-01'"),
        (TARIFF.replace("tariff = 1", "tariff = 70000"), "days[0].switch[0].tariff"),
        (TARIFF + "colour = 1", "the tariff has 'colour'"),
        (
            TARIFF.replace(
                '[{at = "00:00", tariff = 1}]', '[{at="09:00",tariff=1},{at="08:00",tariff=1}]'
            ),
            "days[0].switch is not in the order",
        ),
        (TARIFF.replace("0.0", "x"), ""),
    ],
)
def test_a_tariff_that_is_none_gets_one_sentence(
    chain: Chain, run: Run, tmp_path: Path, text: str, sentence: str
) -> None:
    file = tmp_path / "t.toml"
    file.write_text(text, encoding="utf-8")
    told = run("command", "send", "tariff", file, "--home", chain.layout.headend, *X)
    if sentence:
        assert told.status == 2
        assert sentence in told.sentence
        assert str(file) in told.sentence
    else:
        assert told.status == 0
    chain.close()


def test_an_account_of_the_staff_is_made(chain: Chain, capsys: pytest.CaptureFixture[str]) -> None:
    web = Run(capsys, "web")
    home = ("--home", chain.layout.web)
    made = web("account", *home, "eve", "--role", "operator")
    assert made.status == 0, made.err
    assert len(made.out.strip()) == 19
    again = web("account", *home, "eve", "--role", "viewer")
    assert again.status == 1
    assert "there is an account eve already" in again.sentence
    assert web("account", *home, "e v", "--role", "viewer").status == 1
    chain.close()
