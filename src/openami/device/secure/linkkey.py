# SPDX-License-Identifier: Apache-2.0
"""A module's key on the link, whose private half is in its secure world.

What crosses the wall is the other side's point and the secret shared with it; the key's policy
permits nothing else, and to nobody else.
"""

from openami.device.secure.access import LINK_KEY_ID
from openami.device.secure.client import SecureClient
from openami.psa.algorithms import ECDH
from openami.psa.status import PsaError, Status
from openami.runtime.errors import UserError


class WalledAgreement:
    """The port `device.pairing.Agreement`.

    Attributes:
        public: The public half: an uncompressed point, 65 octets.
    """

    def __init__(self, client: SecureClient) -> None:
        """Ask for the public half.

        Raises:
            UserError: The secure world has no such key.
        """
        self._client = client
        try:
            self.public = client.octets("export_public_key", LINK_KEY_ID)
        except PsaError as error:
            problem = f"the secure world has no key of the link ({error})"
            raise UserError(f"{problem}: put the newest firmware in") from error

    def agree(self, peer: bytes) -> bytes:
        """Return the secret shared with a peer's point.

        Raises:
            ValueError: `peer` is no point of the curve.
            UserError: The secure world is gone.
        """
        try:
            return self._client.octets("raw_key_agreement", int(ECDH), LINK_KEY_ID, peer)
        except PsaError as error:
            if error.status is Status.INVALID_ARGUMENT:
                raise ValueError(str(error)) from None
            raise UserError(f"the secure world does not agree on keys: {error}") from error
