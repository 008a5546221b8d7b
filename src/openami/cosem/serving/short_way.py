# SPDX-License-Identifier: Apache-2.0
"""The commonest request on the shortest way: a protected GET of what was read before.

DLMS UA 1000-2 Ed. 10, 9.2.7.2 and 9.3.6.  Nearly all requests to a meter ask for an attribute that
the same client has asked for before, authenticated and encrypted under the global key.  Those need
not be told how they arrived, what room is left and what they owe: all that is fixed while the
association lasts.  `ShortWay` knows this one case and answers None to all else, which `association`
then serves with the same outcome.
"""

from typing import Final

from openami.cosem.device import Protector
from openami.cosem.serving.logical_names import LogicalNameServices
from openami.cosem.serving.opening import PROTECTION_OCTETS, Opened
from openami.cosem.serving.reading import GetService
from openami.cosem.serving.services import ServiceContext
from openami.dlms.security import common_form
from openami.dlms.security.channel import SecureChannel
from openami.dlms.security.envelopes import UNPROTECTED, Protection

LONGEST_APDU_OCTETS: Final = 2 + common_form.LONGEST_OCTETS
"""No APDU in the common form is longer; whoever takes less has the long way alone."""


class ShortWay:
    """Opens, answers and seals for one association, as long as its keys and policy stay."""

    __slots__ = ("_channel", "_get", "_protector", "_room_octets", "_terms")

    def __init__(
        self,
        channel: SecureChannel,
        protector: Protector,
        get: GetService,
        terms: ServiceContext,
        room_octets: int,
    ) -> None:
        """Serve an association.

        Args:
            channel: Its protection.
            protector: Whose keys and policy `channel` has, until a security setup replaces them.
            get: Its service.
            terms: Told of each request.
            room_octets: The longest plain answer under such protection.
        """
        self._channel = channel
        self._protector = protector
        self._get = get
        self._terms = terms
        self._room_octets = room_octets

    def take(self, octets: bytes) -> bytes | None:
        """Return the plain APDU, accepted for good; None if it is not for this way.

        Raises:
            ReplayError: Its counter is not above the last one.
        """
        channel, protector = self._channel, self._protector
        if channel.cipher is not protector.cipher or channel.policy is not protector.policy:
            return None
        return channel.take_common(octets)

    def answer(self, apdu: bytes, octets: bytes) -> bytes | None:
        """Return the sealed answer to what `take` returned; None if it was not asked before.

        Args:
            apdu: The plain request.
            octets: The same as it arrived.
        """
        channel, terms = self._channel, self._terms
        terms.room_octets = self._room_octets
        terms.exchange.response = 0
        response = self._get.quick(apdu)
        if response is None:
            return None
        sealed = channel.give_common(response)
        if sealed is not None or channel.signs:  # that takes more room than there is here
            return sealed
        return channel.protect(response, like=self.arrived(octets))

    def arrived(self, octets: bytes) -> Protection:
        """Return how the APDU came that `take` has taken."""
        mode = self._channel.cipher.common
        if mode is None:  # nothing was taken
            return UNPROTECTED
        return common_form.arrived(mode, self._channel.peer_title, octets)


def short_way_of(
    opened: Opened, protector: Protector | None, services: LogicalNameServices
) -> ShortWay | None:
    """Return the short way of an association; None if it has none.

    Args:
        opened: What was negotiated: services are confirmed, and there are no general blocks.
        protector: Whose keys and policy the association has.
        services: What answers.
    """
    channel, context = opened.channel, opened.context
    if protector is None or not isinstance(channel, SecureChannel) or channel.signs:
        return None
    if context.max_receive_pdu_octets < LONGEST_APDU_OCTETS:
        return None
    room_octets = context.max_send_pdu_octets - PROTECTION_OCTETS
    return ShortWay(channel, protector, services.get, services.terms, room_octets)
