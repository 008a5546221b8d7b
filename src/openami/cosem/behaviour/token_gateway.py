# SPDX-License-Identifier: Apache-2.0
"""A token gateway: what becomes of a token, step by step (DLMS UA 1000-1 Ed. 12, 4.6.5).

How tokens look and who may make them is not the standard's business: a host binds a
`TokenDecoder`.  `STEPS` is the order of processing; the status of the last step that was taken is
what ``token_status`` shows.  A token that fails has changed nothing.  Method enter answers with
success when the token was taken in, whatever became of it: the status tells.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol, runtime_checkable

from openami.cosem.behaviour.localtime import UTC_ZONE, Zone
from openami.cosem.classes.payment import (
    TokenDeliveryMethod,
    TokenGateway,
    TokenStatus,
    TokenStatusCode,
)
from openami.cosem.model import Refused
from openami.dlms.apdu.codes import ActionResult
from openami.dlms.data import BitString

NO_BITS: Final = BitString(b"", 0)


class TokenRefused(Exception):  # noqa: N818  an answer of the decoder, not a failure of ours
    """A token does not pass a step.

    Attributes:
        data_value: What its maker adds to the status.
    """

    def __init__(self, data_value: BitString = NO_BITS) -> None:
        super().__init__(data_value)
        self.data_value = data_value


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedToken:
    """What a token says.

    Attributes:
        value: Steps of the account's currency; None for a token that pays nothing.
        description: What its parts mean, for people.
        data_value: What its maker adds to the status.
        octets: The token itself.
    """

    value: int | None
    description: tuple[bytes, ...] = ()
    data_value: BitString = NO_BITS
    octets: bytes = field(default=b"", repr=False)


@runtime_checkable
class TokenDecoder(Protocol):
    """Who knows the format of tokens, their keys, and which were used; a port of the host.

    The first three raise `TokenRefused` when the token does not pass that step.
    """

    def parse(self, token: bytes) -> DecodedToken:
        """Read the format."""
        ...

    def authenticate(self, token: DecodedToken) -> None:
        """Prove who made it, and that it was not altered."""
        ...

    def validate(self, token: DecodedToken) -> None:
        """See that it is for this meter, not expired, and not used before."""
        ...

    def execute(self, token: DecodedToken) -> None:
        """Remember it as used, and carry out what it says beside its value; refuses nothing.

        The account has taken the payment just before: a host keeps both durably together.
        """
        ...


class Step(NamedTuple):
    """One step of processing, and the status after it."""

    passed: TokenStatusCode
    failed: TokenStatusCode


STEPS: Final = (
    Step(TokenStatusCode.FORMAT_OK, TokenStatusCode.FORMAT_FAILURE),
    Step(TokenStatusCode.AUTHENTICATION_OK, TokenStatusCode.AUTHENTICATION_FAILURE),
    Step(TokenStatusCode.VALIDATION_OK, TokenStatusCode.VALIDATION_FAILURE),
    Step(TokenStatusCode.EXECUTION_OK, TokenStatusCode.EXECUTION_FAILURE),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenGatewayState:
    """What of a gateway a power cut must not lose: the last token and what became of it."""

    token: bytes
    told_us: int
    description: tuple[bytes, ...]
    delivery_method: TokenDeliveryMethod
    status: TokenStatus


class Gateway:
    """The behaviour of one token gateway; an actor only if tokens are to wait for a tick."""

    def __init__(
        self,
        decoder: TokenDecoder,
        top_up: Callable[[int], None],
        *,
        at_once: bool = True,
        zone: Callable[[], Zone] = lambda: UTC_ZONE,
    ) -> None:
        """Process tokens.

        Args:
            decoder: Knows tokens.
            top_up: Takes a payment whole or refuses it; `Accounting.top_up`.
            at_once: Process a token when it comes; otherwise at the next tick, and until then its
                status is received.
            zone: Local time, as the clock shows it.
        """
        self._decoder, self._top_up = decoder, top_up
        self._at_once, self._zone = at_once, zone
        self._now_us = 0
        self._last = TokenGatewayState(
            token=b"",
            told_us=0,
            description=(),
            delivery_method=TokenDeliveryMethod.REMOTE,
            status=TokenStatus(TokenStatusCode.RECEIVED, NO_BITS),
        )

    def due_us(self) -> int | None:
        waits = self._last.token and self._last.status.status_code == TokenStatusCode.RECEIVED
        return self._now_us if waits else None

    def tick(self, now_us: int) -> None:
        self._now_us = now_us
        if self.due_us() is not None:
            self._process()

    def enter(
        self, token: bytes, delivery_method: TokenDeliveryMethod = TokenDeliveryMethod.REMOTE
    ) -> TokenStatus:
        """Take a token in; return its status now.

        Args:
            token: As it came.
            delivery_method: Remote over an association; a keypad or a local port say so.

        Raises:
            Refused: The one before it still waits.
        """
        if self.due_us() is not None:
            raise Refused(ActionResult.TEMPORARY_FAILURE)
        self._last = TokenGatewayState(
            token=token,
            told_us=self._now_us,
            description=(),
            delivery_method=delivery_method,
            status=TokenStatus(TokenStatusCode.RECEIVED, NO_BITS),
        )
        if self._at_once:
            self._process()
        return self._last.status

    def _process(self) -> None:
        found = DecodedToken(value=None)
        code = TokenStatusCode.RECEIVED
        data_value = NO_BITS
        for step in STEPS:
            try:
                match step.passed:
                    case TokenStatusCode.FORMAT_OK:
                        found = self._decoder.parse(self._last.token)
                    case TokenStatusCode.AUTHENTICATION_OK:
                        self._decoder.authenticate(found)
                    case TokenStatusCode.VALIDATION_OK:
                        self._decoder.validate(found)
                    case _:
                        self._execute(found)
            except TokenRefused as refused:
                code, data_value = step.failed, refused.data_value
                break
            code, data_value = step.passed, found.data_value
        last = self._last
        self._last = TokenGatewayState(
            token=last.token,
            told_us=last.told_us,
            description=found.description,
            delivery_method=last.delivery_method,
            status=TokenStatus(code, data_value),
        )

    def _execute(self, found: DecodedToken) -> None:
        if found.value is not None:
            try:
                self._top_up(found.value)
            except Refused:
                raise TokenRefused(found.data_value) from None
        self._decoder.execute(found)

    def state(self) -> TokenGatewayState:
        """Return what must not be lost."""
        return self._last

    def restore(self, state: TokenGatewayState) -> None:
        """Go on from a state."""
        self._last = state

    def bind(self, thing: TokenGateway) -> TokenGateway:
        """Bind the object of this gateway."""
        thing.bind(TokenGateway.token, lambda: self._last.token)
        thing.bind(
            TokenGateway.token_time,
            lambda: self._zone().shown(self._last.told_us),
        )
        thing.bind(TokenGateway.token_description, lambda: self._last.description)
        thing.bind(TokenGateway.token_delivery_method, lambda: self._last.delivery_method)
        thing.bind(TokenGateway.token_status, lambda: self._last.status)

        def enter(token: bytes) -> None:
            self.enter(token)

        thing.bind_method(TokenGateway.enter, enter)
        return thing
