# SPDX-License-Identifier: Apache-2.0
"""The routes, by who uses them."""
