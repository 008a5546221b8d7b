# SPDX-License-Identifier: Apache-2.0
"""The server's side of an association, in parts; `cosem.server` joins them."""
