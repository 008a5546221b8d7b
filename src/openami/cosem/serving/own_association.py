# SPDX-License-Identifier: Apache-2.0
"""The object that describes an association to its own client: class 15 at 0.0.40.0.0.255.

DLMS UA 1000-1 Ed. 12, 4.4.4.  Each association has one of its own, made when it opens.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from openami.cosem.classes.access_control import (
    CURRENT_ASSOCIATION,
    AssociatedPartners,
    AssociationLn,
    AssociationLnV3,
    AssociationStatus,
    UserListEntry,
    XdlmsContextInfo,
)
from openami.cosem.device import AssociationPolicy, Rights, View, object_list_element
from openami.cosem.model import Access
from openami.dlms.apdu.initiate import DLMS_VERSION
from openami.dlms.association import AssociationContext
from openami.dlms.data import BitString, OctetString, VisibleString

_OWN_ATTRIBUTES: Final = frozenset(
    row.index for row in AssociationLnV3.attributes() if row.access & Access.READ
)

ASSOCIATED_RIGHTS: Final = Rights(_OWN_ATTRIBUTES, frozenset(), frozenset())
PENDING_RIGHTS: Final = Rights(
    _OWN_ATTRIBUTES,
    frozenset(),
    frozenset({AssociationLn.reply_to_hls_authentication.index}),
)
"""While passes 3 and 4 of HLS are due."""


NO_USER: Final = UserListEntry(0, VisibleString(""))


class Told(NamedTuple):
    """What the object asks of the association that it describes."""

    status: Callable[[], AssociationStatus]
    """How far it has come."""
    reply_to_hls: Callable[[bytes], bytes]
    """Checks f(StoC) and returns f(CtoS)."""
    user: UserListEntry = NO_USER
    """Whom the AARQ named."""


def association_object(
    policy: AssociationPolicy,
    context: AssociationContext,
    view: View,
    rights: Rights,
    told: Told,
) -> AssociationLn | AssociationLnV3:
    """Return the object.

    Args:
        policy: Of the client.
        context: What was negotiated.
        view: The objects that the client sees.
        rights: What the client may do with this object.
        told: What the association itself knows.
    """
    # Users and access modes with protection need version 3.
    needs_3 = policy.is_protected or bool(policy.user_list)
    declared = AssociationLnV3 if needs_3 else AssociationLn
    own = declared(
        CURRENT_ASSOCIATION,
        associated_partners_id=AssociatedPartners(context.client_sap, context.server_sap),
        application_context_name=OctetString(context.application_context.oid),
        xdlms_context_info=XdlmsContextInfo(
            BitString(context.conformance.to_bytes(3), 24),
            context.max_receive_pdu_octets,
            context.max_send_pdu_octets,
            DLMS_VERSION,
            0,
            b"",
        ),
        authentication_mechanism_name=OctetString(context.mechanism.oid),
        security_setup_reference=policy.security_setup,
    )
    own.bind(
        declared.object_list,
        lambda: (
            object_list_element(own, rights),
            *(object_list_element(thing, view.rights(thing)) for thing in view.visible()),
        ),
    )
    own.bind(declared.association_status, told.status)
    if isinstance(own, AssociationLnV3):
        own.user_list, own.current_user = policy.user_list, told.user
    own.bind_method(declared.reply_to_hls_authentication, told.reply_to_hls)
    return own
