# SPDX-License-Identifier: Apache-2.0
"""Configuration of a line for tests: as the product's, with short pauses."""

from dataclasses import replace
from typing import Any

from openami.concentrator.lines.config import LineConfig
from openami.dlms.hdlc.link import LinkTimings
from openami.transport.url import Url

QUICK = LinkTimings(response_s=0.5, retries=1, poll_s=0.02, inter_octet_s=0.1)


def line_config(url: Url, **changes: Any) -> LineConfig:
    line = LineConfig(
        name="street",
        url=url,
        baud=9600,
        logical=1,
        address_octets=2,
        physical=(16, 17, 18),
        titles={},
        poll_events_s=0.05,
        look_s=0.05,
        absent_first_s=0.05,
        absent_most_s=0.2,
        answer_s=2.0,
        quiet_s=0.001,
        reopen_s=0.02,
        timings=QUICK,
    )
    return replace(line, **changes)
