# SPDX-License-Identifier: Apache-2.0
"""The table of validation rules."""

from typing import Final

from openami.exchange.channels import Channel
from openami.mdm.vee.completeness import duplicate, missing
from openami.mdm.vee.energy import negative, sum_check
from openami.mdm.vee.limits import Limits
from openami.mdm.vee.series import Flag, Rule, Series
from openami.mdm.vee.shape import high, spike, zero_run

RULES: Final = (
    Rule(code="vee.missing", check=missing, suspect=False, whole_day=True),
    Rule(code="vee.duplicate", check=duplicate, suspect=False, whole_day=False),
    Rule(code="vee.spike", check=spike, suspect=True, whole_day=True),
    Rule(code="vee.negative", check=negative, suspect=True, whole_day=False),
    Rule(code="vee.sum", check=sum_check, suspect=True, whole_day=True),
    Rule(
        code="vee.zero_run",
        check=zero_run,
        suspect=False,
        whole_day=False,
        channels=frozenset({Channel.IMPORT_WH}),
    ),
    Rule(code="vee.high", check=high, suspect=True, whole_day=False),
)


def validate(series: Series, limits: Limits, *, day_ended: bool) -> list[tuple[Rule, Flag]]:
    """Return what the rules object to."""
    return [
        (rule, flag)
        for rule in RULES
        if series.channel in rule.channels and (day_ended or not rule.whole_day)
        for flag in rule.check(series, limits)
    ]
