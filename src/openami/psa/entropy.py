# SPDX-License-Identifier: Apache-2.0
"""Random octets: health tests on the entropy that is told, and a generator on top.

NIST SP 800-90B, 4.4: the repetition count test (4.4.1) and the adaptive proportion test (4.4.2) on
each octet of the noise source, and 1,024 octets before the first is used (4.3).  NIST SP 800-90A
Rev. 1, 10.1.2: HMAC_DRBG with SHA-256, at 256 bits of security.  A source that fails a test stays
failed: whoever asks gets INSUFFICIENT_ENTROPY until the secure world starts anew.
"""

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, comb, log2
from typing import Final

from openami.psa.status import PsaError, Status

NoiseSource = Callable[[int], bytes]
"""Gives that many octets straight from the noise source."""

APT_WINDOW: Final = 512
"""SP 800-90B, 4.4.2: for samples of more than one bit."""
STARTUP_OCTETS: Final = 1024
"""SP 800-90B, 4.3: no fewer samples are tested at the start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """What was found about the noise source.

    Attributes:
        min_entropy_bits: Of one octet, as assessed; conservative without an assessment.
        false_alarm_exponent: A sound source fails a test once in 2 to this power samples.
    """

    min_entropy_bits: float = 4.0
    false_alarm_exponent: int = 30

    def __post_init__(self) -> None:
        if not 0 < self.min_entropy_bits <= 8:
            raise ValueError(f"an octet has no {self.min_entropy_bits} bits of entropy")

    @property
    def repetition_cutoff(self) -> int:
        """So many equal octets in a row are a fault: 1 + ceil(-log2(alpha) / H)."""
        return 1 + ceil(self.false_alarm_exponent / self.min_entropy_bits)

    @property
    def proportion_cutoff(self) -> int:
        """So often the first octet of a window in it is a fault: 1 + critbinom(W, 2^-H, 1 - alpha).

        A window that holds nothing else is a fault too, where the formula asks for more.
        """
        return min(1 + _critbinom(APT_WINDOW, 2**-self.min_entropy_bits, self._alpha), APT_WINDOW)

    @property
    def _alpha(self) -> float:
        return 2.0**-self.false_alarm_exponent


def _critbinom(trials: int, chance: float, alpha: float) -> int:
    """Return the smallest count that binomial draws exceed with a probability of at most alpha."""
    tail = 0.0
    for count in range(trials, 0, -1):
        exponent = log2(comb(trials, count)) + count * log2(chance)
        exponent += (trials - count) * log2(1 - chance)
        tail += 2.0**exponent
        if tail > alpha:
            return count
    return 0


class HealthTested:
    """A noise source under test; what it gives was tested."""

    __slots__ = ("_apt_count", "_apt_first", "_apt_seen", "_failed", "_last", "_run", "_source",
                 "assessment", "proportion_cutoff", "repetition_cutoff")  # fmt: skip

    def __init__(self, source: NoiseSource, assessment: Assessment | None = None) -> None:
        self._source = source
        self.assessment = assessment or Assessment()
        self.repetition_cutoff = self.assessment.repetition_cutoff
        self.proportion_cutoff = self.assessment.proportion_cutoff
        self._failed = ""
        self._last, self._run = -1, 0
        self._apt_first, self._apt_count, self._apt_seen = -1, 0, 0
        self._test(self._drawn(STARTUP_OCTETS))

    @property
    def failed(self) -> str:
        """What the source failed; empty while it is sound."""
        return self._failed

    def __call__(self, octets: int) -> bytes:
        """Return tested octets; raise `PsaError` INSUFFICIENT_ENTROPY where the source fails."""
        found = b"" if self._failed else self._drawn(octets)
        self._test(found)
        if self._failed:
            raise PsaError(Status.INSUFFICIENT_ENTROPY, self._failed, "noise source")
        return found

    def _drawn(self, octets: int) -> bytes:
        found = self._source(octets)
        if len(found) != octets:
            self._failed = f"the source gave {len(found)} octets, not {octets}"
        return found

    def _test(self, samples: bytes) -> None:
        for sample in samples:
            self._run = self._run + 1 if sample == self._last else 1
            self._last = sample
            if self._run >= self.repetition_cutoff:
                self._failed = f"octet {sample:02X} came {self._run} times in a row"
                return
            if self._apt_seen == 0:
                self._apt_first, self._apt_count = sample, 0
            self._apt_seen = (self._apt_seen + 1) % APT_WINDOW
            self._apt_count += sample == self._apt_first
            if self._apt_count >= self.proportion_cutoff:
                self._failed = (
                    f"octet {sample:02X} came {self._apt_count} times in {APT_WINDOW} octets"
                )
                return


SEED_BITS: Final = 384
"""SP 800-90A, 8.6.7: entropy of the security strength, and half as much for the nonce."""
RESEED_INTERVAL: Final = 10_000
"""Requests between two seeds; 2 to the 48 would be allowed."""
LARGEST_REQUEST_OCTETS: Final = 65_536
"""SP 800-90A, table 2: 2 to the 19 bits a request."""


class HmacDrbg:
    """HMAC_DRBG with SHA-256 (SP 800-90A Rev. 1, 10.1.2)."""

    __slots__ = ("_count", "_entropy", "_interval", "_key", "_seed_octets", "_value")

    def __init__(
        self, entropy: NoiseSource, *, seed_octets: int, personalization: bytes = b"",
        interval: int = RESEED_INTERVAL,
    ) -> None:  # fmt: skip
        self._entropy = entropy
        self._seed_octets = seed_octets
        self._interval = interval
        self._key, self._value = bytes(32), b"\x01" * 32
        self._update(entropy(seed_octets) + personalization)
        self._count = 1

    def __call__(self, octets: int) -> bytes:
        """Return that many random octets; long requests are split."""
        found = b""
        while len(found) < octets:
            found += self._generate(min(octets - len(found), LARGEST_REQUEST_OCTETS))
        return found

    def reseed(self) -> None:
        """Take fresh entropy in."""
        self._update(self._entropy(self._seed_octets))
        self._count = 1

    def _generate(self, octets: int) -> bytes:
        if self._count > self._interval:
            self.reseed()
        found = b""
        while len(found) < octets:
            self._value = self._hmac(self._value)
            found += self._value
        self._update(b"")
        self._count += 1
        return found[:octets]

    def _update(self, provided: bytes) -> None:
        for separator in (b"\x00", b"\x01")[: 2 if provided else 1]:
            self._key = self._hmac(self._value + separator + provided)
            self._value = self._hmac(self._value)

    def _hmac(self, octets: bytes) -> bytes:
        return hmac.digest(self._key, octets, "sha256")


def random_generator(
    source: NoiseSource,
    assessment: Assessment | None = None,
    personalization: bytes = b"",
) -> HmacDrbg:
    """Return a generator on a health-tested source.

    Raises:
        PsaError: INSUFFICIENT_ENTROPY, the source fails its tests.
    """
    tested = HealthTested(source, assessment)
    seed_octets = ceil(SEED_BITS / tested.assessment.min_entropy_bits)
    return HmacDrbg(tested, seed_octets=seed_octets, personalization=personalization)
