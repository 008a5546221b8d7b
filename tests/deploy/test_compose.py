# SPDX-License-Identifier: Apache-2.0
"""The compose file says what exists; no container engine is asked for."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from openami.cli.main import openami

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "compose"
AS_JSON = "import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)"


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


PARTS = ("concentrator", "headend", "mdm", "web")


@pytest.mark.parametrize("name", PARTS)
def test_a_part_is_a_command_with_a_home_of_its_own(compose: dict[str, Any], name: str) -> None:
    part = compose["services"][name]
    group, verb, option, home = part["command"]
    assert group == name
    found = openami.get_command(None, group)  # type: ignore[arg-type]
    command = found.commands[verb]  # type: ignore[union-attr]
    assert option in {each for parameter in command.params for each in parameter.opts}
    assert home.startswith("/var/lib/openami/" + name)
    assert "ami:/var/lib/openami" in part["volumes"]
    assert part["read_only"] is True
    assert part["cap_drop"] == ["ALL"]


def test_what_is_named_is_declared(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        for volume in service.get("volumes", []):
            assert volume.split(":")[0] in compose["volumes"]
        assert set(service.get("secrets", [])) <= set(compose["secrets"])
        assert set(service.get("depends_on", [])) <= set(compose["services"])


def test_the_image_is_made_of_what_is_there() -> None:
    lines = (FOLDER / "Containerfile").read_text(encoding="utf-8").splitlines()
    copied = [line.split()[1:-1] for line in lines if line.startswith("COPY ")]
    for source in (each for sources in copied for each in sources if not each.startswith("--")):
        assert source == "/opt/openami" or (ROOT / source).exists(), source
    runtime = (ROOT / "Makefile").read_text(encoding="utf-8")
    for option in re.findall(r"--(require-hashes|no-deps)", "\n".join(lines)):
        assert f"--{option}" in runtime
