# SPDX-License-Identifier: Apache-2.0
"""The tables of the interface classes, a module a chapter (DLMS UA 1000-1 Ed. 12, 4)."""
