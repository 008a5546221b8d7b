# SPDX-License-Identifier: Apache-2.0
"""Passes 3 and 4 of HLS as a client asks them: reply_to_HLS_authentication, by either kind of name.

DLMS UA 1000-2 Ed. 10, 9.2.7.4.  Both functions send f(StoC) and return what came back, which
`asking.association` verifies as f(CtoS).
"""

from collections.abc import Callable, Generator
from typing import Final

from openami.cosem.asking.base_names import REPLY_TO_HLS_OFFSET, BaseNames
from openami.cosem.classes.access_control import CURRENT_ASSOCIATION, AssociationLn
from openami.cosem.refusals import AuthenticationError, UnexpectedAnswerError
from openami.dlms.apdu.action import ActionRequestNormal, ActionResponseNormal
from openami.dlms.apdu.codes import ActionResult, DataAccessResult
from openami.dlms.apdu.fields import MethodDescriptor
from openami.dlms.apdu.invocation import InvokeIdAndPriority
from openami.dlms.apdu.read import ReadRequest, ReadResponse
from openami.dlms.apdu.variables import ParameterizedAccess
from openami.dlms.data import OctetString

PROOF: Final = "our proof of the key"

Exchange = Callable[[bytes, str], Generator[bytes, bytes, bytes]]
"""Sends a plain APDU and returns the plain answer."""


def prove_by_logical_name(exchange: Exchange, reply: bytes) -> Generator[bytes, bytes, bytes]:
    """Invoke the method by ACTION.

    Raises:
        AuthenticationError: The meter does not accept the proof.
        UnexpectedAnswerError: It gives none of its own.
    """
    request = ActionRequestNormal(
        invoke_id_and_priority=InvokeIdAndPriority.of(1),
        method=MethodDescriptor(
            class_id=AssociationLn.class_id,
            instance_id=CURRENT_ASSOCIATION,
            method_id=AssociationLn.reply_to_hls_authentication.index,
        ),
        parameters=OctetString(reply),
    )
    answer = yield from exchange(request.encode(), PROOF)
    response = ActionResponseNormal.decode(answer)
    if response.result != ActionResult.SUCCESS:
        raise AuthenticationError(response.result)
    return _proof(response.return_parameters)


def prove_by_short_name(
    exchange: Exchange, reply: bytes, names: BaseNames
) -> Generator[bytes, bytes, bytes]:
    """Invoke the method by Read: only so can the meter give its proof; raises as the other."""
    method = ParameterizedAccess(
        name=names.association + REPLY_TO_HLS_OFFSET, selector=0, parameter=OctetString(reply)
    )
    answer = yield from exchange(ReadRequest(variables=(method,)).encode(), PROOF)
    match ReadResponse.decode(answer).results:
        case (DataAccessResult() as result,):
            raise AuthenticationError(ActionResult(result))
        case (proof,):
            return _proof(proof)
    raise UnexpectedAnswerError(PROOF, "not one result")


def _proof(given: object) -> bytes:
    if not isinstance(given, bytes):
        raise UnexpectedAnswerError(PROOF, "the meter gives no proof of its own")
    return bytes(given)
