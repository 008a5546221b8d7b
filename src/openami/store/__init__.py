# SPDX-License-Identifier: Apache-2.0
"""Where things come to rest: SQL for what changes, Delta Lake for intervals and raw octets."""
