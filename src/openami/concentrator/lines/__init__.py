# SPDX-License-Identifier: Apache-2.0
"""Meters on HDLC lines: many on one serial line or behind one TCP port, asked one at a time."""
