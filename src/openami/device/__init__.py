# SPDX-License-Identifier: Apache-2.0
"""What a meter and a concentrator share: link, rings, identity."""
