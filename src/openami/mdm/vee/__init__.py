# SPDX-License-Identifier: Apache-2.0
"""Validation, estimation, editing: pure functions on arrays of intervals.

Validation says what is doubtful and never overwrites; an estimate is a version of its own beside
what was measured.  The rules and methods are those that meter data management shares across
vendors and markets (California's VEE standards of 1998, IESO's and ERCOT's practice); their
numbers differ between markets and are configuration here (`limits.Limits`).
"""
