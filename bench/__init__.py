# SPDX-License-Identifier: Apache-2.0
"""`make bench`: our figures beside the peers', measured in one run, as ratios."""
