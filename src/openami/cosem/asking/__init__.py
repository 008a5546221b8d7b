# SPDX-License-Identifier: Apache-2.0
"""The client's side of an association, in parts; `cosem.client` joins them."""
