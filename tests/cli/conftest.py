# SPDX-License-Identifier: Apache-2.0
import pytest

from cli.runs import Run


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    return Run(capsys)


@pytest.fixture
def openami(capsys: pytest.CaptureFixture[str]) -> Run:
    """Any command."""
    return Run(capsys, "")
