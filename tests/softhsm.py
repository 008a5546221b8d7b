# SPDX-License-Identifier: Apache-2.0
"""Tokens of SoftHSM2 in a folder of their own; in continuous integration it has to be there."""

import itertools
import os
import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

MODULES = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so")
PIN = "2468"
LABEL = "openami"


@dataclass(frozen=True)
class Token:
    """A token with a user PIN, and what its keys' names begin with."""

    module: Path
    pin_file: Path
    prefix: str = ""

    def uri(self, key: str = "kek") -> str:
        return (
            f"pkcs11:token={LABEL};object={self.prefix}{key}"
            f"?module-path={self.module}&pin-source={self.pin_file}"
        )


_tokens: list[Token] = []
_numbers = itertools.count(1)


def softhsm_token(folder: Path) -> Token:
    """Return a token with no keys that this test has used, for this process and its children.

    The library looks for tokens once in a process, so all tests of a process share one and use
    keys of their own names.
    """
    module = next((Path(path) for path in MODULES if Path(path).exists()), None)
    if module is None or shutil.which("softhsm2-util") is None:
        if os.environ.get("CI"):
            pytest.fail("SoftHSM2 is not installed: apt-get install softhsm2")
        pytest.skip("SoftHSM2 is not installed")
    if not _tokens:
        tokens = folder / "tokens"
        tokens.mkdir()
        conf = folder / "softhsm2.conf"
        conf.write_text(f"directories.tokendir = {tokens}\nlog.level = ERROR\n")
        os.environ["SOFTHSM2_CONF"] = str(conf)
        words = ["--init-token", "--free", "--label", LABEL, "--pin", PIN, "--so-pin", "1357"]
        subprocess.run(["softhsm2-util", *words], check=True, capture_output=True)
        pin_file = folder / "pin"
        pin_file.write_text(PIN + "\n")
        pin_file.chmod(0o600)
        _tokens.append(Token(module, pin_file))
    return replace(_tokens[0], prefix=f"key-{next(_numbers)}-")
