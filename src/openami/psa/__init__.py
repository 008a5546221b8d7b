# SPDX-License-Identifier: Apache-2.0
"""The PSA Certified APIs: what a meter's secure world offers, without the world around it.

Crypto, Internal Trusted Storage and Protected Storage, Initial Attestation, and the life cycle
behind them, in the names, codes and rules of Arm's specifications.  The room does no input or
output: flash, entropy and counters are handed in as ports.  Which process runs it, and how calls
reach it, belongs to the device.
"""
