# SPDX-License-Identifier: Apache-2.0
"""Profile buffers to columns of numbers, without a Python object a cell."""
