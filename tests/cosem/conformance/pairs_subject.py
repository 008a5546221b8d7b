# SPDX-License-Identifier: Apache-2.0
"""Our own server in suites 1 and 2 as the meter under test."""

from functools import partial

from cosem.conformance.subject import Subject
from dlmskeys import SUITE_1, credentials, keys, master_key, pair
from openami.cosem.conformance.declaration import Declaration, DeclaredAssociation, Row
from openami.cosem.device import SECURITY_SETUP, AssociationPolicy
from openami.cosem.rights import FULL_ACCESS
from openami.cosem.serving.opening import referencing_of
from openami.dlms.hls import Mechanism
from openami.dlms.security.certificates import Certificate, CertificateType
from openami.dlms.security.counters import EXHAUSTED, CounterBlock
from openami.dlms.security.suites import SecurityPolicy, SecuritySuite
from playbooks.demo_meter import CLIENT_TITLE, LOAD_PROFILE, MANAGER, METER_TITLE, NOTE
from playbooks.secure_meter import CLIENT, METER, SETUP_V1, Authority, SecureMeter

SIGNER = 2


def meter_of(suite: SecuritySuite) -> SecureMeter:
    """The demo meter of a suite, with certificates and a client that proves itself by ECDSA."""
    meter = SecureMeter(suite)
    manager = meter.associations[MANAGER]
    meter.associations[SIGNER] = AssociationPolicy(
        client_sap=SIGNER,
        mechanism=Mechanism.HLS_ECDSA,
        ciphering=meter.ciphering,
        credentials=manager.credentials,
        grants=FULL_ACCESS,
    )
    authority = Authority("test root", pair(suite, METER).signing.key.curve)
    held = meter.certificates
    issued = [authority.certificate]
    for seed, title in ((METER, METER_TITLE), (CLIENT, CLIENT_TITLE)):
        ours, name = pair(suite, seed), title.hex().upper()
        issued += [
            authority.issue(ours.signing.key.public_key(), name),
            authority.issue(ours.agreement.key.public_key(), name, signs=False, agrees=True),
        ]
    held.held = [Certificate.decode(each) for each in issued]
    own = pair(suite, METER)
    held.in_use[CertificateType.DIGITAL_SIGNATURE] = own.signing.key
    held.in_use[CertificateType.KEY_AGREEMENT] = own.agreement.key
    return meter


def declaration_of(meter: SecureMeter, suite: SecuritySuite) -> Declaration:
    """What `meter_of` may claim; both clients count together: one title, one key."""
    counters = CounterBlock(1, EXHAUSTED)

    def declared(name: str, sap: int) -> DeclaredAssociation:
        policy = meter.associations[sap]
        return DeclaredAssociation(
            name=name,
            client_sap=sap,
            mechanism=policy.mechanism,
            keys=keys(suite),
            master_key=master_key(suite),
            credentials=credentials(suite, CLIENT, METER),
            client_title=CLIENT_TITLE,
            policy=meter.ciphering.policy,
            security_setup=SETUP_V1,
            counters=counters,
            conformance=referencing_of(policy).offered(policy.conformance),
        )

    return Declaration(
        name=f"demo meter of suite {suite:d}",
        associations=(declared("manager", MANAGER), declared("signer", SIGNER)),
        test_attribute=Row(class_id=1, logical_name=NOTE, attribute=2),
        profile=LOAD_PROFILE,
    )


def subject_of(suite: SecuritySuite = SUITE_1) -> Subject:
    """A meter of a suite; its line is not declared."""
    return Subject(meter=meter_of(suite), declare=lambda meter, _: declaration_of(meter, suite))


SIGNATURES = SecurityPolicy.DIGITALLY_SIGNED_REQUEST | SecurityPolicy.DIGITALLY_SIGNED_RESPONSE


def signing_subject() -> Subject:
    """A meter of suite 1 whose policy asks for signatures both ways, and says so."""
    meter = meter_of(SUITE_1)
    meter.store.activate(meter.ciphering.policy | SIGNATURES)
    meter._objects._made.pop(SECURITY_SETUP.encode())  # version 0 cannot say such a policy
    return Subject(meter=meter, declare=lambda found, _: declaration_of(found, SUITE_1))


SUBJECTS = {f"suite {suite:d}": partial(subject_of, suite) for suite in SecuritySuite if suite}
