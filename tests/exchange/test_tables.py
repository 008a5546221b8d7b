# SPDX-License-Identifier: Apache-2.0
"""The shared vocabulary, walked whole."""

import pytest

from openami.exchange.channels import CHANNELS, PROFILE_CHANNELS, Channel, Kind
from openami.exchange.commands import OPEN, TRANSITIONS, CommandState
from openami.exchange.events import TEXT, EventCode, event_text
from openami.exchange.quality import ProfileStatus, Quality, quality_of_status


def test_every_channel_has_its_row_and_no_two_share_a_code() -> None:
    assert set(CHANNELS) == set(Channel)
    assert len({row.obis for row in CHANNELS.values()}) == len(CHANNELS)
    assert all(channel.row.kind is not Kind.LIVE for channel in PROFILE_CHANNELS)


def test_every_event_code_has_its_text() -> None:
    assert set(TEXT) == set(EventCode)
    assert event_text(1) == "power failed"
    assert event_text(200) == "event 200 (no text known)"


@pytest.mark.parametrize("state", list(CommandState))
def test_every_open_command_can_end(state: CommandState) -> None:
    reached, frontier = set[CommandState](), {state}
    while frontier:
        reached |= frontier
        frontier = set().union(*(TRANSITIONS[one] for one in frontier)) - reached
    ends = {one for one in reached if not TRANSITIONS[one]}

    assert ends
    assert (state in OPEN) <= bool(TRANSITIONS[state])


@pytest.mark.parametrize("status", list(ProfileStatus))
def test_each_status_bit_means_what_it_says(status: ProfileStatus) -> None:
    expected = {
        ProfileStatus.CRITICAL_ERROR: Quality.SUSPECT,
        ProfileStatus.CLOCK_INVALID: Quality.CLOCK_DOUBTFUL,
        ProfileStatus.DATA_NOT_VALID: Quality.SUSPECT,
        ProfileStatus.DAYLIGHT_SAVING: Quality.MEASURED,
        ProfileStatus.CLOCK_ADJUSTED: Quality.CLOCK_DOUBTFUL,
        ProfileStatus.POWER_DOWN: Quality.POWER_FAIL,
    }
    assert quality_of_status(status) == expected[status]
