# SPDX-License-Identifier: Apache-2.0
"""Layers of protection as protection parameters describe them, put on and taken off.

DLMS UA 1000-1 Ed. 12, 4.4.8 and 4.4.9 (protection parameters), DLMS UA 1000-2 Ed. 10, 9.2.7.2.
Layers are put on in the order of their list and taken off in the other.  A pushed APDU gets whole
envelopes, `envelop`: general-ciphering and general-signing.  Protected data, `put_on`, is what
stands inside of such an envelope, because the parameters beside it are its header: security
header, body and tag; or content and signature, each an octet-string with its length.  For the
latter, and for the order, our reading stands alone.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final

from openami.cosem.classes.protection import (
    AgreedKey,
    IdentifiedKey,
    KeyInfo,
    ProtectionOptions,
    ProtectionParameters,
    ProtectionType,
    WrappedKeyInfo,
)
from openami.dlms.apdu import ciphered
from openami.dlms.apdu.ciphered import AuthenticatedHeader, GeneralCiphering
from openami.dlms.apdu.signed import GeneralSigning
from openami.dlms.axdr import Reader, encode_octet_string
from openami.dlms.errors import SecurityError
from openami.dlms.security.agreement import Parties
from openami.dlms.security.ciphering import Cipher
from openami.dlms.security.counters import CounterBlock, ReceiveWindow, Windows
from openami.dlms.security.credentials import (
    ONE_PASS,
    STATIC_UNIFIED,
    Credentials,
    KeyScheme,
)
from openami.dlms.security.envelopes import open_envelope
from openami.dlms.security.suites import AUTHENTICATED, ENCRYPTED, SIGNED, SecurityControl

CLAUSE: Final = "DLMS UA 1000-1 Ed. 12, 4.4.9"
_TRANSACTION_OCTETS: Final = 8

BITS: Final = {
    ProtectionType.AUTHENTICATION: AUTHENTICATED,
    ProtectionType.ENCRYPTION: ENCRYPTED,
    ProtectionType.AUTHENTICATION_AND_ENCRYPTION: AUTHENTICATED | ENCRYPTED,
    ProtectionType.DIGITAL_SIGNATURE: SIGNED,
}
"""What each type of layer gives: bits of the security control octet, and `SIGNED`."""

Layers = tuple[ProtectionParameters, ...]


@dataclass(slots=True, kw_only=True)
class LayerKeys:
    """What one end shares with another for layers.

    Attributes:
        own_title: Our system title.
        peer_title: The other end's.
        cipher: The global keys.
        counters: Where our invocation counters for them come from.
        credentials: For signatures, and for keys that travel.
        form: Whether the header is under the tag.
        window: What was accepted from the other end under the global keys.
        windows: What was accepted beside that.
    """

    own_title: bytes
    peer_title: bytes
    cipher: Cipher
    counters: CounterBlock
    credentials: Credentials | None = None
    form: AuthenticatedHeader = AuthenticatedHeader.STANDARD
    window: ReceiveWindow = field(default_factory=ReceiveWindow)
    windows: Windows = field(default_factory=Windows)

    def held(self) -> Credentials:
        """Return the credentials.

        Raises:
            SecurityError: None are known.
        """
        if self.credentials is None:
            problem = "signatures, wrapped and agreed keys need credentials, and none are known"
            raise _refused(problem)
        return self.credentials


def _refused(problem: str) -> SecurityError:
    return SecurityError(problem, "protection_parameters", CLAUSE)


def bits_of(layers: Iterable[ProtectionParameters]) -> int:
    """Return what layers give together: bits of the security control octet, and `SIGNED`.

    Raises:
        SecurityError: A type of layer does not exist.
    """
    bits = 0
    for layer in layers:
        bits |= BITS[_type(layer)]
    return bits


def _type(layer: ProtectionParameters) -> ProtectionType:
    try:
        return ProtectionType(layer.protection_type)
    except ValueError:
        raise _refused(f"protection type {layer.protection_type} does not exist") from None


def envelop(keys: LayerKeys, layers: Layers, apdu: bytes) -> bytes:
    """Return an APDU in one envelope after the other.

    Raises:
        SecurityError: What a layer needs is not here, or it names other titles.
    """
    for layer in layers:
        apdu = _seal(keys, layer, apdu).encode()
    return apdu


def put_on(keys: LayerKeys, layers: Layers, octets: bytes) -> tuple[Layers, bytes]:
    """Return data under layers of protection, and their parameters as the other end needs them.

    Raises:
        SecurityError: What a layer needs is not here, or it names other titles.
    """
    done = []
    for layer in layers:
        envelope = _seal(keys, layer, octets)
        key_info = layer.protection_options.key_info
        if isinstance(envelope, GeneralCiphering):
            key_info, octets = _to_options(envelope.key_info), envelope.ciphered_service
        else:
            octets = encode_octet_string(envelope.content) + encode_octet_string(envelope.signature)
        options = ProtectionOptions(
            envelope.transaction_id,
            envelope.originator_system_title,
            envelope.recipient_system_title,
            envelope.other_information,
            key_info,
        )
        done.append(ProtectionParameters(layer.protection_type, options))
    return tuple(done), octets


def take_off(keys: LayerKeys, layers: Layers, octets: bytes) -> bytes:
    """Return data from under its layers; each counter is accepted once.

    Raises:
        DecodeError: Protected data is not well formed.
        SecurityError: A layer is not what its parameters say, or was accepted before.
    """
    accept: list[tuple[int, bytes, int, KeyScheme]] = []
    for layer in reversed(layers):
        kind, options = _type(layer), layer.protection_options
        if options.originator_system_title != keys.peer_title or (
            options.recipient_system_title != keys.own_title
        ):
            raise _refused("the titles are not those of the two ends")
        if kind is ProtectionType.DIGITAL_SIGNATURE:
            octets = _open_signed(keys, options, octets)
            accept.append((SIGNED, options.transaction_id, 0, KeyScheme.IDENTIFIED))
            continue
        envelope = GeneralCiphering(
            transaction_id=options.transaction_id,
            originator_system_title=options.originator_system_title,
            recipient_system_title=options.recipient_system_title,
            other_information=options.other_information,
            key_info=_from_options(options.key_info),
            ciphered_service=octets,
        )
        octets, protection = open_envelope(
            keys.cipher, envelope, required=0, form=keys.form, credentials=keys.credentials
        )
        if protection.control & (AUTHENTICATED | ENCRYPTED) != BITS[kind]:
            raise _refused("the security control octet contradicts the protection type")
        accept.append((0, b"", protection.invocation_counter, protection.scheme))
    ciphers = any(not signed for signed, *_ in accept)
    for signed, transaction_id, counter, scheme in reversed(accept):
        if signed:
            if not ciphers:  # a counter inside or outside proves freshness too
                keys.windows.accept_transaction(transaction_id)
        elif scheme is KeyScheme.IDENTIFIED:
            keys.window.accept(counter)
        else:
            keys.windows.travelling.accept(counter)
    return octets


def _open_signed(keys: LayerKeys, options: ProtectionOptions, octets: bytes) -> bytes:
    reader = Reader(octets)
    content = reader.octet_string("content")
    signature = reader.octet_string("signature")
    reader.end()
    envelope = GeneralSigning(
        transaction_id=options.transaction_id,
        originator_system_title=options.originator_system_title,
        recipient_system_title=options.recipient_system_title,
        other_information=options.other_information,
        content=content,
        signature=signature,
    )
    what = f"protected data of {options.originator_system_title.hex().upper()}"
    keys.held().verify(signature, envelope.signed_octets(), what)
    return content


def _seal(
    keys: LayerKeys, layer: ProtectionParameters, octets: bytes
) -> GeneralCiphering | GeneralSigning:
    kind, options = _type(layer), layer.protection_options
    if options.originator_system_title not in {b"", keys.own_title}:
        raise _refused("the originator's title is not our own")
    if options.recipient_system_title not in {b"", keys.peer_title}:
        raise _refused("the recipient's title is not that of the other end")
    counter = keys.counters.next()
    transaction_id = options.transaction_id or counter.to_bytes(_TRANSACTION_OCTETS)
    if kind is ProtectionType.DIGITAL_SIGNATURE:
        signed = GeneralSigning(
            transaction_id=transaction_id,
            originator_system_title=keys.own_title,
            recipient_system_title=keys.peer_title,
            other_information=options.other_information,
            content=octets,
        )
        return replace(signed, signature=keys.held().sign(signed.signed_octets()))
    key_info, cipher = _key(keys, options.key_info, transaction_id)
    bits = BITS[kind]
    control = SecurityControl.of(
        cipher.keys.suite,
        authenticated=bool(bits & AUTHENTICATED),
        encrypted=bool(bits & ENCRYPTED),
        broadcast=key_info == _BROADCAST,
    )
    envelope = GeneralCiphering(
        transaction_id=transaction_id,
        originator_system_title=keys.own_title,
        recipient_system_title=keys.peer_title,
        other_information=options.other_information,
        key_info=key_info,
        ciphered_service=b"",
    )
    header = envelope.header(keys.form)
    sealed = cipher.seal(control, counter, keys.own_title, octets, aad_prefix=header)
    return replace(envelope, ciphered_service=sealed)


_BROADCAST: Final = ciphered.IdentifiedKey(key_id=ciphered.KeyId.GLOBAL_BROADCAST_ENCRYPTION_KEY)


def _key(
    keys: LayerKeys, key_info: KeyInfo, transaction_id: bytes
) -> tuple[ciphered.KeyInfo, Cipher]:
    """Return the key of one layer that we put on, and how the other end comes to it."""
    match key_info:
        case IdentifiedKey():
            return _from_options(key_info), keys.cipher
        case WrappedKeyInfo():
            scheme = KeyScheme.WRAPPED
        case AgreedKey(key_parameters=parameters):
            if parameters not in _SCHEMES:
                named = parameters.hex().upper() or "(none)"
                raise _refused(f"key-parameters {named} name no scheme")
            scheme = _SCHEMES[parameters]
    parties = Parties(u=keys.own_title, v=keys.peer_title)
    made, key = keys.held().send_key(scheme, parties, transaction_id)
    return made, keys.cipher.with_encryption_key(key)


_SCHEMES: Final = {ONE_PASS: KeyScheme.ONE_PASS, STATIC_UNIFIED: KeyScheme.STATIC_UNIFIED}


def _from_options(key_info: KeyInfo) -> ciphered.KeyInfo:
    match key_info:
        case IdentifiedKey(key_id=key_id):
            try:
                return ciphered.IdentifiedKey(key_id=ciphered.KeyId(key_id))
            except ValueError:
                raise _refused(f"key-id {key_id} does not exist") from None
        case WrappedKeyInfo(kek_id=kek_id, key_ciphered_data=wrapped):
            return ciphered.WrappedKey(kek_id=kek_id, key_ciphered_data=wrapped)
        case AgreedKey(key_parameters=parameters, key_ciphered_data=crossing):
            return ciphered.AgreedKey(key_parameters=parameters, key_ciphered_data=crossing)


def _to_options(key_info: ciphered.KeyInfo | None) -> KeyInfo:
    match key_info:
        case ciphered.WrappedKey(kek_id=kek_id, key_ciphered_data=wrapped):
            return WrappedKeyInfo(kek_id, wrapped)
        case ciphered.AgreedKey(key_parameters=parameters, key_ciphered_data=crossing):
            return AgreedKey(parameters, crossing)
        case ciphered.IdentifiedKey(key_id=key_id):
            return IdentifiedKey(key_id)
        case None:
            return IdentifiedKey(0)
