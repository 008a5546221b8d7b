# SPDX-License-Identifier: Apache-2.0
"""Strategies for HDLC frames."""

from hypothesis import strategies as st

from openami.dlms.hdlc.address import Address
from openami.dlms.hdlc.control import CONTROLS
from openami.dlms.hdlc.frame import LONGEST_INFORMATION_OCTETS, Frame

short = st.integers(0, 0x7F)
long = st.integers(0, 0x3FFF)
addresses = st.one_of(
    short.map(Address),
    st.builds(Address, short, short, st.just(2)),
    st.builds(Address, long, long, st.just(4)),
)
information = st.one_of(
    st.binary(max_size=40),
    st.lists(st.sampled_from([0x7E, 0xA0, 0x00, 0xFF]), max_size=40).map(bytes),
    st.binary(min_size=LONGEST_INFORMATION_OCTETS, max_size=LONGEST_INFORMATION_OCTETS),
)
frames = st.builds(
    Frame, addresses, addresses, st.sampled_from(CONTROLS), information, st.booleans()
)
small_frames = st.builds(
    Frame,
    addresses,
    addresses,
    st.sampled_from(CONTROLS),
    st.lists(st.sampled_from([0x7E, 0xA0, 0x07, 0x03, 0xFF]), max_size=20).map(bytes),
    st.booleans(),
)
