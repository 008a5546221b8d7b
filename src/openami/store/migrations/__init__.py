# SPDX-License-Identifier: Apache-2.0
"""Steps from each version of the SQL tables to the next, run by Alembic (decision 0011)."""
