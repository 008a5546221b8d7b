# SPDX-License-Identifier: Apache-2.0
"""Logs: one line a record, on standard error, which the supervisor keeps in `var/run`."""

import logging
import sys

FORMAT = "%(asctime)s %(levelname)-7s %(name)s %(message)s"


def set_up_logs(*, verbose: bool = False) -> None:
    """Send this process's records to standard error."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.DEBUG if verbose else logging.INFO, format=FORMAT
    )
