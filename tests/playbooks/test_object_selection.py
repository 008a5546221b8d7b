# SPDX-License-Identifier: Apache-2.0
"""Parts of the object list: a client asks for what it wants, and hears of what it may see alone."""

import pytest

from openami.cosem.classes.access_control import (
    CURRENT_ASSOCIATION,
    OBJECT_LIST_ELEMENT,
    AssociationLn,
)
from openami.cosem.classes.object_selection import (
    ALL_OBJECTS,
    SELECTORS,
    Named,
    of_classes,
    these_objects,
    this_object,
)
from openami.cosem.refusals import AccessError
from openami.dlms.apdu.codes import DataAccessResult
from openami.dlms.apdu.fields import SelectiveAccess
from openami.dlms.data import Array, Data, Integer, LongUnsigned, OctetString, Structure
from playbooks.demo_meter import CLOCK, ENERGY, MANAGER, PUBLIC, Link, associated

ROW = AssociationLn.object_list
ELSEWHERE = OctetString(bytes(CLOCK))


def listed(link: Link) -> list[tuple[int, int, bytes]]:
    """What the whole list says, without rights."""
    elements = link.run(link.client.get(ROW, at=CURRENT_ASSOCIATION))
    return [(each.class_id, each.version, bytes(each.logical_name)) for each in elements]


def selected(link: Link, access: SelectiveAccess) -> Data:
    return link.run(link.client.get_data(15, CURRENT_ASSOCIATION, ROW.index, selection=access))


def plain(found: Data) -> list[tuple[int, int, bytes]]:
    assert isinstance(found, Array)
    rows = []
    for each in found:
        assert isinstance(each, Structure)
        class_id, version, name = each
        assert isinstance(name, OctetString)
        rows.append((int(class_id), int(version), bytes(name)))  # type: ignore[arg-type]
    return rows


@pytest.mark.parametrize("client_sap", [PUBLIC, MANAGER])
def test_all_objects_come_without_their_rights(client_sap: int) -> None:
    link = associated(client_sap)

    assert plain(selected(link, ALL_OBJECTS)) == listed(link)


def test_classes_are_chosen() -> None:
    link = associated(MANAGER)

    assert plain(selected(link, of_classes((3, 8)))) == [
        row for row in listed(link) if row[0] in {3, 8}
    ]
    assert plain(selected(link, of_classes((9_999,)))) == []


def test_objects_are_chosen_by_class_and_name_and_come_with_their_rights() -> None:
    link = associated(MANAGER)
    whole = link.run(link.client.get(ROW, at=CURRENT_ASSOCIATION))
    wanted = [Named(each.class_id, each.logical_name) for each in whole[1:4]]
    wrong_class = Named(7, wanted[0].logical_name)

    found = link.run(
        link.client.get(
            ROW, at=CURRENT_ASSOCIATION, selection=these_objects((*wanted, wrong_class))
        )
    )

    assert found == whole[1:4]


def test_one_object_comes_by_itself() -> None:
    link = associated(MANAGER)
    whole = {each.logical_name: each for each in link.run(link.client.object_list())}

    found = OBJECT_LIST_ELEMENT.from_data(selected(link, this_object(3, ENERGY)))

    assert found == whole[ENERGY]


def test_an_object_that_the_client_cannot_see_is_not_there() -> None:
    link = associated(PUBLIC)

    assert ENERGY not in {row[2] for row in plain(selected(link, of_classes((3,))))}
    with pytest.raises(AccessError) as refused:
        selected(link, this_object(3, ENERGY))
    assert refused.value.result is DataAccessResult.OBJECT_UNDEFINED


@pytest.mark.parametrize(
    ("selector", "parameters"),
    [
        (0, None),
        (1, Array()),
        (2, None),
        (2, Array((OctetString(b"x"),))),
        (3, Array((Structure((LongUnsigned(3),)),))),
        (4, Structure((ELSEWHERE, LongUnsigned(8)))),
        (4, Structure((LongUnsigned(8), OctetString(b"short")))),
        (5, None),
    ],
)
def test_parameters_of_another_kind_are_refused(selector: int, parameters: Data) -> None:
    with pytest.raises(AccessError) as refused:
        selected(associated(MANAGER), SelectiveAccess(selector=selector, parameters=parameters))
    assert refused.value.result is DataAccessResult.SCOPE_OF_ACCESS_VIOLATED


def test_the_list_says_by_what_it_can_be_selected() -> None:
    link = associated(MANAGER)
    own = link.run(link.client.object_list())[0]

    rights = {each.attribute_id: each.access_selectors for each in own.access_rights.attributes}

    assert rights[ROW.index] == Array(map(Integer, SELECTORS))
    assert rights[1] is None
