# SPDX-License-Identifier: Apache-2.0
"""Key derivation: HKDF (RFC 5869) and the PRF of TLS 1.2 (RFC 5246, 5).

PSA Certified Crypto API, Key derivation.  An operation takes its inputs in the order that `PLANS`
gives, then is read as a stream of octets that ends with its capacity.  Whether keys may be made of
it, or octets told, depends on the keys that went in.
"""

from dataclasses import dataclass
from enum import IntEnum
from hmac import compare_digest
from typing import Final

from cryptography.hazmat.primitives import hmac

from openami.psa import algorithms, asymmetric, formats, operations
from openami.psa.algorithms import Algorithm, HashKind
from openami.psa.attributes import KeyAttributes, KeyType, Usage, check_creation
from openami.psa.keystore import Key, KeyStore
from openami.psa.operations import Call, Operation
from openami.psa.status import PsaError, Status


class Step(IntEnum):
    """psa_key_derivation_step_t; the numbers are those of the reference implementation."""

    SECRET = 0x0101
    PASSWORD = 0x0102
    OTHER_SECRET = 0x0103
    LABEL = 0x0201
    SALT = 0x0202
    INFO = 0x0203
    SEED = 0x0204
    COST = 0x0205


@dataclass(frozen=True, slots=True)
class Plan:
    """What a derivation takes.

    Attributes:
        before: The steps, each with those that must have come before it.
        required: Without these there is no output.
        blocks: How many blocks of the hash can be read; None for as much as anyone wants.
    """

    before: dict[Step, frozenset[Step]]
    required: frozenset[Step]
    blocks: int | None

    @property
    def steps(self) -> frozenset[Step]:
        """All steps."""
        return frozenset(self.before)


_NOTHING: Final[frozenset[Step]] = frozenset()

PLANS: Final[dict[Algorithm, Plan]] = {
    algorithms.HKDF_BASE: Plan(
        {Step.SALT: _NOTHING, Step.SECRET: _NOTHING, Step.INFO: _NOTHING},
        frozenset({Step.SECRET, Step.INFO}),
        255,
    ),
    algorithms.HKDF_EXTRACT_BASE: Plan(
        {Step.SALT: _NOTHING, Step.SECRET: frozenset({Step.SALT})},
        frozenset({Step.SALT, Step.SECRET}),
        1,
    ),
    algorithms.HKDF_EXPAND_BASE: Plan(
        {Step.SECRET: _NOTHING, Step.INFO: frozenset({Step.SECRET})},
        frozenset({Step.SECRET, Step.INFO}),
        255,
    ),
    algorithms.TLS12_PRF_BASE: Plan(
        {
            Step.SEED: _NOTHING,
            Step.SECRET: frozenset({Step.SEED}),
            Step.LABEL: frozenset({Step.SECRET}),
        },
        frozenset({Step.SEED, Step.SECRET, Step.LABEL}),
        None,
    ),
}
"""By algorithm without its hash.  The salt of HKDF must not come behind the secret."""

UNLIMITED_OCTETS: Final = 0xFFFFFFFF
"""PSA_KEY_DERIVATION_UNLIMITED_CAPACITY, as a 32-bit caller sees it."""

_SECRET_KINDS: Final = frozenset({KeyType.DERIVE})
_PUBLIC_KINDS: Final = frozenset({KeyType.RAW_DATA})


class KeyDerivation(Operation):
    """psa_key_derivation_operation_t."""

    TABLE = operations.DERIVATION

    def __init__(self, keys: KeyStore, client: int) -> None:
        self._keys = keys
        self._client = client
        self._clear()

    def _clear(self) -> None:
        self._alg = algorithms.NONE
        self._plan = Plan({}, _NOTHING, 0)
        self._kind: HashKind = algorithms.HASHES[algorithms.SHA_256]
        self._inputs: dict[Step, bytes] = {}
        self._secret_is_key = False
        self._tells = True
        self._capacity = 0
        self._blocks = 0
        self._stream = b""
        self._chain = b""
        self._secret = b""

    def setup(self, alg: Algorithm) -> None:
        with self._call(Call.SETUP):
            if not algorithms.is_derivation(alg):
                raise algorithms.wrong_category(alg, algorithms.Category.KEY_DERIVATION)
            inner = algorithms.derivation_of(alg)
            plan = PLANS.get(inner & ~0xFF)
            agrees = algorithms.category(alg) == algorithms.Category.KEY_AGREEMENT
            if plan is None or (agrees and algorithms.agreement_of(alg) != algorithms.ECDH):
                raise algorithms.unsupported(alg)
            kind = algorithms.hash_kind(algorithms.hash_of(alg))
            self._alg, self._plan, self._kind = alg, plan, kind
            limit = plan.blocks
            self._capacity = UNLIMITED_OCTETS if limit is None else limit * kind.octets

    def get_capacity(self) -> int:
        """psa_key_derivation_get_capacity: how many octets can still be read."""
        with self._call(Call.GET_CAPACITY):
            return self._capacity

    def set_capacity(self, octets: int) -> None:
        """psa_key_derivation_set_capacity: lower it; a higher one changes nothing."""
        with self._call(Call.SET_CAPACITY, frozenset({Status.INVALID_ARGUMENT})):
            if not 0 <= octets <= self._capacity:
                raise self._refused(f"the capacity is {self._capacity} and cannot become {octets}")
            self._capacity = octets

    def input_bytes(self, step: int, octets: bytes) -> None:
        """psa_key_derivation_input_bytes; a secret given so makes no keys."""
        with self._call(Call.INPUT):
            self._take(self._step(step), octets)

    def input_integer(self, step: int, value: int) -> None:
        """psa_key_derivation_input_integer: none of the algorithms here takes a number."""
        with self._call(Call.INPUT):
            raise self._refused(f"{self._step(step).name} {value}: it takes no numbers")

    def input_key(self, step: int, key_id: int) -> None:
        """psa_key_derivation_input_key."""
        with self._call(Call.INPUT):
            step = self._step(step)
            usage = Usage.DERIVE | Usage.VERIFY_DERIVATION
            key = self._keys.use(self._client, key_id, usage, self._alg)
            allowed = _SECRET_KINDS if step is Step.SECRET else _PUBLIC_KINDS
            if key.kind not in allowed:
                raise self._refused(f"a key of type {key.kind.name} is no {step.name}")
            self._take(step, key.material)
            self._account(step, key)

    def key_agreement(self, step: int, key_id: int, peer: bytes) -> None:
        """psa_key_derivation_key_agreement: agree on the secret, and take it as this input."""
        with self._call(Call.INPUT):
            step = self._step(step)
            if algorithms.category(self._alg) != algorithms.Category.KEY_AGREEMENT:
                raise self._refused("no key agreement was set up")
            key = self._keys.use(self._client, key_id, Usage.DERIVE, self._alg)
            if step is not Step.SECRET:
                raise self._refused(f"a shared secret is no {step.name}")
            self._take(step, asymmetric.shared_secret(key, self._alg, peer))
            self._account(step, key)

    def output_bytes(self, octets: int) -> bytes:
        """psa_key_derivation_output_bytes: return what comes next.

        Raises:
            PsaError: INSUFFICIENT_DATA, the capacity was less and is 0 now; NOT_PERMITTED.
        """
        with self._call(Call.READ, frozenset({Status.INSUFFICIENT_DATA})):
            self._check_inputs()
            if not self._tells:
                raise self._not_permitted("a key that went in may only verify")
            return self._read(octets)

    def output_key(self, attributes: KeyAttributes) -> int:
        """psa_key_derivation_output_key: make a key of what comes next; return its identifier."""
        with self._call(Call.READ, frozenset({Status.INSUFFICIENT_DATA})):
            self._check_inputs()
            if not (self._tells and self._secret_is_key):
                raise self._not_permitted("the secret was no key that permits derivation")
            kind = check_creation(attributes)
            if kind.is_public:
                raise self._refused("a public key is not derived: derive the pair")
            formats.check_size(kind, attributes.bits)
            return self._keys.import_key(self._client, attributes, self._derive(kind, attributes))

    def verify_bytes(self, expected: bytes) -> None:
        """psa_key_derivation_verify_bytes: compare what comes next, and do not tell it."""
        with self._call(Call.READ, frozenset({Status.INSUFFICIENT_DATA, Status.INVALID_SIGNATURE})):
            self._check_inputs()
            self._verify(expected)

    def verify_key(self, key_id: int) -> None:
        """psa_key_derivation_verify_key: compare what comes next with a key."""
        with self._call(Call.READ, frozenset({Status.INSUFFICIENT_DATA, Status.INVALID_SIGNATURE})):
            self._check_inputs()
            key = self._keys.use(self._client, key_id, Usage.VERIFY_DERIVATION, self._alg)
            self._verify(key.material)

    def _step(self, number: int) -> Step:
        try:
            return Step(number)
        except ValueError:
            raise self._refused(f"there is no step 0x{number:04X}") from None

    def _take(self, step: Step, octets: bytes) -> None:
        if step not in self._plan.steps:
            raise self._refused(f"it has no step {step.name}")
        missing = self._plan.before[step] - self._inputs.keys()
        salt_late = step is Step.SALT and Step.SECRET in self._inputs
        if step in self._inputs or missing or salt_late:
            problem = f"the step {step.name} comes out of order, or again"
            raise PsaError(Status.BAD_STATE, problem, algorithms.named(self._alg))
        self._inputs[step] = octets

    def _account(self, step: Step, key: Key) -> None:
        if step is Step.SECRET:
            self._secret_is_key = True
        if not key.attributes.usage & Usage.DERIVE:
            self._tells = False

    def _check_inputs(self) -> None:
        missing = self._plan.required - self._inputs.keys()
        if missing:
            problem = f"the step {min(missing).name} was not given"
            raise PsaError(Status.BAD_STATE, problem, algorithms.named(self._alg))

    def _verify(self, expected: bytes) -> None:
        if not compare_digest(self._read(len(expected)), expected):
            problem = "the derived octets are others"
            raise PsaError(Status.INVALID_SIGNATURE, problem, algorithms.named(self._alg))

    def _derive(self, kind: KeyType, attributes: KeyAttributes) -> bytes:
        if not kind.is_pair:
            octets = self._read(attributes.bits // 8)
            return formats.odd_parity(octets) if kind is KeyType.DES else octets
        curve = formats.curve_of_bits(attributes.bits)
        while True:  # the specification's way: draw again until the number is below order - 1
            number = int.from_bytes(self._read(curve.octets)) + 1
            if number < curve.order:
                return number.to_bytes(curve.octets)

    def _read(self, octets: int) -> bytes:
        if octets < 0:
            raise self._refused(f"{octets} octets cannot be read")
        if octets > self._capacity:
            left, self._capacity = self._capacity, 0
            problem = f"{octets} octets were asked and {left} are left"
            raise PsaError(Status.INSUFFICIENT_DATA, problem, algorithms.named(self._alg))
        while len(self._stream) < octets:
            self._stream += self._next_block()
        found, self._stream = self._stream[:octets], self._stream[octets:]
        self._capacity -= octets
        return found

    def _next_block(self) -> bytes:
        self._blocks += 1
        number = self._blocks
        inputs = self._inputs
        match algorithms.derivation_of(self._alg) & ~0xFF:
            case algorithms.TLS12_PRF_BASE:
                seed = inputs[Step.LABEL] + inputs[Step.SEED]
                secret = inputs[Step.SECRET]
                self._chain = self._hmac(secret, self._chain or seed)
                return self._hmac(secret, self._chain + seed)
            case algorithms.HKDF_EXTRACT_BASE:
                return self._hmac(inputs[Step.SALT], inputs[Step.SECRET])
            case algorithms.HKDF_EXPAND_BASE:
                self._secret = inputs[Step.SECRET]
            case _:
                self._secret = self._secret or self._hmac(
                    inputs.get(Step.SALT, b""), inputs[Step.SECRET]
                )
        self._chain = self._hmac(self._secret, self._chain + inputs[Step.INFO] + bytes((number,)))
        return self._chain

    def _hmac(self, key: bytes, octets: bytes) -> bytes:
        context = hmac.HMAC(key or bytes(1), self._kind.digest())  # zeros pad any key
        context.update(octets)
        return context.finalize()

    def _refused(self, problem: str) -> PsaError:
        return PsaError(Status.INVALID_ARGUMENT, problem, algorithms.named(self._alg))

    def _not_permitted(self, problem: str) -> PsaError:
        return PsaError(Status.NOT_PERMITTED, problem, algorithms.named(self._alg))

    def _forget(self) -> None:
        self._clear()
