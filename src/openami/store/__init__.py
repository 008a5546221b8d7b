# SPDX-License-Identifier: Apache-2.0
"""Intervals, raw octets, inbox, registry, latest and feed."""
