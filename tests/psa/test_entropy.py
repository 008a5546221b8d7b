# SPDX-License-Identifier: Apache-2.0
"""Health tests of SP 800-90B and the generator of SP 800-90A."""

import itertools
from collections.abc import Iterator
from fractions import Fraction
from math import comb

import pytest

from openami.psa.entropy import (
    APT_WINDOW,
    LARGEST_REQUEST_OCTETS,
    STARTUP_OCTETS,
    Assessment,
    HealthTested,
    HmacDrbg,
    random_generator,
)
from openami.psa.status import PsaError, Status
from psaworld import Noise


class Scripted:
    """Sound noise first, then what a test wants."""

    def __init__(self, then: Iterator[int]) -> None:
        self.sound = Noise()(STARTUP_OCTETS)
        self.then = then

    def __call__(self, octets: int) -> bytes:
        if self.sound:
            found, self.sound = self.sound[:octets], self.sound[octets:]
            return found
        return bytes(itertools.islice(self.then, octets))


@pytest.mark.parametrize("bits", [1.0, 2.0, 4.0, 8.0])
@pytest.mark.parametrize("exponent", [20, 30])
def test_cutoffs_are_those_of_the_formulas(bits: float, exponent: int) -> None:
    made = Assessment(min_entropy_bits=bits, false_alarm_exponent=exponent)
    assert made.repetition_cutoff == 1 + -(-exponent // int(bits))
    chance = Fraction(1, 2 ** int(bits))
    tail = [
        sum(
            comb(APT_WINDOW, k) * chance**k * (1 - chance) ** (APT_WINDOW - k)
            for k in range(start, APT_WINDOW + 1)
        )
        for start in (made.proportion_cutoff - 1, made.proportion_cutoff)
    ]
    alpha = Fraction(1, 2**exponent)
    assert tail[1] <= alpha < tail[0], "one less would raise more false alarms than allowed"


def test_sp_800_90b_names_a_cutoff() -> None:
    """4.4.1: with H = 1 and alpha = 2 to the -20, 21 equal samples in a row."""
    made = Assessment(min_entropy_bits=1, false_alarm_exponent=20)
    assert made.repetition_cutoff == 21


def test_sound_noise_passes_for_long() -> None:
    source = HealthTested(Noise(), Assessment(min_entropy_bits=7))
    for _ in range(200):
        assert len(source(1000)) == 1000
    assert not source.failed


def stuck() -> Iterator[int]:
    return itertools.repeat(0x5A)


def biased() -> Iterator[int]:
    noise = iter(Noise(b"x")(1 << 16))
    return (0x11 if at % 3 else next(noise) for at in itertools.count())


@pytest.mark.parametrize(("then", "words"), [(stuck, "in a row"), (biased, "in 512 octets")])
def test_a_source_that_fails_stays_failed(then: object, words: str) -> None:
    assert callable(then)
    source = HealthTested(Scripted(then()))
    with pytest.raises(PsaError) as caught:
        source(2048)
    assert caught.value.status is Status.INSUFFICIENT_ENTROPY
    assert words in caught.value.problem
    source._source = Noise()
    with pytest.raises(PsaError):
        source(1)


def test_the_repetition_test_fails_at_its_cutoff_and_not_before() -> None:
    cutoff = Assessment().repetition_cutoff
    for length, fails in ((cutoff - 1, False), (cutoff, True)):
        then = itertools.chain([0xA5] * length, Noise(b"y")(5000))
        source = HealthTested(Scripted(iter(then)))
        assert source._last != 0xA5
        if fails:
            with pytest.raises(PsaError):
                source(100)
        else:
            source(100)


def test_the_proportion_test_fails_at_its_cutoff_and_not_before() -> None:
    cutoff = Assessment().proportion_cutoff
    others = [octet for octet in Noise(b"z")(3 * APT_WINDOW) if octet != 0xA5]
    for count, fails in ((cutoff - 1, False), (cutoff, True)):
        window = [each for at in range(count) for each in (0xA5, others[at])]
        window += others[count : APT_WINDOW - count]
        assert len(window) == APT_WINDOW
        source = HealthTested(Scripted(iter([*window, 0xA5, 0xA5, *others])))
        if fails:
            with pytest.raises(PsaError, match=f"A5 came {cutoff} times in 512 octets"):
                source(2 * cutoff - 1)
        else:
            source(APT_WINDOW + 2)


def test_a_source_that_is_broken_from_the_start_gives_nothing() -> None:
    for source in (bytes, lambda octets: Noise()(octets - 1)):
        with pytest.raises(PsaError) as caught:
            random_generator(source)
        assert caught.value.status is Status.INSUFFICIENT_ENTROPY


def test_a_source_that_gives_too_little_later_fails_too() -> None:
    source = HealthTested(Scripted(iter(b"abc")))
    with pytest.raises(PsaError, match="gave 3 octets, not 4"):
        source(4)


def test_an_octet_has_no_more_than_8_bits() -> None:
    for bits in (0, -1, 8.5):
        with pytest.raises(ValueError, match="bits of entropy"):
            Assessment(min_entropy_bits=bits)


# RFC 6979, A.2.5: the nonce k is the first output of HMAC_DRBG, seeded with key and message hash.
RFC_6979 = (
    (
        "sample",
        "af2bdbe1aa9b6ec1e2ade1d694f41fc71a831d0268e9891562113d8a62add1bf",
        "a6e3c57dd01abe90086538398355dd4c3b17aa873382b0f24d6129493d8aad60",
    ),
    (
        "test",
        "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "d16b6ae827f17175e040871a1c7ec3500192c4c92677336ec2537acaee0008e0",
    ),
)
PRIVATE = "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721"


@pytest.mark.parametrize(("message", "digest", "nonce"), RFC_6979)
def test_the_generator_gives_the_nonces_of_rfc_6979(message: str, digest: str, nonce: str) -> None:
    seed = bytes.fromhex(PRIVATE + digest)
    drbg = HmacDrbg(lambda octets: seed[:octets], seed_octets=len(seed))
    assert drbg(32).hex() == nonce, message


def test_the_generator_goes_on_as_rfc_6979_does() -> None:
    """A.1.2: two candidates are refused, so three follow one another."""
    seed = bytes.fromhex(
        "009a4d6792295a7f730fc3f2b49cbc0f62e862272f01795edf0d54db760f156d0dac04c0322b3a204224"
    )
    drbg = HmacDrbg(lambda octets: seed[:octets], seed_octets=len(seed))
    assert [drbg(32).hex() for _ in range(3)] == [
        "9305a46de7ff8eb107194debd3fd48aa20d5e7656cbe0ea69d2a8d4e7c67314a",
        "c70c78608a3b5be9289be90ef6e81a9e2c1516d5751d2f75f50033e45f73bdeb",
        "475e80e992140567fcc3a50dab90fe84bcd7bb03638e9c4656a06f37f6508a7c",
    ]


def test_the_generator_takes_fresh_entropy_in_time() -> None:
    asked = []

    def entropy(octets: int) -> bytes:
        asked.append(octets)
        return Noise(str(len(asked)).encode())(octets)

    drbg = HmacDrbg(entropy, seed_octets=48, interval=3)
    for _ in range(7):
        drbg(16)
    assert asked == [48, 48, 48]
    drbg(LARGEST_REQUEST_OCTETS * 3 + 1)
    assert len(asked) == 4


def test_generators_differ_by_entropy_and_personalization() -> None:
    first = random_generator(Noise())
    assert first(32) != first(32)
    assert random_generator(Noise())(32) == random_generator(Noise())(32)
    assert random_generator(Noise())(32) != random_generator(Noise(b"other"))(32)
    assert random_generator(Noise())(32) != random_generator(Noise(), personalization=b"x")(32)
    assert random_generator(Noise())(0) == b""
