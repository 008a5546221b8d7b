# SPDX-License-Identifier: Apache-2.0
"""Processes: two simulated meters on a line, a concentrator that is killed and comes back."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

from chain import REGION, Chain, until
from concentrator.lines.sharedline import SharedLine
from loops import in_loop
from openami.concentrator.config import ConcentratorConfig
from openami.concentrator.standing import stand
from openami.transport.serial import SerialLine

TITLES = {17: "4F414D0000000011", 18: "4F414D0000000012"}
COMMAND = [sys.executable, "-m", "openami"]


def start(*arguments: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.DEVNULL)


def attached(home: Path) -> set[str] | None:
    """Return the meters that are here, as `openami concentrator status` finds them.

    None while the file, written each second, does not say the same as the process.
    """
    found = stand(ConcentratorConfig.load(home))
    titles = {m.title.hex().upper() for m in found.meters if found.is_attached(m)}
    return titles if found.figures.get("meters attached") == len(titles) else None


async def until_attached(home: Path, titles: set[str]) -> None:
    await until((home.parent.parent / "run" / f"concentrator-{REGION}.json").exists)
    await until(lambda: attached(home) == titles, timeout_s=30)


@in_loop
async def test_meters_of_their_own_processes_are_found_and_again_after_a_kill(
    tmp_path: Path,
) -> None:
    home = Chain(tmp_path, meters=1).layout.concentrator(REGION)
    config = (home / "config.toml").read_text(encoding="utf-8").replace(":24060", ":0")
    titles = ", ".join(f'"{address}={title}"' for address, title in TITLES.items())
    line = f'[line.yard]\nurl = "hdlc+serial://{tmp_path / "line"}"\nphysical = "17-19"\n'
    line += f"titles = [{titles}]\nresponse_s = 0.5\nretries = 1\n"
    line += "poll_events_s = 0.5\n"
    (home / "config.toml").write_text(config + line, encoding="utf-8")

    shared = SharedLine()
    running = [
        start("simulate", "--listen", f"hdlc+serial://{tmp_path / f'm{at}'}", "--physical", f"{at}")
        for at in TITLES
    ]
    try:
        await until(lambda: all((tmp_path / f"m{at}").exists() for at in TITLES))
        for at in TITLES:
            shared.hang_serial(at, SerialLine, tmp_path / f"m{at}")
        pty = shared.pty(tmp_path / "line")
        running.append(start("concentrator", "run", "--home", str(home)))
        await until_attached(home, set(TITLES.values()))
        os.kill(running[-1].pid, signal.SIGKILL)
        await asyncio.to_thread(running[-1].wait)
        for status in (home.parent.parent / "run").glob("*.json"):
            status.unlink()  # what the dead one said is no sign of life of the next
        running.append(start("concentrator", "run", "--home", str(home)))
        await until_attached(home, set(TITLES.values()))
        running[0].kill()  # one meter dies: the other stays
        await until_attached(home, {TITLES[18]})
    finally:
        for process in running:
            process.kill()
            await asyncio.to_thread(process.wait)
    pty.close()
