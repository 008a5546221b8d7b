# SPDX-License-Identifier: Apache-2.0
"""Refusals of what a payload is made of, or taken apart into."""


class PayloadError(Exception):
    """A program cannot be made or taken apart; the sentence names the place and the remedy."""
