# SPDX-License-Identifier: Apache-2.0
"""Folders and files of a device's parts, below its own; `factory` makes them."""

from typing import Final

SECURE: Final = "secure"
"""The folder."""
FLASH_FILE: Final = "flash.bin"
OTP_FILE: Final = "otp.bin"
METROLOGY: Final = "metrology"
"""The folder of what metrology alone may touch."""
MANAGEMENT: Final = "management"
"""The folder of what management alone may touch."""
SEAL: Final = "seal"
"""The folder of metrology's image, which metrology itself may not touch."""
JOURNAL: Final = "metrology.journal"
UPDATE_KEY_FILE: Final = "update.key"
ATTESTATION_PUBLIC: Final = "attestation-pub.pem"
"""Beside the folder: says that the device was personalised, and whose tokens are its own."""
