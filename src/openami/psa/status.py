# SPDX-License-Identifier: Apache-2.0
"""Status codes (PSA Certified Status code API, 3; psa_status_t), and the error that carries one.

In C each function returns a status and writes its results through pointers.  Here a function
returns its result, and what would be a negative status is raised as `PsaError`; whoever carries
calls between worlds sends `PsaError.status`.
"""

from dataclasses import dataclass
from enum import IntEnum


class Status(IntEnum):
    """What a call came to: zero and above are successes."""

    SUCCESS_RESTART = 2
    SUCCESS_REBOOT = 1
    SUCCESS = 0
    PROGRAMMER_ERROR = -129
    CONNECTION_REFUSED = -130
    CONNECTION_BUSY = -131
    GENERIC_ERROR = -132
    NOT_PERMITTED = -133
    NOT_SUPPORTED = -134
    INVALID_ARGUMENT = -135
    INVALID_HANDLE = -136
    BAD_STATE = -137
    BUFFER_TOO_SMALL = -138
    ALREADY_EXISTS = -139
    DOES_NOT_EXIST = -140
    INSUFFICIENT_MEMORY = -141
    INSUFFICIENT_STORAGE = -142
    INSUFFICIENT_DATA = -143
    SERVICE_FAILURE = -144
    COMMUNICATION_FAILURE = -145
    STORAGE_FAILURE = -146
    HARDWARE_FAILURE = -147
    INSUFFICIENT_ENTROPY = -148
    INVALID_SIGNATURE = -149
    INVALID_PADDING = -150
    CORRUPTION_DETECTED = -151
    DATA_CORRUPT = -152
    DATA_INVALID = -153
    DEPENDENCY_NEEDED = -156
    FLASH_ABUSE = -160
    INSUFFICIENT_POWER = -161
    OPERATION_INCOMPLETE = -248


@dataclass(eq=False)
class PsaError(Exception):
    """A call that was refused.

    Attributes:
        status: The code that the specification prescribes.
        problem: What was refused and why.
        place: The key, entry, operation or field.
    """

    status: Status
    problem: str
    place: str

    def __str__(self) -> str:
        return f"{self.problem}, at {self.place} ({self.status.name} {self.status:d})"
