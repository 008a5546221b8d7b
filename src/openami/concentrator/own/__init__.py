# SPDX-License-Identifier: Apache-2.0
"""The concentrator as a COSEM device of its own: what the head-end and tools read of it."""
