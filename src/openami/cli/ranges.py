# SPDX-License-Identifier: Apache-2.0
"""Numbers on the command line.

`click.FloatRange` takes ``nan``, which lies in no range and outside of none, and ``inf`` where a
range has no end; no option of ours means anything by them.
"""

import math
from typing import Any

import click


class FiniteRange(click.FloatRange):
    """A range of numbers, as `click.FloatRange` is, of finite ones alone."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401  click's signature
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is no finite number.", param, ctx)
        return number
