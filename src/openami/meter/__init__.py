# SPDX-License-Identifier: Apache-2.0
"""The smart meter: metrology, management, fleet."""
