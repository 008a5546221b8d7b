# SPDX-License-Identifier: Apache-2.0
"""An image sent to a meter that tells nothing of a transfer before one was initiated."""

import pytest

from cosem.behaviour.test_image import Flash
from openami.cosem.asking import image as asking
from openami.cosem.behaviour.image import ImageReceiver, image_transfer
from openami.cosem.classes.image_transfer import ImageTransfer, ImageTransferStatus
from openami.cosem.model import Refused
from openami.cosem.refusals import AccessError
from openami.dlms.apdu.codes import DataAccessResult
from openami.dlms.data import BitString
from playbooks.demo_meter import DemoMeter, Link

IMAGE = bytes(range(250))


class Shy(DemoMeter):
    """Refuses to tell its blocks until it knows of how many."""

    def __init__(self) -> None:
        self.flash = Flash()
        super().__init__()
        thing = ImageTransfer(asking.IMAGE, image_block_size=16, image_transfer_enabled=True)
        receiver = image_transfer(thing, ImageReceiver(thing, self.flash, resumes=True))
        self.add(thing)

        def told() -> BitString:
            if receiver.status is ImageTransferStatus.NOT_INITIATED:
                raise Refused(DataAccessResult.OTHER_REASON)
            return receiver.shown_blocks()

        thing.bind(ImageTransfer.image_transferred_blocks_status, told)


def test_a_meter_is_asked_for_its_blocks_after_they_are_initiated() -> None:
    link = Link(Shy())
    link.run(link.client.associate())
    with pytest.raises(AccessError):
        link.run(link.client.get(ImageTransfer.image_transferred_blocks_status, at=asking.IMAGE))
    assert link.run(asking.transfer(link.client, b"it", IMAGE)) == 16


def test_a_transfer_under_way_is_not_initiated_again() -> None:
    meter = Shy()
    link = Link(meter)
    link.run(link.client.associate())
    assert link.run(asking.transfer(link.client, b"it", IMAGE, anew=False)) == 16
    meter.flash.blocks.clear()
    assert link.run(asking.transfer(link.client, b"it", IMAGE, anew=False)) == 0
    assert not meter.flash.blocks, "the meter was told to begin anew"
