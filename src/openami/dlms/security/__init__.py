# SPDX-License-Identifier: Apache-2.0
"""Cryptographic protection of APDUs (DLMS UA 1000-2 Ed. 10, 9.2)."""
