# SPDX-License-Identifier: Apache-2.0
"""The object that describes an association to its own client: class 15 at 0.0.40.0.0.255.

DLMS UA 1000-1 Ed. 12, 4.4.4.  Each association has one of its own, made when it opens.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from openami.cosem.behaviour.administration import Administration, administered
from openami.cosem.classes.access_control import (
    CURRENT_ASSOCIATION,
    AssociatedPartners,
    AssociationLn,
    AssociationLnV3,
    AssociationStatus,
    ObjectListElement,
    UserListEntry,
    XdlmsContextInfo,
)
from openami.cosem.classes.object_selection import SELECTORS, select
from openami.cosem.device import AssociationPolicy
from openami.cosem.model import Access
from openami.cosem.rights import Rights, View, object_list_element, rights_of
from openami.dlms.apdu.initiate import DLMS_VERSION
from openami.dlms.association import AssociationContext
from openami.dlms.data import BitString, OctetString, VisibleString

_OWN_ATTRIBUTES: Final = frozenset(
    row.index for row in AssociationLnV3.attributes() if row.access & Access.READ
)
_REPLY_TO_HLS: Final = frozenset({AssociationLn.reply_to_hls_authentication.index})
_SECRET: Final = AssociationLn.secret.index

PENDING_RIGHTS: Final = Rights(_OWN_ATTRIBUTES, frozenset(), _REPLY_TO_HLS)
"""While passes 3 and 4 of HLS are due."""


NO_USER: Final = UserListEntry(0, VisibleString(""))


class Told(NamedTuple):
    """What the object asks of the association that it describes."""

    status: Callable[[], AssociationStatus]
    """How far it has come."""
    reply_to_hls: Callable[[bytes], bytes]
    """Checks f(StoC) and returns f(CtoS)."""
    administration: Administration
    """Changes what the client finds when it associates next."""
    user: UserListEntry = NO_USER
    """Whom the AARQ named."""


class OwnAssociation(NamedTuple):
    """The object, and what its client may do with it after all passes of HLS."""

    thing: AssociationLn | AssociationLnV3
    associated: Rights


def own_class(policy: AssociationPolicy) -> type[AssociationLn | AssociationLnV3]:
    """Return the class of the object: users, and modes with protection, need version 3."""
    if policy.is_protected or policy.user_list or policy.keeper is not None:
        return AssociationLnV3
    return AssociationLn


def association_object(
    policy: AssociationPolicy, context: AssociationContext, view: View, told: Told
) -> OwnAssociation:
    """Return the object.

    Args:
        policy: Of the client.
        context: What was negotiated.
        view: The objects that the client sees.
        told: What the association itself knows and does.
    """
    declared = own_class(policy)
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
    own.bind(declared.association_status, told.status)
    if isinstance(own, AssociationLnV3):
        own.user_list, own.current_user = policy.user_list, told.user
    if policy.keeper is not None:
        administered(own, told.administration)
    rights = _associated(own, policy)
    own.bind_method(declared.reply_to_hls_authentication, told.reply_to_hls)

    def elements() -> tuple[ObjectListElement, ...]:
        others = (object_list_element(thing, view.rights(thing)) for thing in view.visible())
        return object_list_element(own, rights), *others

    own.bind(declared.object_list, elements)
    own.bind_selection(declared.object_list, lambda access: select(elements(), access), SELECTORS)
    return OwnAssociation(own, rights)


def _associated(own: AssociationLn | AssociationLnV3, policy: AssociationPolicy) -> Rights:
    """Return what grants let the client do; what describes the association it may always read."""
    declared: Any = type(own)  # mypy looks for __hash__ where a class object has its own
    actions = frozenset(own.invocations)
    granted = rights_of(declared, CURRENT_ASSOCIATION, actions, policy.grants)
    is_changed = _SECRET in own.sinks and _SECRET in granted.write
    demands = {_SECRET: granted.attributes[_SECRET]} if _SECRET in granted.attributes else {}
    return Rights(
        _OWN_ATTRIBUTES,
        frozenset({_SECRET}) if is_changed else frozenset(),
        granted.invoke,
        attributes=demands,
        methods=granted.methods,
    )
