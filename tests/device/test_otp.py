# SPDX-License-Identifier: Apache-2.0
"""One-time-programmable memory: what is burned stays."""

from pathlib import Path

import pytest

from openami.device.otp import Otp, OtpError
from openami.device.storage import StorageError


def test_bits_are_cleared_and_never_set_again(tmp_path: Path) -> None:
    path = tmp_path / "otp.bin"
    otp = Otp.open(path)
    assert otp.read(7) == b"\xff" * 8
    otp.burn(7, b"\xfe")
    otp.burn(7, b"\xfc\x01")
    otp.burn(7, b"\xfc\x01")
    with pytest.raises(OtpError, match="entry 7 holds fc01 and cannot become fe01"):
        otp.burn(7, b"\xfe\x01")
    otp.close()
    assert Otp.open(path).read(7) == b"\xfc\x01" + b"\xff" * 6
    assert path.stat().st_mode & 0o777 == 0o600


def test_places_outside_and_other_files_are_refused(tmp_path: Path) -> None:
    otp = Otp.open(tmp_path / "otp.bin")
    with pytest.raises(ValueError, match="entries 255 to 256 of 256"):
        otp.read(255, 2)
    with pytest.raises(ValueError, match="of 256"):
        otp.burn(-1, b"\x00")
    (tmp_path / "other").write_bytes(b"short")
    with pytest.raises(StorageError, match="has 5 octets"):
        Otp.open(tmp_path / "other")
    with pytest.raises(StorageError, match="cannot be opened"):
        Otp.open(tmp_path)
