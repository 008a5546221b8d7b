# SPDX-License-Identifier: Apache-2.0
"""What boot hands the worlds it starts: the record of this start, and how to ask for it.

===  ===============  ==================================================================
key  field            value; a map in CBOR
===  ===============  ==================================================================
1    bank             0 or 1, where the image lies
2    trial            true until the image is confirmed
3    problem          why another image does not run; empty if none was to
4    seed             32 octets, fresh at each start
5    life cycle       the claim of `psa.lifecycle`
6    isolation        empty: full; else why the parts are not apart
7    components       lists of kind, measurement, signer, version, how it was measured
8    source           true: not from flash, a developer runs the package
===  ===============  ==================================================================

Components are told from the ground up: ROM, boot, image, the programs in it, and what was measured
beside them: the other module of the device, which boots by itself.
"""

from dataclasses import dataclass, field
from typing import Final, Self

from openami.device.sealed import octets_of
from openami.firmware import cbor
from openami.firmware.bank import Bank

SEED_OCTETS: Final = 32
UNSIGNED: Final = bytes(32)
"""Signer of what nobody signed: it was measured only."""


class HandoverError(Exception):
    """Octets that are no record of a start."""


@dataclass(frozen=True, slots=True)
class Component:
    """One piece of software, measured."""

    kind: str
    measurement: bytes
    signer: bytes = UNSIGNED
    version: str = ""
    description: str = "sha-256"

    @property
    def fields(self) -> list[str | bytes]:
        """What travels of it."""
        return [self.kind, self.measurement, self.signer, self.version, self.description]


@dataclass(frozen=True, slots=True, kw_only=True)
class Handover:
    """The record of one start."""

    bank: Bank
    trial: bool
    problem: str = ""
    seed: bytes = field(repr=False)
    life_cycle: int
    isolation: str = ""
    components: tuple[Component, ...] = ()
    from_source: bool = False

    def encode(self) -> bytes:
        record: dict[int, object] = {
            1: int(self.bank),
            2: self.trial,
            3: self.problem,
            4: self.seed,
            5: self.life_cycle,
            6: self.isolation,
            7: [each.fields for each in self.components],
            8: self.from_source,
        }
        return cbor.encode(record)

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        """Read a record.

        Raises:
            HandoverError: It is none.
        """
        try:
            found = cbor.decode(octets)
        except cbor.CborError as error:
            raise HandoverError(f"the record of the start is no CBOR: {error}") from None
        match found:
            case {
                1: 0 | 1 as bank,
                2: bool(trial),
                3: str(problem),
                4: bytes(seed),
                5: int(life_cycle),
                6: str(isolation),
                7: list(components),
                8: bool(from_source),
                **others,
            } if not others and len(seed) == SEED_OCTETS:
                return cls(
                    bank=Bank(bank),
                    trial=trial,
                    problem=problem,
                    seed=seed,
                    life_cycle=life_cycle,
                    isolation=isolation,
                    components=tuple(map(_component, components)),
                    from_source=from_source,
                )
            case _:
                raise HandoverError("the record of the start is not as docs/firmware.md draws it")


def handed_over(descriptor: int | None) -> Handover | None:
    """Return the record that lies behind an inherited descriptor; None without one.

    Raises:
        SealError: It could still be changed.
        HandoverError: It is none.
    """
    return None if descriptor is None else Handover.decode(octets_of(descriptor))


def encode_components(components: tuple[Component, ...]) -> bytes:
    """Return components as they travel without a record."""
    return cbor.encode([each.fields for each in components])


def decode_components(octets: bytes) -> tuple[Component, ...]:
    """Read what `encode_components` wrote.

    Raises:
        HandoverError: It is not that.
    """
    try:
        found = cbor.decode(octets)
    except cbor.CborError as error:
        raise HandoverError(f"the components of a start are no CBOR: {error}") from None
    if not isinstance(found, list):
        raise HandoverError("the components of a start are no list")
    return tuple(map(_component, found))


def _component(found: object) -> Component:
    match found:
        case [str(kind), bytes(measurement), bytes(signer), str(version), str(description)]:
            return Component(kind, measurement, signer, version, description)
        case _:
            raise HandoverError("a component of a start has five fields")
