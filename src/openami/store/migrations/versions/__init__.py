# SPDX-License-Identifier: Apache-2.0
"""One module a step; `tests/store/test_schema.py` holds their sum to `store.tables`."""
