# SPDX-License-Identifier: Apache-2.0
"""`[line.NAME]` of config.toml: values, defaults, and one sentence for each mistake."""

from pathlib import Path

import pytest

from openami.concentrator.lines.config import LineConfig
from openami.runtime.config import ConfigFile
from openami.runtime.errors import UserError

GOOD = """
[line.street-3]
url = "hdlc+serial:///dev/ttyS3"
baud = 19200
physical = "16-18,64"
titles = ["70=4F414D0000000001"]
"""


def read(folder: Path, text: str) -> list[LineConfig]:
    path = folder / "config.toml"
    path.write_text(text, encoding="utf-8")
    file = ConfigFile(path)
    found = [LineConfig.of(*each) for each in file.group("line").items()]
    file.refuse_unknown()
    return found


def test_a_line_is_read_with_its_defaults(tmp_path: Path) -> None:
    (line,) = read(tmp_path, GOOD)
    assert (line.name, str(line.url), line.baud) == (
        "street-3",
        "hdlc+serial:///dev/ttyS3",
        19200,
    )
    assert line.physical == (16, 17, 18, 64, 70)
    assert line.titles == {70: b"OAM\0\0\0\0\1"}
    assert line.timings.octet_s == 10 / 19200
    assert str(line.address(64)) == "1/64"
    assert read(tmp_path, "") == []


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("hdlc+serial:///dev/ttyS3", "tls://a:1", "unknown scheme tls"),
        ("19200", "12345", "baud is 12345, not one of 300"),
        ("16-18,64", "18-16", "physical is '18-16', not a list such as 16-40,64"),
        ("16-18,64", "126", "up to 125"),
        ("70=4F", "70-4F", "titles is .*, not a list of ADDRESS=TITLE"),
        ("baud", "bauds", "has no key bauds"),
        ("[line.street-3]", "[line]", "url in line is .*, not a table"),
        ("[line.street-3]", "[lines.street-3]", "has no key or table lines"),
        ("baud = 19200", "address_octets = 3", "address_octets is 3, not 1, 2 or 4"),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path: Path, old: str, new: str, problem: str) -> None:
    assert old in GOOD
    with pytest.raises(UserError, match=problem) as caught:
        read(tmp_path, GOOD.replace(old, new))
    assert "config.toml" in str(caught.value)
