# SPDX-License-Identifier: Apache-2.0
"""What a manifest's commands come to on one device: what to fetch, what it must be.

`plan` runs the shared sequence and then the steps of an update.  Conditions on the device are
judged at once; what can only be judged when the image is there becomes part of the plan.  A command
or a parameter that is not in the tables is refused: nothing signed is passed over.

=====  ================  ====================================================
code   command           here
=====  ================  ====================================================
1      vendor            compared
2      class             compared
3      image match       in the plan
5      component slot    compared with the slot that is free
14     abort             the sequence fails
24     device            compared
12     component index   a number, or true for all
15     try each          the first that does not fail
20     parameters        kept, for the component
21     fetch             in the plan
23     invoke            in the plan
32     run sequence      run
=====  ================  ====================================================
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum, unique
from typing import Final

from openami.firmware import cbor
from openami.firmware.manifest import (
    SHA256,
    Command,
    Manifest,
    ManifestError,
    ManifestReason,
    Step,
    commands,
)

DEEPEST: Final = 6
UPDATE: Final = (Step.PAYLOAD_FETCH, Step.INSTALL, Step.VALIDATE, Step.LOAD, Step.INVOKE)


@unique
class Code(IntEnum):
    """Commands that are understood."""

    VENDOR = 1
    CLASS = 2
    IMAGE_MATCH = 3
    COMPONENT_SLOT = 5
    SET_COMPONENT_INDEX = 12
    ABORT = 14
    TRY_EACH = 15
    OVERRIDE_PARAMETERS = 20
    FETCH = 21
    INVOKE = 23
    DEVICE = 24
    RUN_SEQUENCE = 32


@unique
class Parameter(IntEnum):
    """Parameters that are understood."""

    VENDOR = 1
    CLASS = 2
    DIGEST = 3
    SLOT = 5
    SIZE = 14
    URI = 21
    DEVICE = 24


_KINDS: Final[Mapping[Parameter, type]] = {
    Parameter.VENDOR: bytes,
    Parameter.CLASS: bytes,
    Parameter.DIGEST: bytes,
    Parameter.SLOT: int,
    Parameter.SIZE: int,
    Parameter.URI: str,
    Parameter.DEVICE: bytes,
}
_CONDITIONS: Final = {
    Code.VENDOR: Parameter.VENDOR,
    Code.CLASS: Parameter.CLASS,
    Code.COMPONENT_SLOT: Parameter.SLOT,
    Code.DEVICE: Parameter.DEVICE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What a device is compared with.

    Attributes:
        vendor_id: A UUID, 16 octets; None where conditions on it fail.
        class_id: Likewise.
        device_id: Likewise.
        slot: Number of the slot that is free.
    """

    vendor_id: bytes | None = None
    class_id: bytes | None = None
    device_id: bytes | None = None
    slot: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What one component is to become.

    Attributes:
        uri: Where it is fetched; None if nothing is fetched.
        sha256: Of the whole image, where the manifest demands a match.
        size: In octets, where the manifest tells it.
        invoked: Whether it is to run.
    """

    component: tuple[bytes, ...]
    uri: str | None = None
    sha256: bytes | None = None
    size: int | None = None
    slot: int | None = None
    invoked: bool = False

    def verify(self, image: bytes) -> None:
        """Accept an image that is what the manifest speaks of.

        Raises:
            ManifestError: It is another, or the manifest does not say which it is.
        """
        if self.sha256 is None:
            raise ManifestError(ManifestReason.MISSING, "no digest to match the image with")
        if self.size is not None and len(image) != self.size:
            detail = f"the image has {len(image)} octets, not {self.size}"
            raise ManifestError(ManifestReason.CONDITION, detail)
        found = hashlib.sha256(image).digest()
        if found != self.sha256:
            detail = f"the image's SHA-256 is {found.hex()[:16]}…, not {self.sha256.hex()[:16]}…"
            raise ManifestError(ManifestReason.CONDITION, detail)


def plan(manifest: Manifest, identity: Identity) -> tuple[Part, ...]:
    """Return what an update by this manifest comes to on a device.

    Raises:
        ManifestError: A condition is not met, or a command is not understood.
    """
    run = _Run(manifest, identity)
    run.sequence(manifest.shared, 0)
    for step in UPDATE:
        run.indexes = [0]
        run.sequence(manifest.steps.get(step, ()), 0)
    return tuple(run.parts)


@dataclass(slots=True)
class _Run:
    manifest: Manifest
    identity: Identity
    indexes: list[int] = field(default_factory=lambda: [0])
    parameters: list[dict[Parameter, object]] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.parts = [Part(component=component) for component in self.manifest.components]
        self.parameters = [{} for _ in self.parts]

    def sequence(self, sequence: tuple[Command, ...], depth: int) -> None:
        if depth > DEEPEST:
            raise ManifestError(ManifestReason.UNSUPPORTED, f"sequences {depth} deep")
        for command in sequence:
            try:
                code = Code(command.code)
            except ValueError:
                detail = f"command {command.code}"
                raise ManifestError(ManifestReason.UNSUPPORTED, detail) from None
            self._command(code, command.argument, depth)

    def _command(self, code: Code, argument: object, depth: int) -> None:
        match code:
            case Code.SET_COMPONENT_INDEX:
                self._set_index(argument)
            case Code.RUN_SEQUENCE:
                self.sequence(commands(_bytes(argument, code)), depth + 1)
            case Code.TRY_EACH:
                self._try_each(argument, depth)
            case Code.ABORT:
                raise ManifestError(ManifestReason.CONDITION, "the manifest aborts here")
            case _:
                for index in self.indexes:
                    self._on_component(code, argument, index)

    def _on_component(self, code: Code, argument: object, index: int) -> None:
        known, part = self.parameters[index], self.parts[index]
        match code:
            case Code.OVERRIDE_PARAMETERS:
                known.update(_parameters(argument))
                self.parts[index] = replace(part, slot=_int(known.get(Parameter.SLOT)))
            case Code.IMAGE_MATCH:
                size = _int(known.get(Parameter.SIZE))
                self.parts[index] = replace(part, sha256=_digest(known), size=size)
            case Code.FETCH:
                uri = known.get(Parameter.URI)
                if not isinstance(uri, str):
                    raise ManifestError(ManifestReason.MISSING, "fetch without a URI")
                self.parts[index] = replace(part, uri=uri)
            case Code.INVOKE:
                self.parts[index] = replace(part, invoked=True)
            case _:
                self._condition(code, known)

    def _condition(self, code: Code, known: dict[Parameter, object]) -> None:
        parameter = _CONDITIONS[code]
        wanted = known.get(parameter)
        if wanted is None:
            detail = f"condition {code.name} without its parameter"
            raise ManifestError(ManifestReason.MISSING, detail)
        here = {
            Code.VENDOR: self.identity.vendor_id,
            Code.CLASS: self.identity.class_id,
            Code.COMPONENT_SLOT: self.identity.slot,
            Code.DEVICE: self.identity.device_id,
        }[code]
        if here != wanted:
            shown = wanted.hex() if isinstance(wanted, bytes) else wanted
            detail = f"it is for {parameter.name.lower()} {shown}"
            raise ManifestError(ManifestReason.CONDITION, detail)

    def _set_index(self, argument: object) -> None:
        if argument is True:
            self.indexes = list(range(len(self.parts)))
            return
        indexes: list[int] = []
        for index in argument if isinstance(argument, list) else [argument]:
            if isinstance(index, bool) or not isinstance(index, int):
                raise ManifestError(ManifestReason.FORM, "a component index is no number")
            if not 0 <= index < len(self.parts):
                raise ManifestError(ManifestReason.FORM, f"there is no component {index}")
            indexes.append(index)
        self.indexes = indexes

    def _try_each(self, argument: object, depth: int) -> None:
        if not isinstance(argument, list) or not argument:
            raise ManifestError(ManifestReason.FORM, "try-each is no list of sequences")
        refusal: ManifestError | None = None
        for each in argument:
            if each is None:
                return
            before = (list(self.indexes), [dict(known) for known in self.parameters], [*self.parts])
            try:
                self.sequence(commands(_bytes(each, Code.TRY_EACH)), depth + 1)
            except ManifestError as error:
                if error.reason is not ManifestReason.CONDITION:
                    raise
                refusal = error
                self.indexes, self.parameters, self.parts = before
            else:
                return
        if refusal is not None:
            raise refusal


def _parameters(argument: object) -> dict[Parameter, object]:
    if not isinstance(argument, dict):
        raise ManifestError(ManifestReason.FORM, "parameters are no map")
    found: dict[Parameter, object] = {}
    for key, value in argument.items():
        try:
            parameter = Parameter(key)
        except ValueError:
            raise ManifestError(ManifestReason.UNSUPPORTED, f"parameter {key!r}") from None
        if not isinstance(value, _KINDS[parameter]) or isinstance(value, bool):
            detail = f"parameter {parameter.name} is no {_KINDS[parameter].__name__}"
            raise ManifestError(ManifestReason.FORM, detail)
        found[parameter] = value
    return found


def _digest(known: dict[Parameter, object]) -> bytes:
    octets = known.get(Parameter.DIGEST)
    if not isinstance(octets, bytes):
        raise ManifestError(ManifestReason.MISSING, "image match without a digest")
    try:
        found = cbor.decode(octets)
    except cbor.CborError as error:
        raise ManifestError(ManifestReason.CBOR, f"a digest: {error}") from None
    match found:
        case [int(algorithm), bytes(digest)] if algorithm == SHA256 and len(digest) == 32:
            return digest
        case _:
            raise ManifestError(ManifestReason.UNSUPPORTED, "a digest that is not SHA-256")


def _int(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _bytes(value: object, code: Code) -> bytes:
    if not isinstance(value, bytes):
        detail = f"the argument of {code.name} is no octet string"
        raise ManifestError(ManifestReason.FORM, detail)
    return value
