# SPDX-License-Identifier: Apache-2.0
import pytest

from transport.parties import Pki


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))
