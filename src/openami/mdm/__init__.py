# SPDX-License-Identifier: Apache-2.0
"""Meter data management: intake, validation, estimation, versions."""
