# SPDX-License-Identifier: Apache-2.0
"""The frames that `docs/framings.md` draws are those that the modules make, and its names exist."""

import re
from pathlib import Path
from pkgutil import resolve_name

import pytest

from openami.dlms.gateway import GatewayRoute
from openami.dlms.hdlc.address import Address
from openami.dlms.hdlc.control import Kind, control
from openami.dlms.hdlc.frame import Frame
from openami.dlms.hdlc.llc import FROM_CLIENT
from openami.dlms.hdlc.parameters import GENEROUS
from openami.dlms.mbus import MbusFrame
from openami.dlms.mode_e import OptionSelect, RequestMessage
from openami.dlms.sap import Sap
from openami.transport.url import ALL_SCHEMES

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = (ROOT / "docs" / "framings.md").read_text(encoding="utf-8")
DRAWN = "".join(re.findall(r"[0-9A-F]", DOCUMENT))
CLIENT, SERVER = Address.client(16), Address.server(1, 17)
GET = bytes.fromhex("C001C100080000010000FF0200")

FRAMES = {
    "snrm": Frame(SERVER, CLIENT, control(Kind.SNRM)).encode(),
    "parameters": GENEROUS.encode(),
    "information": Frame(SERVER, CLIENT, control(Kind.I), FROM_CLIENT + GET).encode()[:16],
    "check": Frame(SERVER, CLIENT, control(Kind.I), FROM_CLIENT + GET).encode()[-5:],
    "m-bus": MbusFrame(Sap(1), Sap(0x67), GET).encode()[4:9],
    "request message": RequestMessage().encode(),
    "option select": OptionSelect("6").encode(),
    "gateway": GatewayRoute(3, bytes.fromhex("4F414D0000000001")).request(GET)[:13],
}


@pytest.mark.parametrize("name", FRAMES)
def test_a_frame_is_drawn_as_it_is_sent(name: str) -> None:
    assert FRAMES[name].hex().upper() in DRAWN


@pytest.mark.parametrize("scheme", sorted(ALL_SCHEMES))
def test_every_address_has_its_row(scheme: str) -> None:
    assert f"| `{scheme}://`" in DOCUMENT


def test_modules_and_tests_exist() -> None:
    for name in re.findall(r"`((?:dlms|coap|transport)\.[a-z_.]+)`", DOCUMENT):
        assert resolve_name(f"openami.{name}"), name
    for path in re.findall(r"`(tests/[a-z_/]+(?:\.py)?)`", DOCUMENT):
        assert (ROOT / path).exists(), path
    below = re.findall(r"`(test_[a-z_]+\.py)`", DOCUMENT)
    assert [each for each in below if not (ROOT / "tests/dlms/hdlc" / each).exists()] == []
