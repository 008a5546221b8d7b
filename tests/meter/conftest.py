# SPDX-License-Identifier: Apache-2.0
"""Meters in memory do not wait for a real disk; meters as processes do."""

import pytest


@pytest.fixture(autouse=True)
def disk_without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("fsync", "fdatasync"):
        monkeypatch.setattr(f"os.{name}", lambda _descriptor: None)
