# SPDX-License-Identifier: Apache-2.0
"""One association's protection: a foreign conversation, both roles, every refusal."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openami.dlms.apdu.ciphered import SERVICE_TAGS
from openami.dlms.errors import DecodeError, DlmsError, ReplayError, SecurityError
from openami.dlms.hls import Handshake, Mechanism
from openami.dlms.security.channel import (
    PLAIN_REQUESTS,
    PLAIN_RESPONSES,
    Role,
    SecureChannel,
)
from openami.dlms.security.ciphering import Cipher
from openami.dlms.security.counters import CounterBlock, ReceiveWindow
from openami.dlms.security.envelopes import (
    UNPROTECTED,
    Envelope,
    GeneralTerms,
    Protection,
    seal_general,
)
from openami.dlms.security.keyset import KeySet
from openami.dlms.security.suites import NO_PROTECTION, SecurityControl, SecurityPolicy
from openami.dlms.wrapper import WrapperFrame
from vectors import vectors

CLIENT, SERVER = b"OAM\xe0\x00\x00\x00\x01", b"OAM\x00\x00\x00\x00\x01"
KEYS = KeySet(
    encryption_key=bytes(range(16)),
    authentication_key=bytes(range(0xD0, 0xE0)),
    broadcast_key=bytes(range(0x20, 0x30)),
)
CIPHER = Cipher(KEYS)
GET_REQUEST = bytes.fromhex("c001c1000100002a0000ff0200")
GET_RESPONSE = bytes.fromhex("c401c1000600001234")
NOTIFICATION = bytes.fromhex("0f00000001000600001234")
EXCEPTION = bytes.fromhex("d80101")
DEDICATED_KEY = bytes(range(0x40, 0x50))


def channel(role: Role, **terms: Any) -> SecureChannel:
    own, peer = (CLIENT, SERVER) if role is Role.CLIENT else (SERVER, CLIENT)
    told: dict[str, Any] = {"own_title": own, "peer_title": peer}
    return SecureChannel(
        cipher=CIPHER, role=role, **({"counters": CounterBlock(0, 1000)} | told | terms)
    )


def ends(**terms: Any) -> tuple[SecureChannel, SecureChannel]:
    return channel(Role.CLIENT, **terms), channel(Role.SERVER, **terms)


def test_conversation_of_foreign_implementations() -> None:
    """Open every APDU of a captured session, check both proofs, and seal each again."""
    frames = [row for row in vectors("dlms/security/sessions.toml") if row["session"] == "gmac"]
    title = b"ABCDEFGH"
    terms: dict[str, Any] = {
        "own_title": title,
        "peer_title": title,
        "counters": CounterBlock(0, 0),
    }
    receivers = {"client": channel(Role.SERVER, **terms), "server": channel(Role.CLIENT, **terms)}
    challenges: dict[str, bytes] = {}
    opened: list[tuple[str, bytes]] = []

    for row in frames:
        apdu = WrapperFrame.decode(row["octets"]).apdu
        sender = row["sender"]
        if apdu[0] in {0x60, 0x61}:  # the protected InitiateRequest or -Response is the last field
            found = apdu.index(bytes.fromhex("8010"))
            challenges[sender] = apdu[found + 2 : found + 18]
            apdu = apdu[apdu.index(b"\xbe") + 4 :]
        plain, protection = receivers[sender].unprotect(apdu)
        opened.append((sender, plain))
        if protection is not UNPROTECTED:
            again = SecureChannel(
                cipher=CIPHER,
                role=Role.SERVER,
                own_title=title,
                counters=CounterBlock(protection.invocation_counter, 2**32 - 1),
            )
            assert again.protect(plain, like=protection) == apdu

    for sender, peer, at in (("client", "server", 2), ("server", "client", 3)):
        assert opened[at][0] == sender
        Handshake(
            mechanism=Mechanism.HLS_GMAC,
            own_title=title,
            peer_title=title,
            own_challenge=challenges[peer],
            peer_challenge=challenges[sender],
            cipher=CIPHER,
        ).verify(opened[at][1][-17:])
    assert opened[0][1].hex() == "01000000065f1f0400401e5dffff"
    assert opened[5][1] == bytes.fromhex("c401c100 0910") + b"GRX0000000123456"
    assert opened[-1] == ("client", bytes.fromhex("6203800100"))


@given(
    apdu=st.sampled_from(SERVICE_TAGS).flatmap(
        lambda row: st.binary(max_size=300).map(lambda rest: bytes([row.plain]) + rest)
    )
    | st.binary(max_size=300).map(lambda rest: b"\x0f" + rest),
    general=st.booleans(),
    dedicated=st.booleans(),
    role=st.sampled_from(Role),
)
def test_what_one_end_protects_the_other_opens(
    *, apdu: bytes, general: bool, dedicated: bool, role: Role
) -> None:
    sender = channel(role, general=general)
    receiver = channel(Role.SERVER if role is Role.CLIENT else Role.CLIENT)
    if dedicated:
        sender.use_dedicated_key(DEDICATED_KEY)
        receiver.use_dedicated_key(DEDICATED_KEY)

    for counter in (0, 1):
        plain, protection = receiver.unprotect(sender.protect(apdu))

        assert plain == apdu
        assert protection.invocation_counter == counter
        assert protection.system_title == sender.own_title
        assert protection.control == 0x30
        if apdu[0] in {0x01, 0x08}:
            assert protection.envelope is Envelope.GLO
        else:
            assert protection.envelope.name == (
                ("GENERAL_" if general or apdu[0] == 0x0F else "") + ("DED" if dedicated else "GLO")
            )


@pytest.mark.parametrize("general", [False, True])
@pytest.mark.parametrize("dedicated", [False, True])
def test_a_response_takes_the_form_of_its_request(*, general: bool, dedicated: bool) -> None:
    client, server = ends()
    client.general = general
    if dedicated:
        client.use_dedicated_key(DEDICATED_KEY)
        server.use_dedicated_key(DEDICATED_KEY)

    _, asked = server.unprotect(client.protect(GET_REQUEST))
    _, answered = client.unprotect(server.protect(GET_RESPONSE, like=asked))

    assert answered.envelope is asked.envelope
    assert answered.control == asked.control


def test_a_response_in_general_ciphering_repeats_the_transaction() -> None:
    client, server = ends()
    terms = GeneralTerms(transaction_id=b"\x11\x22", originator=CLIENT, recipient=SERVER)

    plain, asked = server.unprotect(seal_general(CIPHER, 0, GET_REQUEST, terms))
    answer, answered = client.unprotect(server.protect(GET_RESPONSE, like=asked))

    assert (plain, answer) == (GET_REQUEST, GET_RESPONSE)
    assert answered == Protection(
        SecurityControl(0x30), Envelope.GENERAL, SERVER, answered.invocation_counter, b"\x11\x22"
    )


def test_a_response_is_protected_by_the_policy_even_when_asked_for_less() -> None:
    policy = SecurityPolicy.AUTHENTICATED_REQUEST | SecurityPolicy.from_version_0(2)
    policy &= ~SecurityPolicy.ENCRYPTED_REQUEST  # requests authenticated, responses encrypted
    client = channel(Role.CLIENT, policy=policy, control=SecurityControl(0x10))
    server = channel(Role.SERVER, policy=policy)

    _, asked = server.unprotect(client.protect(GET_REQUEST))
    _, answered = client.unprotect(server.protect(GET_RESPONSE, like=asked))

    assert asked.control == 0x10
    assert answered.control == 0x30


def test_without_a_policy_the_answer_is_as_plain_as_the_question() -> None:
    client, server = ends(policy=NO_PROTECTION)

    assert server.unprotect(GET_REQUEST) == (GET_REQUEST, UNPROTECTED)
    assert server.protect(GET_RESPONSE, like=UNPROTECTED) == GET_RESPONSE
    assert client.unprotect(GET_RESPONSE) == (GET_RESPONSE, UNPROTECTED)
    # A policy on responses holds against a plain question too.
    strict = channel(Role.SERVER, policy=SecurityPolicy.AUTHENTICATED_RESPONSE)
    assert strict.protect(GET_RESPONSE, like=UNPROTECTED)[0] == 0xCC


@pytest.mark.parametrize("tag", sorted(PLAIN_REQUESTS | PLAIN_RESPONSES))
def test_acse_and_exceptions_pass_as_they_are_in_their_direction(tag: int) -> None:
    apdu = bytes([tag, 1, 1])
    client, server = ends()
    sender, receiver = (client, server) if tag in PLAIN_REQUESTS else (server, client)

    assert sender.protect(apdu) == apdu
    assert receiver.unprotect(apdu) == (apdu, UNPROTECTED)
    with pytest.raises(SecurityError, match=f"which the APDU lacks, at APDU with tag {tag:02X}"):
        sender.unprotect(apdu)
    assert sender.counters.following == 0


@pytest.mark.parametrize("general", [False, True])
def test_replays_are_refused_and_say_what_is_expected(*, general: bool) -> None:
    client, server = ends(general=general)
    first, second = client.protect(GET_REQUEST), client.protect(GET_REQUEST)
    server.unprotect(first)
    server.unprotect(second)

    for replayed in (second, first):
        with pytest.raises(ReplayError) as caught:
            server.unprotect(replayed)
        assert caught.value.expected == 2
    assert server.unprotect(client.protect(GET_REQUEST))[0] == GET_REQUEST


def test_a_window_outlives_the_association() -> None:
    window = ReceiveWindow()
    client = channel(Role.CLIENT)
    octets = client.protect(GET_REQUEST)
    channel(Role.SERVER, window=window).unprotect(octets)

    with pytest.raises(ReplayError):
        channel(Role.SERVER, window=window).unprotect(octets)


@pytest.mark.parametrize("general", [False, True])
@pytest.mark.parametrize("apdu", [GET_REQUEST, NOTIFICATION], ids=["service", "general only"])
def test_every_flipped_bit_is_refused_and_moves_no_window(*, general: bool, apdu: bytes) -> None:
    client, server = ends(general=general)
    octets = client.protect(apdu)

    for position in range(len(octets) * 8):
        altered = bytearray(octets)
        altered[position // 8] ^= 1 << position % 8
        with pytest.raises(DlmsError):
            server.unprotect(bytes(altered))
    for length in range(len(octets)):
        with pytest.raises(DlmsError):
            server.unprotect(octets[:length])
    assert server.window.expected == 0
    assert server.unprotect(octets)[0] == apdu


@given(st.binary(max_size=80))
def test_any_octets_are_opened_or_refused(octets: bytes) -> None:
    server = channel(Role.SERVER)
    try:
        _, protection = server.unprotect(octets)
    except (DecodeError, SecurityError):
        assert server.window.expected == 0
    else:
        assert octets[0] in PLAIN_REQUESTS
        assert protection is UNPROTECTED


@pytest.mark.parametrize(
    ("octet", "missing"),
    [(0x10, "encryption"), (0x20, "authentication")],
)
def test_protection_below_the_policy_is_refused(octet: int, missing: str) -> None:
    weak = channel(Role.CLIENT, policy=NO_PROTECTION, control=SecurityControl(octet))
    server = channel(Role.SERVER)

    with pytest.raises(SecurityError, match=f"asks for {missing}, which the APDU lacks, at APDU"):
        server.unprotect(weak.protect(GET_REQUEST))
    assert server.window.expected == 0


def test_a_plain_service_is_refused_by_policy() -> None:
    for apdu in (GET_REQUEST, NOTIFICATION, b"\xe0\xc0\x00\x01\x00\x00\x00"):
        with pytest.raises(SecurityError, match="asks for authentication and encryption, which"):
            channel(Role.SERVER).unprotect(apdu)
    with pytest.raises(DecodeError, match="APDU needs a tag"):
        channel(Role.SERVER).unprotect(b"")


def test_the_title_in_the_envelope_is_the_peers() -> None:
    stranger = channel(Role.CLIENT, own_title=b"OAM\xe0\x00\x00\x00\x02", general=True)
    server = channel(Role.SERVER)

    with pytest.raises(SecurityError, match="from 4F414DE000000002, but the peer is 4F414DE000"):
        server.unprotect(stranger.protect(GET_REQUEST))
    server.peer_title = b""
    with pytest.raises(SecurityError, match="but the peer is unknown"):
        server.unprotect(stranger.protect(GET_REQUEST))
    stranger.general = False
    with pytest.raises(SecurityError, match="0 octets, not 8"):
        server.unprotect(stranger.protect(GET_REQUEST))


def test_a_title_left_out_is_the_peers() -> None:
    client, server = ends(general=True)
    octets = client.protect(GET_REQUEST)

    assert server.unprotect(b"\xdb\x00" + octets[10:])[0] == GET_REQUEST


def test_general_ciphering_for_another_is_refused() -> None:
    server = channel(Role.SERVER)
    for originator, recipient, sentence in (
        (CLIENT, CLIENT, "the APDU is for 4F414DE000000001, not for us"),
        (SERVER, SERVER, "but the peer is 4F414DE000000001"),
    ):
        terms = GeneralTerms(transaction_id=b"", originator=originator, recipient=recipient)
        with pytest.raises(SecurityError, match=sentence):
            server.unprotect(seal_general(CIPHER, 0, GET_REQUEST, terms))
    terms = GeneralTerms(transaction_id=b"", originator=CLIENT, recipient=SERVER)
    octets = seal_general(CIPHER, 0, GET_REQUEST, terms)
    server.unprotect(octets)
    with pytest.raises(ReplayError):
        server.unprotect(octets)


def test_the_envelope_names_the_service_inside() -> None:
    client, server = ends()
    octets = client.protect(GET_REQUEST)

    with pytest.raises(SecurityError, match="envelope C9 holds an APDU with tag C0"):
        server.unprotect(b"\xc9" + octets[1:])
    sealed = CIPHER.seal(SecurityControl(0x30), 0, CLIENT, b"")
    for envelope in (b"\xc8", b"\xdb\x00"):
        with pytest.raises(SecurityError, match=r"holds no APDU"):
            server.unprotect(envelope + bytes([len(sealed)]) + sealed)
    assert server.window.expected == 0


def test_ded_needs_a_dedicated_key_and_not_another() -> None:
    client, server = ends()
    glo = client.protect(GET_REQUEST)
    client.use_dedicated_key(DEDICATED_KEY)
    ded = client.protect(GET_REQUEST)

    with pytest.raises(SecurityError, match="no dedicated key, at APDU with tag D0"):
        server.unprotect(ded)
    server.use_dedicated_key(DEDICATED_KEY[::-1])
    with pytest.raises(SecurityError, match="tag does not match"):
        server.unprotect(ded)
    server.use_dedicated_key(DEDICATED_KEY)
    with pytest.raises(SecurityError, match="tag does not match"):
        server.unprotect(b"\xd0" + glo[1:])
    assert server.unprotect(ded)[0] == GET_REQUEST
    with pytest.raises(ReplayError):
        server.unprotect(ded)


@pytest.mark.parametrize("octet", [0x00, 0x10, 0x20])
def test_a_dedicated_key_comes_authenticated_and_encrypted(octet: int) -> None:
    server = channel(Role.SERVER)
    received = UNPROTECTED._replace(control=SecurityControl(octet))

    with pytest.raises(SecurityError, match="dedicated-key of the InitiateRequest"):
        server.use_dedicated_key(DEDICATED_KEY, received)
    server.use_dedicated_key(DEDICATED_KEY, received._replace(control=SecurityControl(0x30)))


@pytest.mark.parametrize("length", [0, 15, 17])
def test_a_dedicated_key_of_another_size_is_refused(length: int) -> None:
    with pytest.raises(SecurityError, match=f"has {length} octets, not 16"):
        channel(Role.SERVER).use_dedicated_key(bytes(length))


def test_broadcasts_have_a_window_of_their_own() -> None:
    sender = channel(Role.CLIENT, control=SecurityControl(0x70))
    client, server = ends()
    octets = sender.protect(GET_REQUEST)

    assert server.unprotect(octets)[0] == GET_REQUEST
    with pytest.raises(ReplayError):
        server.unprotect(octets)
    _, asked = server.unprotect(client.protect(GET_REQUEST))
    assert asked.invocation_counter == 0
    answer = server.protect(GET_RESPONSE, like=asked._replace(control=SecurityControl(0x70)))
    assert client.unprotect(answer)[1].control == 0x30  # no server answers under everyone's key


def test_an_exhausted_block_sends_nothing() -> None:
    client = channel(Role.CLIENT, counters=CounterBlock(3, 4))
    client.protect(GET_REQUEST)
    with pytest.raises(SecurityError, match="reserve another block before sending"):
        client.protect(GET_REQUEST)


@pytest.mark.parametrize(
    ("terms", "sentence"),
    [
        ({"control": SecurityControl(0x10)}, "lacks, at our own protection"),
        ({"policy": SecurityPolicy.DIGITALLY_SIGNED_RESPONSE}, "a digital signature"),
    ],
)
def test_terms_that_cannot_be_kept_are_refused_at_once(
    terms: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(SecurityError, match=sentence):
        channel(Role.CLIENT, **terms)


def test_a_channel_shows_no_key() -> None:
    client = channel(Role.CLIENT)
    client.use_dedicated_key(b"hidden-hidden-hi")
    assert "hidden" not in repr(client)


def test_a_ciphered_exception_is_opened_like_any_other() -> None:
    client, server = ends()
    sealed = CIPHER.seal(SecurityControl(0x30), 0, SERVER, EXCEPTION)

    assert client.unprotect(b"\xdb\x00" + bytes([len(sealed)]) + sealed)[0] == EXCEPTION
    assert server.protect(EXCEPTION) == EXCEPTION
