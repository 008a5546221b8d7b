# SPDX-License-Identifier: Apache-2.0
"""The only input and output of protocols: TCP, TLS, serial lines, and session drivers."""
