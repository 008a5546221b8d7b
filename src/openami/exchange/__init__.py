# SPDX-License-Identifier: Apache-2.0
"""What systems hand each other: readings, events, commands (IEC 61968-9 terms)."""
