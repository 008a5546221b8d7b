# SPDX-License-Identifier: Apache-2.0
"""The error a person sees: one sentence that names the place, the value and the remedy."""

from enum import IntEnum


class ExitCode(IntEnum):
    """What a command's exit status means."""

    DONE = 0
    REFUSED = 1
    ASKED_WRONGLY = 2
    RESTART = 3  # said by a part of a device: start me again at once


class UserError(Exception):
    """A refusal with its sentence; the command line prints it and nothing else.

    Attributes:
        exit_code: `REFUSED` when the world said no, `ASKED_WRONGLY` when the input is at fault.
    """

    def __init__(self, sentence: str, exit_code: ExitCode = ExitCode.REFUSED) -> None:
        super().__init__(sentence)
        self.exit_code = exit_code


class ConfigurationError(UserError):
    """A configuration file that cannot be used."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence, ExitCode.ASKED_WRONGLY)
