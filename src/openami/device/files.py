# SPDX-License-Identifier: Apache-2.0
"""Files of a device's secure part, below its folder; `factory` makes them."""

from typing import Final

SECURE: Final = "secure"
"""The folder."""
FLASH_FILE: Final = "flash.bin"
OTP_FILE: Final = "otp.bin"
UPDATE_KEY_FILE: Final = "update.key"
