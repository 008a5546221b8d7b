# SPDX-License-Identifier: Apache-2.0
"""Which image runs: decided, verified and remembered at every start.

1. An update that is staged is tried: verified, noted as on trial, run.
2. An update that was on trial, and is still, was not confirmed: the confirmed image runs again.
3. The confirmed image is verified and runs.  A bad one makes way for the other bank's, if that is
   good and not older than the counter allows.
4. With no good image at all the device recovers: nothing runs but what receives a new image, and
   it knows the reason of each bank.

A trial is noted before it runs, so an image that hangs or resets is left at the next start.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from openami.firmware.bank import Bank, FlashMap, load
from openami.firmware.errors import FirmwareError, ImageError
from openami.firmware.flash import ERASED, Flash
from openami.firmware.image import Image
from openami.firmware.state import AT_BOOT, BootState, StateJournal, UpdateState
from openami.firmware.verify import Policy, Verified

NOT_CONFIRMED = "not-confirmed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """An image runs.

    Attributes:
        verified: Exactly what was verified is what must run.
        trial: It must be confirmed before the next start.
        replaced: Why the confirmed image could not run, if this is the other bank's.
    """

    bank: Bank
    verified: Verified
    trial: bool = False
    replaced: ImageError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """No image runs; the reason of each bank, or why nothing is known of them."""

    reasons: Mapping[Bank, ImageError]
    problem: str

    def __str__(self) -> str:
        banks = "; ".join(f"bank {bank.name}: {why}" for bank, why in self.reasons.items())
        return f"{self.problem}{': ' if banks else ''}{banks}"


def boot(flash: Flash, flash_map: FlashMap, policy: Policy) -> Running | Recovery:
    """Return what runs; `policy` without counter and address, which are known here."""
    journal = StateJournal(flash, flash_map)
    state = journal.read()
    if state is None:
        return Recovery(reasons={}, problem="the boot's state is not there: prepare the device")
    if state.state is UpdateState.STAGED:
        found = _tried(flash, flash_map, state, policy)
        if isinstance(found, Running):
            journal.write(replace(state, state=AT_BOOT[state.state]))
            return found
        state = replace(state, state=UpdateState.FAILED, error=found.reason.word)
        journal.write(state)
    elif state.state in AT_BOOT:
        error = state.error or NOT_CONFIRMED
        state = replace(state, state=AT_BOOT[state.state], error=error)
        journal.write(state)
    return _confirmed(flash, flash_map, policy, journal, state)


def _tried(
    flash: Flash, flash_map: FlashMap, state: BootState, policy: Policy
) -> Running | ImageError:
    candidate = state.confirmed.other
    try:
        verified = load(flash, flash_map, candidate, replace(policy, counter=state.counter))
    except ImageError as error:
        return error
    return Running(bank=candidate, verified=verified, trial=True)


def _confirmed(
    flash: Flash, flash_map: FlashMap, policy: Policy, journal: StateJournal, state: BootState
) -> Running | Recovery:
    reasons: dict[Bank, ImageError] = {}
    for bank in (state.confirmed, state.confirmed.other):
        try:
            verified = load(flash, flash_map, bank, replace(policy, counter=state.counter))
        except ImageError as error:
            reasons[bank] = error
            continue
        if bank is not state.confirmed:
            word = reasons[state.confirmed].reason.word
            journal.write(BootState(counter=state.counter, confirmed=bank, error=word))
        return Running(bank=bank, verified=verified, replaced=reasons.get(state.confirmed))
    return Recovery(reasons=reasons, problem="no bank holds an image that may run")


class PrepareError(FirmwareError):
    """A device was prepared before, or its first image is not good."""


def prepare(
    flash: Flash, flash_map: FlashMap, policy: Policy, image: bytes, *, erase: bool = False
) -> Running:
    """Put the first image into bank A of a flash, as a factory does.

    Args:
        flash: Never prepared before, unless `erase`.
        flash_map: Where everything lies.
        policy: What the image must satisfy; its counter is where the device's begins.
        image: Its octets.
        erase: Erase both banks and the state first.

    Raises:
        PrepareError: The flash holds a state already.
        ImageError: The image is not good.
    """
    regions = (*flash_map.slots, flash_map.state, flash_map.scratch)
    if erase:
        for region in regions:
            for page in flash_map.pages(region):
                flash.erase(page)
        flash.sync()
    for region in regions:
        if flash.read(*region).strip(ERASED):
            raise PrepareError(f"the flash at {region.offset:#x} is not erased: it is in use")
    Image.decode(image, room=flash_map.room)
    slot = flash_map.slot(Bank.A)
    flash.program(slot.offset, image + ERASED * (-len(image) % 8))
    flash.sync()
    verified = load(flash, flash_map, Bank.A, policy)
    counter = max(policy.counter or 0, verified.security_counter or 0)
    StateJournal(flash, flash_map).write(BootState(counter=counter, confirmed=Bank.A))
    return Running(bank=Bank.A, verified=verified)
