# SPDX-License-Identifier: Apache-2.0
"""Strategies for COSEM data and for APDUs: one for each type and for each class."""

from typing import Any

from hypothesis import strategies as st

from openami.dlms import data
from openami.dlms.apdu import (
    access,
    acse,
    action,
    block,
    ciphered,
    codes,
    faults,
    fields,
    get,
    initiate,
    invocation,
    notification,
    read,
    signed,
    variables,
    write,
)
from openami.dlms.apdu import set as set_
from openami.dlms.apdu.codes import ActionResult, DataAccessResult
from openami.dlms.data import Array, BitString, CompactArray, Structure
from openami.dlms.obis import Obis

octet = st.integers(0, 0xFF)
u16 = st.integers(0, 0xFFFF)
u32 = st.integers(0, 0xFFFFFFFF)
short = st.binary(max_size=20)
obis = st.builds(Obis, octet, octet, octet, octet, octet, octet)

latin = st.text(st.characters(max_codepoint=0xFF), max_size=20)
scalars: dict[type, st.SearchStrategy[Any]] = {
    kind: st.integers(kind.LOW, kind.HIGH).map(kind) for kind in data.INTEGER_TYPES
} | {
    type(None): st.none(),
    bool: st.booleans(),
    data.Float32: st.floats(width=32, allow_nan=False).map(data.Float32),
    data.Float64: st.floats(allow_nan=False).map(data.Float64),
    data.OctetString: st.binary(max_size=150).map(data.OctetString),
    data.DateTimeOctets: st.binary(min_size=12, max_size=12).map(data.DateTimeOctets),
    data.DateOctets: st.binary(min_size=5, max_size=5).map(data.DateOctets),
    data.TimeOctets: st.binary(min_size=4, max_size=4).map(data.TimeOctets),
    data.VisibleString: latin.map(data.VisibleString),
    data.Utf8String: st.text(max_size=20).map(data.Utf8String),
    BitString: st.text("01", max_size=20).map(BitString.from_bits),
    data.DontCare: st.just(data.DONT_CARE),
}

described = st.recursive(
    st.sampled_from(sorted({kind.TAG for kind in data.INTEGER_TYPES} | {0x00, 0x03, 0x09})).map(
        lambda tag: bytes((tag,))
    ),
    lambda inner: st.one_of(
        st.tuples(u16, inner).map(lambda pair: b"\x01" + pair[0].to_bytes(2) + pair[1]),
        st.lists(inner, max_size=4).map(lambda types: bytes((2, len(types))) + b"".join(types)),
    ),
    max_leaves=6,
)
compact_arrays = st.builds(CompactArray, described, st.binary(max_size=40))

values: st.SearchStrategy[Any] = st.recursive(
    st.one_of(*scalars.values(), compact_arrays),
    lambda inner: st.one_of(
        st.lists(inner, max_size=5).map(Array), st.lists(inner, max_size=5).map(Structure)
    ),
    max_leaves=12,
)

invoke_ids = octet.map(invocation.InvokeIdAndPriority)
long_invoke_ids = u32.map(invocation.LongInvokeIdAndPriority)
attributes = st.builds(
    fields.AttributeDescriptor, class_id=u16, instance_id=obis, attribute_id=st.integers(-128, 127)
)
methods = st.builds(
    fields.MethodDescriptor, class_id=u16, instance_id=obis, method_id=st.integers(-128, 127)
)
accesses = st.builds(fields.SelectiveAccess, selector=octet, parameters=values)
selections = st.builds(fields.AttributeSelection, attribute=attributes, access=st.none() | accesses)
blocks = st.builds(
    fields.DataBlock, last_block=st.booleans(), block_number=u32, raw_data=st.binary(max_size=200)
)
reasons = octet.map(DataAccessResult)
results = st.one_of(values, reasons)
outcomes = st.builds(
    action.ActionOutcome,
    result=octet.map(ActionResult),
    return_parameters=st.one_of(values, reasons, st.just(fields.ABSENT)),
)
date_times = st.sampled_from([b"", bytes(range(12))])
conformances = st.integers(0, 0xFFFFFF).map(initiate.Conformance)
qualities = st.none() | st.integers(-128, 127)
bit_strings = st.none() | scalars[BitString]
optional = st.none() | short
optional_id = st.none() | st.integers(-(2**31), 2**31)
names = st.one_of(
    st.sampled_from(list(acse.ApplicationContextName)), st.binary(min_size=1, max_size=9)
)
mechanisms = st.none() | st.sampled_from(list(codes.MechanismName)) | short

variable_accesses = st.one_of(
    st.builds(variables.VariableName, name=u16),
    st.builds(variables.ParameterizedAccess, name=u16, selector=octet, parameter=values),
    st.builds(variables.BlockNumberAccess, block_number=u16),
    st.builds(
        variables.ReadDataBlockAccess, last_block=st.booleans(), block_number=u16, raw_data=short
    ),
    st.builds(variables.WriteDataBlockAccess, last_block=st.booleans(), block_number=u16),
)
read_results = st.one_of(
    results,
    st.builds(read.ReadBlock, last_block=st.booleans(), block_number=u16, raw_data=short),
    st.builds(read.ReadBlockTaken, block_number=u16),
)
write_results = st.one_of(reasons, st.builds(write.WriteBlockTaken, block_number=u16))
specifications = st.one_of(
    st.builds(access.AccessGet, attribute=attributes, access=st.none() | accesses),
    st.builds(access.AccessSet, attribute=attributes, access=st.none() | accesses),
    st.builds(access.AccessAction, method=methods),
)
access_outcomes = st.one_of(
    st.builds(access.AccessOutcome, choice=st.sampled_from([1, 2]), result=reasons),
    st.builds(access.AccessOutcome, choice=st.just(3), result=octet.map(ActionResult)),
)


def several(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(strategy, max_size=4).map(tuple)


_IIP = {"invoke_id_and_priority": invoke_ids}
_SPECIFIC: dict[type, dict[str, st.SearchStrategy[Any]]] = {
    get.GetRequestNormal: _IIP | {"attribute": attributes, "access": st.none() | accesses},
    get.GetRequestNext: _IIP | {"block_number": u32},
    get.GetRequestWithList: _IIP | {"attributes": several(selections)},
    get.GetResponseNormal: _IIP | {"result": results},
    get.GetResponseWithDatablock: _IIP
    | {"last_block": st.booleans(), "block_number": u32, "result": st.one_of(short, reasons)},
    get.GetResponseWithList: _IIP | {"results": several(results)},
    set_.SetRequestNormal: _IIP
    | {"attribute": attributes, "access": st.none() | accesses, "value": values},
    set_.SetRequestWithFirstDatablock: _IIP
    | {"attribute": attributes, "access": st.none() | accesses, "block": blocks},
    set_.SetRequestWithDatablock: _IIP | {"block": blocks},
    set_.SetRequestWithList: _IIP | {"attributes": several(selections), "values": several(values)},
    set_.SetRequestWithListAndFirstDatablock: _IIP
    | {"attributes": several(selections), "block": blocks},
    set_.SetResponseNormal: _IIP | {"result": reasons},
    set_.SetResponseDatablock: _IIP | {"block_number": u32},
    set_.SetResponseLastDatablock: _IIP | {"result": reasons, "block_number": u32},
    set_.SetResponseLastDatablockWithList: _IIP
    | {"results": several(reasons), "block_number": u32},
    set_.SetResponseWithList: _IIP | {"results": several(reasons)},
    action.ActionRequestNormal: _IIP
    | {"method": methods, "parameters": st.one_of(values, st.just(fields.ABSENT))},
    action.ActionRequestNextPblock: _IIP | {"block_number": u32},
    action.ActionRequestWithList: _IIP
    | {"methods": several(methods), "parameters": several(values)},
    action.ActionRequestWithFirstPblock: _IIP | {"method": methods, "block": blocks},
    action.ActionRequestWithListAndFirstPblock: _IIP
    | {"methods": several(methods), "block": blocks},
    action.ActionRequestWithPblock: _IIP | {"block": blocks},
    action.ActionResponseNormal: _IIP | {"outcome": outcomes},
    action.ActionResponseWithPblock: _IIP | {"block": blocks},
    action.ActionResponseWithList: _IIP | {"outcomes": several(outcomes)},
    action.ActionResponseNextPblock: _IIP | {"block_number": u32},
    notification.DataNotification: {
        "long_invoke_id_and_priority": long_invoke_ids,
        "date_time": date_times,
        "notification_body": values,
    },
    notification.DataNotificationConfirm: {
        "long_invoke_id_and_priority": long_invoke_ids,
        "date_time": date_times,
    },
    notification.EventNotification: {
        "time": st.none() | date_times,
        "attribute": attributes,
        "value": values,
    },
    faults.ConfirmedServiceError: {
        "service": octet.map(faults.FailedService),
        "category": octet.map(faults.ErrorCategory),
        "number": octet,
    },
    initiate.InitiateRequest: {
        "dedicated_key": optional,
        "response_allowed": st.booleans(),
        "proposed_quality_of_service": qualities,
        "proposed_dlms_version_number": octet,
        "proposed_conformance": conformances,
        "client_max_receive_pdu_size": u16,
    },
    initiate.InitiateResponse: {
        "negotiated_quality_of_service": qualities,
        "negotiated_dlms_version_number": octet,
        "negotiated_conformance": conformances,
        "server_max_receive_pdu_size": u16,
        "vaa_name": u16,
    },
    acse.Aarq: {
        "protocol_version": bit_strings,
        "application_context_name": names,
        "called_ap_title": optional,
        "called_ae_qualifier": optional,
        "called_ap_invocation_id": optional_id,
        "called_ae_invocation_id": optional_id,
        "calling_ap_title": optional,
        "calling_ae_qualifier": st.none() | st.binary(min_size=100, max_size=400),
        "calling_ap_invocation_id": optional_id,
        "calling_ae_invocation_id": optional_id,
        "sender_acse_requirements": bit_strings,
        "mechanism_name": mechanisms,
        "calling_authentication_value": optional,
        "implementation_information": optional,
        "user_information": optional,
    },
    acse.Aare: {
        "protocol_version": bit_strings,
        "application_context_name": names,
        "result": st.sampled_from(acse.AssociationResult),
        "result_source_diagnostic": st.one_of(
            st.sampled_from(acse.AcseServiceUser), st.sampled_from(acse.AcseServiceProvider)
        ),
        "responding_ap_title": optional,
        "responding_ae_qualifier": optional,
        "responding_ap_invocation_id": optional_id,
        "responding_ae_invocation_id": optional_id,
        "responder_acse_requirements": bit_strings,
        "mechanism_name": mechanisms,
        "responding_authentication_value": optional,
        "implementation_information": optional,
        "user_information": optional,
    },
    acse.Rlrq: {
        "reason": st.none() | st.sampled_from(acse.ReleaseRequestReason),
        "user_information": optional,
    },
    acse.Rlre: {
        "reason": st.none() | st.sampled_from(acse.ReleaseResponseReason),
        "user_information": optional,
    },
    access.AccessRequest: {
        "long_invoke_id_and_priority": long_invoke_ids,
        "date_time": date_times,
        "specifications": several(specifications),
        "values": several(values),
    },
    access.AccessResponse: {
        "long_invoke_id_and_priority": long_invoke_ids,
        "date_time": date_times,
        "specifications": st.none() | several(specifications),
        "values": several(values),
        "outcomes": several(access_outcomes),
    },
    block.GeneralBlockTransfer: {
        "last_block": st.booleans(),
        "streaming": st.booleans(),
        "window": st.integers(0, 63),
        "block_number": u16,
        "block_number_ack": u16,
        "block_data": short,
    },
    read.ReadRequest: {"variables": several(variable_accesses)},
    read.ReadResponse: {"results": several(read_results)},
    write.WriteRequest: {"variables": several(variable_accesses), "values": several(values)},
    write.UnconfirmedWriteRequest: {
        "variables": several(variable_accesses),
        "values": several(values),
    },
    write.WriteResponse: {"results": several(write_results)},
    write.InformationReport: {
        "current_time": optional,
        "variables": several(variable_accesses),
        "values": several(values),
    },
    ciphered.ServiceCiphering: {
        "tag": st.sampled_from(sorted(set(ciphered.BY_GLO) | set(ciphered.BY_DED))),
        "ciphered_service": st.binary(max_size=200),
    },
    signed.GeneralSigning: {
        "transaction_id": short,
        "originator_system_title": short,
        "recipient_system_title": short,
        "date_time": short,
        "other_information": short,
        "content": st.binary(max_size=200),
        "signature": st.binary(max_size=96),
    },
    ciphered.GeneralGloCiphering: {
        "system_title": st.sampled_from([b"", b"OAM\x00\x00\x00\x00\x01"]),
        "ciphered_service": short,
    },
}

apdus: dict[type, st.SearchStrategy[Any]] = {
    kind: st.builds(kind, **parts) for kind, parts in _SPECIFIC.items()
} | {
    faults.ExceptionResponse: st.one_of(
        st.builds(
            faults.ExceptionResponse,
            state_error=octet.map(faults.StateError),
            service_error=octet.map(faults.ServiceError),
        ),
        st.builds(
            faults.ExceptionResponse,
            state_error=octet.map(faults.StateError),
            service_error=st.just(faults.ServiceError.INVOCATION_COUNTER_ERROR),
            invocation_counter=u32,
        ),
    ),
}
