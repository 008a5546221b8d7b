# SPDX-License-Identifier: Apache-2.0
"""Logs: one line a record, on standard error, which the supervisor keeps in `var/run`.

`OPENAMI_LOGS=json` makes each line a JSON object, for what collects logs of many machines: `at`
(UTC), `level`, `name` of the module, `message`, and `exception` where there is one.
"""

import json
import logging
import os
import sys
from datetime import UTC, datetime
from typing import Final

from openami.runtime.errors import ExitCode, UserError

FORMAT = "%(asctime)s %(levelname)-7s %(name)s %(message)s"
VARIABLE: Final = "OPENAMI_LOGS"


class JsonLines(logging.Formatter):
    """Makes a JSON object of a record, in one line whatever it says."""

    def format(self, record: logging.LogRecord) -> str:
        told = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "name": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            told["exception"] = self.formatException(record.exc_info)
        return json.dumps(told, ensure_ascii=False)


def set_up_logs(*, verbose: bool = False) -> None:
    """Send this process's records to standard error.

    Raises:
        UserError: The environment asks for a form that there is not.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_formatter(os.environ.get(VARIABLE, "text")))
    level = logging.DEBUG if verbose else logging.INFO
    logging.basicConfig(handlers=[handler], level=level)


def _formatter(form: str) -> logging.Formatter:
    match form:
        case "text":
            return logging.Formatter(FORMAT)
        case "json":
            return JsonLines()
        case _:
            sentence = f"{VARIABLE} is {form!r}: set it to text or json, or leave it out"
            raise UserError(sentence, ExitCode.ASKED_WRONGLY)
