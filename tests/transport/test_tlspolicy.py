# SPDX-License-Identifier: Apache-2.0
"""What a deployment may choose of TLS and DTLS, and how it is told of a choice that is none."""

from pathlib import Path

import pytest

from openami.runtime.config import ConfigFile
from openami.runtime.errors import ConfigurationError
from openami.transport.tls import Role, TlsIdentity, client_tls
from openami.transport.tlspolicy import SUITES, VERSIONS, Cipher, Policy, Version
from transport.parties import METER, Pki

FILES = 'ca = "ca.crt"\ncertificate = "tls.crt"\nkey = "tls.key"\n'


def read(folder: Path, text: str) -> TlsIdentity:
    path = folder / "config.toml"
    path.write_text(f"[tls]\n{FILES}{text}", encoding="utf-8")
    return TlsIdentity.of(ConfigFile(path).table("tls"))


def test_without_a_word_all_versions_and_suites_are_offered_and_sessions_resumed(
    tmp_path: Path,
) -> None:
    identity = read(tmp_path, "")
    assert identity.policy == Policy()
    assert identity.policy.versions == tuple(VERSIONS)
    assert identity.policy.ciphers == tuple(SUITES)
    assert identity.policy.resumption
    assert identity.revoked is None


def test_a_choice_keeps_its_order(tmp_path: Path) -> None:
    identity = read(
        tmp_path,
        'versions = ["DTLS 1.2", "TLS 1.2"]\nciphers = ["AES128-CCM-8", "AES128-GCM"]\n'
        'resumption = false\nsession_lifetime_s = 60\nrevoked = "ca.crl"\n',
    )
    policy = identity.policy
    assert policy.ciphers == (Cipher.AES128_CCM_8, Cipher.AES128_GCM)
    assert policy.names == ["ECDHE-ECDSA-AES128-CCM8", "ECDHE-ECDSA-AES128-GCM-SHA256"]
    assert policy.names_1_3 == ["TLS_AES_128_CCM_8_SHA256", "TLS_AES_128_GCM_SHA256"]
    assert policy.of_kind(datagrams=False) == [Version.TLS_1_2]
    assert policy.of_kind(datagrams=True) == [Version.DTLS_1_2]
    assert (policy.resumption, policy.session_lifetime_s) == (False, 60)
    assert identity.revoked == tmp_path / "ca.crl"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('versions = ["TLS 1.1"]', 'versions.*"TLS 1.2", "TLS 1.3", "DTLS 1.2", each once'),
        ("versions = []", "a list of one or more"),
        ('ciphers = ["AES128-GCM", "AES128-GCM"]', "each once"),
        ('ciphers = ["CHACHA20"]', 'ciphers.*"AES128-GCM", "AES256-GCM", "AES128-CCM-8"'),
        ("session_lifetime_s = 0", "session_lifetime_s.*1 or more"),
    ],
)
def test_what_is_no_choice_is_refused_by_place(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        read(tmp_path, text)


def test_a_policy_without_the_kind_that_an_address_needs(pki: Pki) -> None:
    tls = client_tls(pki.identity(METER, Role.METER, policy=Policy(versions=(Version.DTLS_1_2,))))
    with pytest.raises(ConfigurationError, match=r"TLS is not among the versions .* \(DTLS 1.2\)"):
        tls.connection("there")


def test_security_level_0_is_for_the_short_tag_alone() -> None:
    assert Policy(ciphers=(Cipher.AES128_CCM_8,)).needs_level_0
    assert not Policy(ciphers=(Cipher.AES128_GCM, Cipher.AES256_GCM)).needs_level_0
