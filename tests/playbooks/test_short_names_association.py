# SPDX-License-Identifier: Apache-2.0
"""Class 12 in its five versions, what it tells and does; and every class by its short names."""

import hashlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlmskeys import SUITE_0
from kindvalues import data_of
from openami.cosem import model
from openami.cosem.asking.base_names import BaseNames
from openami.cosem.classes.access_control import (
    CURRENT_ASSOCIATION,
    AttributeAccess,
    SecuritySetup,
    UserListEntry,
)
from openami.cosem.classes.associations import (
    AccessDescription,
    AssociationSn,
    AssociationSnV1,
    AssociationSnV3,
    AssociationSnV4,
    ShortNameElement,
)
from openami.cosem.classes.chapters import CHAPTERS
from openami.cosem.classes.measurement import Register, ScalerUnit
from openami.cosem.device import SECURITY_SETUP, AssociationPolicy
from openami.cosem.model import REGISTRY, Access
from openami.cosem.refusals import AccessError, AssociationError
from openami.cosem.rights import FULL_ACCESS, READ_ALL, Grant
from openami.cosem.server import ServerConnection
from openami.dlms import data as axdr_data
from openami.dlms.apdu.acse import Aare
from openami.dlms.apdu.codes import DataAccessResult
from openami.dlms.apdu.fields import SelectiveAccess
from openami.dlms.apdu.initiate import Conformance, InitiateRequest
from openami.dlms.association import ApplicationContext
from openami.dlms.data import (
    Array,
    BitString,
    Integer,
    LongUnsigned,
    OctetString,
    Structure,
    VisibleString,
)
from openami.dlms.hls import Mechanism
from openami.dlms.obis import Obis
from openami.dlms.security.suites import SecurityPolicy
from playbooks.demo_meter import CLOCK, ENERGY, LDN, MANAGER, NAME, NOTE, PUBLIC, READER, SAPS, aarq
from playbooks.keeper import Keeper
from playbooks.named_meter import MIRROR, OPEN, Line, NamedMeter, associated
from playbooks.secure_meter import SecureMeter, secure_link
from playbooks.secure_meter import changed as changed_policy

VERSIONS = range(5)
assert CHAPTERS, "importing them declares every class"


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_shows_its_rows(version: int) -> None:
    meter = NamedMeter(version=version)
    link = associated(meter=meter)
    table = REGISTRY[12, version]
    listed = link.run(link.client.objects())
    assert listed[0] == (12, version, CURRENT_ASSOCIATION)
    for row in table.attributes():
        octets = link.run(link.client.get_raw(12, CURRENT_ASSOCIATION, row.index))
        row.kind.from_data(axdr_data.decode(octets))
    line = Line(meter).open()
    behind = 0xFA00 + 8 * len(list(table.attributes()))
    if behind < 0xFA00 + (table.methods_at or 0):
        assert line.ask(f"050102{behind:04x}") == "0c010104"
    for row in table.methods():
        name = 0xFA00 + (table.short_name_offset(row) or 0)
        assert line.ask(f"050102{name:04x}") == "0c01010d", "a method is not read"


def test_users_are_told_apart() -> None:
    users = (UserListEntry(1, VisibleString("ann")), UserListEntry(7, VisibleString("bob")))
    meter = NamedMeter()
    meter.change(READER, user_list=users)
    link = associated(READER, meter=meter, user_id=7)
    get = link.client.get
    assert link.run(get(AssociationSnV4.user_list, at=CURRENT_ASSOCIATION)) == users
    assert link.run(get(AssociationSnV4.current_user, at=CURRENT_ASSOCIATION)) == users[1]
    with pytest.raises(AssociationError):
        associated(READER, meter=meter, user_id=2)


def test_the_object_list_is_what_the_client_sees() -> None:
    link = associated(PUBLIC)
    names = NamedMeter().names
    assert link.run(link.client.get(AssociationSnV4.object_list, at=CURRENT_ASSOCIATION)) == (
        ShortNameElement(0xFA00, 12, 4, CURRENT_ASSOCIATION),
        ShortNameElement(0xFD00, 1, 0, LDN),
        ShortNameElement(0xFC00, 17, 0, SAPS),
        ShortNameElement(names.base_name(CLOCK), 8, 0, CLOCK),
    )


def select(selector: int, parameters: Any) -> Any:
    link = associated()
    selection = SelectiveAccess(selector=selector, parameters=parameters)
    octets = link.run(link.client.get_raw(12, CURRENT_ASSOCIATION, 2, selection=selection))
    return axdr_data.decode(octets)


def test_a_part_of_the_object_list() -> None:
    by_class = select(1, Array((LongUnsigned(3), LongUnsigned(8))))
    assert [element[1] for element in by_class] == [3, 8]
    assert select(1, Array(())) == []
    one = select(2, Structure((LongUnsigned(3), OctetString(ENERGY.encode()))))
    assert one == Structure(
        (
            axdr_data.Long(NamedMeter().names.base_name(ENERGY)),
            LongUnsigned(3),
            axdr_data.Unsigned(0),
            OctetString(ENERGY.encode()),
        )
    )


@pytest.mark.parametrize(
    ("selector", "parameters", "why"),
    [
        (2, Structure((LongUnsigned(4), OctetString(ENERGY.encode()))), "object-undefined"),
        (2, Structure((LongUnsigned(3),)), "scope-of-access-violated"),
        (1, None, "scope-of-access-violated"),
        (3, Array(()), "scope-of-access-violated"),
    ],
)
def test_a_part_that_is_not_there(selector: int, parameters: Any, why: str) -> None:
    with pytest.raises(AccessError, match=why):
        select(selector, parameters)


def test_access_rights() -> None:
    meter = NamedMeter()
    link = associated(READER, meter=meter)
    rights = link.run(link.client.get(AssociationSnV4.access_rights_list, at=CURRENT_ASSOCIATION))
    by_name = {each.base_name: each for each in rights}
    assert set(by_name) >= {0xFA00, 0xFC00, 0xFD00, meter.names.base_name(ENERGY)}
    energy = by_name[meter.names.base_name(ENERGY)]
    assert energy.attribute_access == tuple(
        AttributeAccess(index, Access.READ, None) for index in (1, 2, 3)
    )
    assert [each.access_mode for each in energy.method_access] == [0]
    own = by_name[0xFA00]
    assert [(each.method_id, each.access_mode) for each in own.method_access] == [
        (3, 1), (4, 1), (5, 0), (6, 0), (8, 0), (9, 0), (10, 0)
    ]  # fmt: skip


def test_read_by_logicalname() -> None:
    link = associated(READER)
    act = link.client.act
    method = AssociationSnV4.read_by_logicalname
    wanted = ((3, ENERGY, 2), (1, LDN, 2), (3, ENERGY, 0), (12, CURRENT_ASSOCIATION, 1))
    values = link.run(act(method, wanted, at=CURRENT_ASSOCIATION))  # type: ignore[arg-type]
    assert isinstance(values, Array)
    assert values[:2] == [123_456, OctetString(NAME)]
    assert isinstance(values[2], Structure)
    assert values[2][0] == OctetString(ENERGY.encode())
    assert values[2][1] == 123_456
    assert values[3] == OctetString(CURRENT_ASSOCIATION.encode())
    with pytest.raises(AccessError, match="object-undefined"):
        link.run(act(method, ((3, NOTE, 2),), at=CURRENT_ASSOCIATION))  # type: ignore[arg-type]


def test_read_by_logicalname_gives_null_data_for_what_may_not_be_read() -> None:
    meter = NamedMeter()
    meter.change(OPEN, grants=(Grant(at=ENERGY, read=(1, 3)),))
    link = associated(meter=meter)
    values = link.run(
        link.client.act(
            AssociationSnV4.read_by_logicalname,
            ((3, ENERGY, 0),),  # type: ignore[arg-type]
            at=CURRENT_ASSOCIATION,
        )
    )
    scaler_unit = Structure((Integer(0), axdr_data.Enum(30)))
    assert values == [Structure((OctetString(ENERGY.encode()), None, scaler_unit))]


def test_get_attributes_and_methods() -> None:
    meter = NamedMeter()
    meter.change(
        OPEN, grants=(*READ_ALL, Grant(at=NOTE, write=(2,)), Grant(at=MIRROR, invoke=(2,)))
    )
    link = associated(meter=meter)
    found = link.run(
        link.client.act(
            AssociationSnV4.get_attributes_and_methods,
            ((1, NOTE), (40_001, MIRROR), (3, ENERGY)),  # type: ignore[arg-type]
            at=CURRENT_ASSOCIATION,
        )
    )
    bits = BitString.from_bits
    assert found == (
        AccessDescription(bits("11"), bits("01"), bits("")),
        AccessDescription(bits("1"), bits("0"), bits("010")),
        AccessDescription(bits("111"), bits("000"), bits("0")),
    )


def test_the_methods_that_went_with_version_0() -> None:
    meter = NamedMeter(version=0)
    link = associated(meter=meter)
    act = link.client.act
    by_class = link.run(act(AssociationSn.getlist_by_classid, 3, at=CURRENT_ASSOCIATION))
    energy = ShortNameElement(meter.names.base_name(ENERGY), 3, 0, ENERGY)
    assert by_class == (energy,)
    assert link.run(act(AssociationSn.getobj_by_logicalname, ENERGY, at=CURRENT_ASSOCIATION)) == (
        energy
    )
    with pytest.raises(AccessError, match="object-undefined"):
        link.run(
            act(AssociationSn.getobj_by_logicalname, Obis(9, 9, 9, 9, 9, 9), at=CURRENT_ASSOCIATION)
        )
    with pytest.raises(AccessError, match="read-write-denied"):
        link.run(act(AssociationSn.get_hls_challenge, None, at=CURRENT_ASSOCIATION))
    later = Line(NamedMeter(version=1)).open()
    assert later.ask("050104fa200000") == "0c010104"


def test_what_each_version_adds() -> None:
    link = associated(meter=NamedMeter(version=3))
    get = link.client.get
    assert link.run(get(AssociationSnV3.user_list, at=CURRENT_ASSOCIATION)) == ()
    assert link.run(get(AssociationSnV3.current_user, at=CURRENT_ASSOCIATION)).user_id == 0
    assert (
        link.run(get(AssociationSnV3.security_setup_reference, at=CURRENT_ASSOCIATION))
        == SECURITY_SETUP
    )
    with pytest.raises(AccessError, match="read-write-denied"):
        link.run(
            link.client.act(
                AssociationSnV3.add_user,
                (1, OctetString(b"a")),
                at=CURRENT_ASSOCIATION,  # type: ignore[arg-type]
            )
        )
    older = associated(meter=NamedMeter(version=1))
    with pytest.raises(AccessError, match="object-undefined"):
        older.run(older.client.get(AssociationSnV3.user_list, at=CURRENT_ASSOCIATION))
    assert AssociationSnV1.version == 1


def hls_line(meter: NamedMeter, challenge: str = "11" * 16) -> tuple[Line, str]:
    """A client that has come as far as pass 2 of HLS-MD5; and the server's challenge."""

    meter.change(READER, mechanism=Mechanism.HLS_MD5, secret=b"secret")
    line = Line(meter, READER)

    request = InitiateRequest(
        proposed_conformance=Conformance.READ, client_max_receive_pdu_size=1024
    )
    answer = line.server.receive(
        READER,
        aarq(
            application_context_name=ApplicationContext.SN.oid,
            mechanism_name=Mechanism.HLS_MD5.oid,
            calling_authentication_value=bytes.fromhex(challenge),
            user_information=request.encode(),
        ).encode(),
    )
    assert answer is not None
    challenge_of_server = Aare.decode(answer).responding_authentication_value
    assert challenge_of_server is not None
    return line, challenge_of_server.hex()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("form", ["read", "write"])
def test_pass_3_in_either_form(form: str, version: int) -> None:

    line, challenge = hls_line(NamedMeter(version=version))
    assert line.ask("050102fd08") == "0e050201", "nothing else before the proof"
    assert line.ask("c001c100080000010000ff0200") == "0e010201"
    assert line.ask("05") == "0e050201"
    proof = hashlib.md5(bytes.fromhex(challenge) + b"secret", usedforsecurity=False).hexdigest()
    ours = hashlib.md5(b"\x11" * 16 + b"secret", usedforsecurity=False).hexdigest()
    if form == "read":
        assert line.ask("050104fa58000910" + proof) == "0c01000910" + ours
    else:
        assert line.ask("060102fa58010910" + proof) == "0d0100"
    assert line.ask("050102fd08") == "0c01000910" + NAME.hex()
    assert line.ask("050104fa58000910" + proof) == "0c01010d", "parameters were not negotiated"


@pytest.mark.parametrize(
    ("proof", "answer"),
    [
        ("050104fa58000910" + "00" * 16, "0c0101fa"),
        ("060102fa58010910" + "00" * 16, "0d0101fa"),
        ("050104fa58001105", "0c01010c"),
        ("050104fa58010910" + "00" * 16, "0c01010d"),
        ("060102fa58021105" + "1105", "0d01010c"),
    ],
)
def test_a_wrong_proof_ends_it(proof: str, answer: str) -> None:
    line, _ = hls_line(NamedMeter())
    assert line.ask("060102fa58021105") == "0e060201", "what is no request is no proof either"
    assert line.ask(proof) == answer
    assert line.ask("050102fd08") == "0e050201"


def test_an_object_that_is_added_meanwhile() -> None:
    meter = NamedMeter()
    link = associated(meter=meter)
    before = link.run(link.client.objects())
    added = Obis.parse("1.0.2.8.0.255")
    meter.add(Register(added))
    assert link.run(link.client.objects()) == before
    link.run(link.client.release())
    link.run(link.client.associate())
    assert link.run(link.client.get(Register.logical_name, at=added)) == added
    after = link.run(link.client.objects())
    assert {each.logical_name for each in after} - {each.logical_name for each in before} == {added}


CLASSES = sorted(
    key
    for key, table in REGISTRY.items()
    if table.__module__.startswith("openami.") and key[0] != 12
)


@pytest.mark.parametrize("key", CLASSES, ids=lambda key: f"{key[0]} v{key[1]}")
def test_every_class_is_read_through_its_whole_attribute_list(key: tuple[int, int]) -> None:
    table = REGISTRY[key]
    at = Obis(0, 0, 96, 99, 1, 255)

    @settings(max_examples=3, deadline=None)
    @given(st.data())
    def walk(draw: st.DataObject) -> None:
        thing = table(at)
        sent = {1: OctetString(at.encode())}
        for row in table.attributes():
            if row.index == 1:
                continue
            value = draw.draw(data_of(row.kind), label=row.name)
            thing.values[row.index] = row.kind.from_data(value)
            sent[row.index] = row.kind.to_data(row.kind.from_data(value))
        meter = NamedMeter()
        meter.add(thing)
        meter.names.take(meter)
        link = associated(meter=meter)
        for row in table.attributes():
            if not row.access & Access.READ:
                with pytest.raises(AccessError, match="read-write-denied"):
                    link.run(link.client.get_data(key[0], at, row.index))
                continue
            octets = link.run(link.client.get_raw(key[0], at, row.index))
            assert octets == axdr_data.encode(sent[row.index]), row.name

    walk()


@pytest.mark.parametrize(
    "key",
    [key for key in CLASSES if REGISTRY[key].methods_at is not None],
    ids=lambda key: f"{key[0]} v{key[1]}",
)
def test_every_method_with_a_known_place_is_reached(key: tuple[int, int]) -> None:
    table = REGISTRY[key]
    at = Obis(0, 0, 96, 99, 1, 255)
    thing = table(at)
    called: list[int] = []

    def caller(index: int) -> Any:
        def call(_argument: Any) -> Any:
            called.append(index)
            raise model.Refused(DataAccessResult.TEMPORARY_FAILURE)

        return call

    for row in table.methods():
        thing.bind_method(row, caller(row.index))
    meter = NamedMeter()
    meter.add(thing)
    meter.names.take(meter)
    link = associated(meter=meter)

    @settings(max_examples=1, deadline=None)
    @given(st.data())
    def invoke(draw: st.DataObject) -> None:
        for row in table.methods():
            called.clear()
            argument = draw.draw(data_of(row.argument), label=row.name)
            with pytest.raises(AccessError, match="temporary-failure"):
                link.run(link.client.act_data(key[0], at, row.index, argument))
            assert called == [row.index]

    invoke()


def test_clients_of_either_way_share_one_device() -> None:
    meter = NamedMeter()
    meter.associations[OPEN] = AssociationPolicy(client_sap=OPEN, grants=FULL_ACCESS)
    link = associated(READER, meter=meter)
    assert link.run(link.client.get(Register.value, at=ENERGY)) == 123_456
    server = ServerConnection(meter, entropy=bytes)
    assert server.receive(OPEN, b"\x05\x01\x02\xfa\x08") == bytes.fromhex("d80101")


def test_the_secret_is_changed_for_the_next_association() -> None:
    keeper = Keeper()
    meter = NamedMeter()
    changing = (*READ_ALL, Grant(at=CURRENT_ASSOCIATION, invoke=(5, 6)))
    meter.change(READER, grants=changing, keeper=keeper)
    link = associated(READER, meter=meter)
    change = AssociationSnV4.change_lls_secret
    link.run(link.client.act(change, b"new secret", at=CURRENT_ASSOCIATION))

    assert keeper.secrets == [b"new secret"]
    assert link.run(link.client.get(Register.value, at=ENERGY)) == 123_456, "this one goes on"
    link.run(link.client.release())
    with pytest.raises(AssociationError, match="authentication-failure"):
        link.run(link.client.associate())
    associated(READER, meter=meter, secret=b"new secret")
    link = associated(READER, meter=meter, secret=b"new secret")
    other = AssociationSnV4.change_hls_secret
    with pytest.raises(AccessError, match="read-write-denied"):
        link.run(link.client.act(other, b"x", at=CURRENT_ASSOCIATION))


def test_the_secret_of_hls_is_changed_too() -> None:
    keeper = Keeper()
    meter = NamedMeter()
    meter.change(
        READER,
        mechanism=Mechanism.HLS_MD5,
        grants=(*READ_ALL, Grant(at=CURRENT_ASSOCIATION, invoke=(5, 6))),
        keeper=keeper,
    )
    terms: dict[str, Any] = {"mechanism": Mechanism.HLS_MD5, "meter": meter}
    link = associated(READER, **terms)
    change = AssociationSnV4.change_hls_secret
    link.run(link.client.act(change, b"new secret", at=CURRENT_ASSOCIATION))
    assert keeper.secrets == [b"new secret"]
    associated(READER, secret=b"new secret", **terms)


@pytest.mark.parametrize(
    "grants", [READ_ALL, (*READ_ALL, Grant(at=CURRENT_ASSOCIATION, invoke=(5,)))]
)
def test_a_secret_that_may_not_be_changed(grants: tuple[Grant, ...]) -> None:
    meter = NamedMeter()
    meter.change(READER, grants=grants)
    link = associated(READER, meter=meter)
    with pytest.raises(AccessError, match="read-write-denied"):
        link.run(link.client.act(AssociationSnV4.change_lls_secret, b"new", at=CURRENT_ASSOCIATION))


def test_rows_that_demand_protection() -> None:
    meter = NamedMeter()
    signed = SecurityPolicy.DIGITALLY_SIGNED_REQUEST
    meter.change(
        MANAGER,
        grants=(*READ_ALL, Grant(at=ENERGY, read=(2,), protection=signed)),
    )
    link = associated(MANAGER, meter=meter)
    with pytest.raises(AccessError, match="read-write-denied"):
        link.run(link.client.get(Register.value, at=ENERGY))
    assert link.run(link.client.get(Register.scaler_unit, at=ENERGY)) == ScalerUnit(0, 30)
    rights = link.run(link.client.get(AssociationSnV4.access_rights_list, at=CURRENT_ASSOCIATION))
    (energy,) = (each for each in rights if each.base_name == meter.names.base_name(ENERGY))
    assert energy.attribute_access[1].access_mode & signed == signed


def test_keys_are_replaced_by_short_name() -> None:
    meter = SecureMeter(SUITE_0)
    changed_policy(meter, short_names=NamedMeter().names)
    link = secure_link(SUITE_0, meter=meter, short_names=BaseNames())
    link.run(link.client.associate())
    assert link.run(link.client.get(SecuritySetup.security_suite, at=SECURITY_SETUP)) == 0
    new = bytes(range(100, 116))
    wrapped = meter.master_key.wrap(new)
    link.run(
        link.client.act(SecuritySetup.key_transfer, ((0, wrapped),), at=SECURITY_SETUP)  # type: ignore[arg-type]
    )
    assert meter.ciphering.cipher.keys.encryption_key == new
