# SPDX-License-Identifier: Apache-2.0
"""The head-end system: sessions, schedule, commands, notifications."""
