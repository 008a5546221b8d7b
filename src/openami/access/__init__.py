# SPDX-License-Identifier: Apache-2.0
"""Who may do what: accounts, roles, custody of keys."""
