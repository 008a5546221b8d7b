# SPDX-License-Identifier: Apache-2.0
"""These tests cut the power themselves: waiting for a real disk would show nothing more."""

import pytest


@pytest.fixture(autouse=True)
def disk_without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("fsync", "fdatasync"):
        monkeypatch.setattr(f"os.{name}", lambda _descriptor: None)
