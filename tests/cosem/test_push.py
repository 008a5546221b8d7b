# SPDX-License-Identifier: Apache-2.0
"""A load-profile push: its octets, read back here and by the general decoder."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openami.cosem.classes.push import PushMessage, PushSetup, push_setup
from openami.dlms import data as axdr_data
from openami.dlms.apdu.invocation import LongInvokeIdAndPriority
from openami.dlms.apdu.notification import DataNotification
from openami.dlms.data import Array, Integer
from openami.dlms.errors import DecodeError
from openami.dlms.obis import Obis
from playbooks.demo_meter import NAME, row

SETUP = Obis.parse("0.0.25.9.0.255")

messages = st.builds(
    PushMessage,
    long_invoke_id_and_priority=st.integers(0, 2**32 - 1).map(LongInvokeIdAndPriority),
    date_time=st.sampled_from((b"", bytes(12))),
    logical_device_name=st.binary(max_size=200),
    push_setup=st.just(SETUP),
    rows=st.integers(0, 50).map(
        lambda count: axdr_data.encode(Array(row(index) for index in range(count)))
    ),
)


@given(messages)
def test_decode_inverts_encode(message: PushMessage) -> None:
    assert PushMessage.decode(message.encode()) == message


@given(messages)
def test_it_is_a_data_notification(message: PushMessage) -> None:
    apdu = DataNotification.decode(message.encode())

    assert apdu.long_invoke_id_and_priority == message.long_invoke_id_and_priority
    assert apdu.date_time == message.date_time
    assert isinstance(apdu.notification_body, tuple)
    name, setup, rows = apdu.notification_body
    assert (name, setup) == (message.logical_device_name, bytes(SETUP))
    assert axdr_data.encode(rows) == message.rows


def test_the_octets_of_an_empty_push() -> None:
    message = PushMessage(
        long_invoke_id_and_priority=LongInvokeIdAndPriority.of(7),
        logical_device_name=NAME,
        push_setup=SETUP,
        rows=b"\x01\x00",
    )
    assert message.encode().hex() == ("0f400000070002030910" + NAME.hex() + "09060000190900ff0100")


@given(messages, st.data())
def test_every_truncation_of_the_head_is_refused_by_place(
    message: PushMessage, data: st.DataObject
) -> None:
    head = len(message.encode()) - len(message.rows)
    cut = data.draw(st.integers(0, head))
    with pytest.raises(DecodeError) as caught:
        PushMessage.decode(message.encode()[:cut])
    assert caught.value.offset <= cut


@given(st.binary(max_size=64))
def test_any_octets_decode_or_raise_decode_error(octets: bytes) -> None:
    with contextlib.suppress(DecodeError):
        PushMessage.decode(octets)


def test_a_date_time_has_none_or_twelve_octets() -> None:
    with pytest.raises(DecodeError, match="date-time has 3 octets"):
        PushMessage.decode(bytes.fromhex("0f40000007030102030203"))


def test_the_method_of_the_setup_reaches_the_sink() -> None:
    class Sink:
        pushes = 0

        def push(self) -> None:
            self.pushes += 1

    sink = Sink()
    setup = push_setup(PushSetup(SETUP), sink)
    setup.invoke(PushSetup.push, Integer(0))
    assert sink.pushes == 1
