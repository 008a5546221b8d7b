# SPDX-License-Identifier: Apache-2.0
"""What an installation brings to its factory: sound, or named with its file and a remedy."""

from pathlib import Path

import pytest

from device.sealedmeter import image
from openami.device.factory import FACTORY_IMAGE, SIGNING_KEY, development
from openami.runtime.errors import UserError


def test_an_image_or_key_that_is_none_is_named(tmp_path: Path) -> None:
    key, first = tmp_path / SIGNING_KEY, tmp_path / FACTORY_IMAGE
    first.write_bytes(b"junk")
    with pytest.raises(UserError, match=r"no MCUboot image.*bring an image") as refused:
        development(tmp_path)
    assert str(first) in str(refused.value)

    first.write_bytes(image().encode())  # sound, and somebody else's
    with pytest.raises(UserError, match="bring an image that is signed with a key beside it"):
        development(tmp_path)

    key.write_text("junk")
    with pytest.raises(UserError, match="bring a sound one, or remove it") as refused:
        development(tmp_path)
    assert str(key) in str(refused.value)
