# SPDX-License-Identifier: Apache-2.0
"""The compose file, the image and the runbook say what exists; no container engine is asked for.

`deploy/compose/try` asks one.
"""

import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any, Final

import click
import pytest

from openami.cli.main import openami
from openami.concentrator.config import ConcentratorConfig
from openami.headend.config import HeadEndConfig
from openami.mdm.config import MdmConfig
from openami.web.config import WebConfig

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "compose"
AS_JSON = "import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)"
HOME: Final = "/var/lib/openami/"
HOST: Final = "${OPENAMI:-/var/lib/openami}/"
PARTS = ("concentrator", "headend", "mdm", "web")
STORED = ("headend", "mdm", "web")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    done = subprocess.run(
        [ROOT / ".venv-peers" / "bin" / "python", "-c", AS_JSON],
        input=(FOLDER / "compose.yaml").read_text(encoding="utf-8"),
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def containerfile() -> str:
    return (FOLDER / "Containerfile").read_text(encoding="utf-8").replace("\\\n", " ")


def runbook() -> list[str]:
    """Return the commands of the chapter, comments taken away, lines that go on joined."""
    text = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
    chapter = text.split("### In containers")[1].split("## ")[0]
    lines = chapter.split("```")[1].replace("\\\n", " ").splitlines()
    return [re.sub(r"\s+# .*", "", line).strip() for line in lines]


def understood(words: list[str]) -> None:
    """Refuse words that the command line does not take; nothing is run."""
    command: click.Command = openami
    context = click.Context(openami)
    while isinstance(command, click.Group):
        found = command.get_command(context, words[0])
        assert found is not None, words
        command, words = found, words[1:]
    with click.Context(command) as parsed:
        command.parse_args(parsed, words)


def mounts(part: dict[str, Any]) -> dict[str, str]:
    """Return what is mounted where."""
    return {each.split(":")[-2] if each.endswith(":ro") else each.rpartition(":")[2]: each
            for each in part["volumes"]}  # fmt: skip


@pytest.mark.parametrize("name", PARTS)
def test_a_part_is_a_command_with_a_home_of_its_own(
    compose: dict[str, Any], name: str, tmp_path: Path
) -> None:
    part = compose["services"][name]
    command, probe = list(part["command"]), part["healthcheck"]["test"]
    home = command[command.index("--home") + 1]
    assert command[0] == name
    assert home in mounts(part)
    command[command.index(home)] = str(tmp_path)  # there is no such folder here
    understood(command)
    assert probe[:2] == ["CMD", "/opt/openami/bin/openami"]
    understood(probe[2:])
    assert probe[3] in mounts(part)
    assert part["read_only"] is True
    assert part["cap_drop"] == ["ALL"]


def test_each_part_sees_its_own_and_no_other_keys(compose: dict[str, Any]) -> None:
    for name in PARTS:
        own = HOME + ("concentrators/north" if name == "concentrator" else name)
        shared = {HOME + "run", HOME + "lake"} if name != "concentrator" else {HOME + "run"}
        assert set(mounts(compose["services"][name])) <= {own, *shared}, name
    services = compose["services"]
    assert [name for name in PARTS if "pgpass" in services[name].get("secrets", [])] == list(STORED)
    assert "store" not in services["concentrator"]["networks"]
    assert services["web"]["volumes"][1].endswith("/lake:ro")


def test_what_is_named_is_declared(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        for volume in service.get("volumes", []):
            assert volume.startswith(HOST) or volume.split(":")[0] in compose["volumes"], volume
        assert set(service.get("secrets", [])) <= set(compose["secrets"])
        assert set(service.get("depends_on", [])) <= set(compose["services"])
        assert set(service["networks"]) <= set(compose["networks"])


def test_the_image_is_made_of_what_is_there_and_has_a_place_for_each_mount(
    compose: dict[str, Any],
) -> None:
    lines = containerfile().splitlines()
    sent = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    copied = [line.split()[1:-1] for line in lines if line.startswith("COPY ")]
    for source in (each for sources in copied for each in sources if not each.startswith("--")):
        assert source == "/opt/openami" or (ROOT / source).exists(), source
        assert source == "/opt/openami" or f"!{source}" in sent, source
    runtime = (ROOT / "Makefile").read_text(encoding="utf-8")
    for option in re.findall(r"--(require-hashes|no-deps)", "\n".join(lines)):
        assert f"--{option}" in runtime
    (made,) = re.findall(r"for folder in (.*?);", containerfile())
    for name in PARTS:
        for place in mounts(compose["services"][name]):
            assert place.removeprefix(HOME).split("/")[0] in made.split()


def test_what_the_runbook_says_of_containers_can_be_said(compose: dict[str, Any]) -> None:
    for line in runbook():
        line = line.replace("$part", "headend")  # noqa: PLW2901
        if match := re.search(r"docker compose .*?\brun --rm (\w+) (.*?)(; done)?$", line):
            assert match[1] in compose["services"]
            understood(shlex.split(match[2].replace(HOME + "web", str(ROOT))))
        elif match := re.search(r"docker run .* openami:local +(.*)", line):
            understood(shlex.split(match[1]))


def test_what_the_runbook_makes_is_what_the_parts_are_given(
    compose: dict[str, Any], tmp_path: Path
) -> None:
    lines = runbook()
    (made,) = [line.split("openami:local")[1].split()[2:] for line in lines if "provision" in line]
    words = ["provision", str(tmp_path), *made, "--meters", "1"]
    openami.main(words, standalone_mode=False)
    for line in lines:
        if line.startswith(("sed ", "mkdir ", "chmod ")):
            subprocess.run(["sh", "-ec", line], cwd=tmp_path, check=True)
    for name in PARTS:
        for volume in compose["services"][name]["volumes"]:
            if volume.startswith(HOST):
                assert (tmp_path / volume.removeprefix(HOST).split(":")[0]).is_dir(), volume
    headend, web = HeadEndConfig.load(tmp_path / "headend"), WebConfig.load(tmp_path / "web")
    concentrator = ConcentratorConfig.load(tmp_path / "concentrators" / "north")
    ports = {
        str(headend.listen): "headend",
        f"http://{web.host}:{web.port}": "web",
        str(concentrator.meters_listen): "concentrator",
    }
    for url, name in ports.items():
        assert url.split("//")[1].startswith("0.0.0.0:")
        port = url.rpartition(":")[2]
        assert compose["services"][name]["ports"][0].endswith(f"{port}:{port}")
    assert str(concentrator.uplink) == f"tls://headend:{headend.listen.port}"
    user = compose["services"]["db"]["environment"]
    store = f"postgresql://{user['POSTGRES_USER']}@db/{user['POSTGRES_DB']}"
    urls = {headend.database, web.database_url, MdmConfig.load(tmp_path / "mdm").database}
    assert urls == {store}


def test_the_trial_is_a_script_and_says_what_the_runbook_says() -> None:
    script = FOLDER / "try"
    subprocess.run(["sh", "-n", script], check=True)
    text = script.read_text(encoding="utf-8")
    for line in runbook():
        if line.startswith("sed "):
            assert line in text
