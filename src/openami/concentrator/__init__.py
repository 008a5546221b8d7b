# SPDX-License-Identifier: Apache-2.0
"""The concentrator: collects a region's meters and loses none of it."""
