"""Managers and the cache they share against a model: what is asked for beneath, and which messages share a data key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import settings, strategies
from hypothesis.stateful import RuleBasedStateMachine, rule
from testkit.contracts import caching

from envelope_sdk import AlgorithmSuite, CommitmentPolicy, EncryptionContext
from envelope_sdk.cache.local import LocalCache
from envelope_sdk.errors import CommitmentPolicyError, KeyringError
from envelope_sdk.formats import EncryptedDataKey
from envelope_sdk.materials import DecryptionMaterials, DecryptionRequest, EncryptionMaterials, EncryptionRequest

SUITES = [
    AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY,
    AlgorithmSuite.AES_256_GCM_IV12_TAG16_HKDF_SHA256,
    AlgorithmSuite.AES_256_GCM_IV12_TAG16,
]
CONTEXTS = [EncryptionContext(), EncryptionContext({"tenant": "a"}), EncryptionContext({"tenant": "b"})]
MANAGERS: list[dict[str, Any]] = [
    {"partition": "p", "max_age_seconds": 10, "max_messages": 3, "max_bytes": 50},
    {"partition": "p", "max_age_seconds": 4, "max_messages": 5, "max_bytes": 20},
    {"partition": "q", "max_age_seconds": 10, "max_messages": 2, "max_bytes": 2**40},
    {"partition": "r", "max_age_seconds": 10, "max_messages": 100, "max_bytes": 0},
]
"""How the managers differ; the first two share what is in the cache."""

managers = strategies.sampled_from(range(len(MANAGERS)))
policies = strategies.sampled_from(CommitmentPolicy)


class Numbered:
    """A keyring whose data keys are numbers, in the order they were made; it wraps them in clear."""

    def __init__(self) -> None:
        self.made = 0
        self.opened = 0
        self.failing = False

    def on_encrypt(self, materials: EncryptionMaterials) -> EncryptionMaterials:
        self.made += 1
        if self.failing:
            raise KeyringError("it fails")
        data_key = self.made.to_bytes(materials.algorithm_suite.key_length, "big")
        return materials.with_data_key(data_key, EncryptedDataKey("clear", b"", data_key))

    def on_decrypt(self, materials: DecryptionMaterials, keys: Sequence[EncryptedDataKey]) -> DecryptionMaterials:
        self.opened += 1
        if self.failing:
            raise KeyringError("it fails")
        return materials.with_data_key(keys[0].ciphertext)


class Kept:
    """What the model knows of one data key in the cache."""

    def __init__(self, key: bytes, created: float, age: float) -> None:
        self.key = key
        self.created = created
        self.age = age
        self.messages = 0
        self.bytes = 0

    def is_young(self, now: float, age: float) -> bool:
        return now < self.created + min(age, self.age)

    def has_room(self, length: int, limits: dict[str, Any]) -> bool:
        return self.messages < limits["max_messages"] and self.bytes + length <= limits["max_bytes"]


class ManagersMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.keyring = Numbered()
        self.cache = LocalCache(clock=lambda: self.now)
        self.managers = [caching(self.keyring, cache=self.cache, **limits) for limits in MANAGERS]
        self.writing: dict[object, Kept] = {}
        self.reading: dict[object, Kept] = {}
        self.written: list[EncryptionMaterials] = []
        self.shared: set[bytes] = set()

    @rule(
        number=managers,
        suite=strategies.sampled_from(SUITES),
        context=strategies.sampled_from(CONTEXTS),
        length=strategies.sampled_from([None, -1, 0, 1, 10, 20, 50, 51]),
        policy=policies,
    )
    def encrypt(
        self,
        number: int,
        suite: AlgorithmSuite,
        context: EncryptionContext,
        length: int | None,
        policy: CommitmentPolicy,
    ) -> None:
        limits, before = MANAGERS[number], self.keyring.made
        request = EncryptionRequest(context, policy, suite, length)
        forbidden = suite.committing == (policy is CommitmentPolicy.FORBID_ENCRYPT_ALLOW_DECRYPT)
        shared = suite.kdf_hash is not None and length is not None and 0 <= length <= limits["max_bytes"]
        place = limits["partition"], suite, context
        kept = self.writing.get(place) if shared else None
        if forbidden:
            self._refused(CommitmentPolicyError, lambda: self.managers[number].get_encryption_materials(request))
            assert self.keyring.made == before
            return
        found = kept if kept and kept.is_young(self.now, limits["max_age_seconds"]) else None
        if found and not found.has_room(length or 0, limits):
            found = None
            # Whatever comes of the load, nobody gets this one any more.
            del self.writing[place]
        if found is None and self.keyring.failing:
            self._refused(KeyringError, lambda: self.managers[number].get_encryption_materials(request))
            assert self.keyring.made == before + 1
            return

        made = self.managers[number].get_encryption_materials(request)

        assert self.keyring.made == before + (found is None)
        assert made.algorithm_suite is suite
        assert made.encryption_context == context
        key = made.plaintext_data_key
        assert key is not None
        assert key == (found.key if found else self.keyring.made.to_bytes(suite.key_length, "big"))
        self.written.append(made)
        if shared:
            if found is None:
                found = self.writing[place] = Kept(key, self.now, limits["max_age_seconds"])
            found.messages += 1
            found.bytes += length or 0
            self.shared.add(key)
        else:
            assert key not in self.shared

    @rule(number=managers, index=strategies.integers(0, 99), policy=policies)
    def decrypt(self, number: int, index: int, policy: CommitmentPolicy) -> None:
        if not self.written:
            return
        limits, before = MANAGERS[number], self.keyring.opened
        message = self.written[index % len(self.written)]
        suite, keys, context = message.algorithm_suite, message.encrypted_data_keys, message.encryption_context
        request = DecryptionRequest(suite, keys, context, EncryptionContext(), policy)
        if not suite.committing and policy is CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT:
            self._refused(CommitmentPolicyError, lambda: self.managers[number].decrypt_materials(request))
            return
        place = limits["partition"], suite, keys, context
        kept = self.reading.get(place) if suite.kdf_hash is not None else None
        found = kept if kept and kept.is_young(self.now, limits["max_age_seconds"]) else None
        if found is None and self.keyring.failing:
            self._refused(KeyringError, lambda: self.managers[number].decrypt_materials(request))
            return

        opened = self.managers[number].decrypt_materials(request)

        assert self.keyring.opened == before + (found is None)
        assert opened.plaintext_data_key == message.plaintext_data_key
        assert (opened.algorithm_suite, opened.encryption_context) == (suite, context)
        if found is None and suite.kdf_hash is not None:
            self.reading[place] = Kept(opened.plaintext_data_key or b"", self.now, limits["max_age_seconds"])

    # Never to shortly before materials are too old, when a cache may replace them already.
    @rule(step=strategies.sampled_from([2.0, 4.0, 10.0]))
    def wait(self, step: float) -> None:
        self.now += step

    @rule(failing=strategies.booleans())
    def fail_or_recover(self, failing: bool) -> None:
        self.keyring.failing = failing

    @rule()
    def clear(self) -> None:
        self.cache.clear()
        self.writing.clear()
        self.reading.clear()

    def _refused(self, kind: type[Exception], call: Any) -> None:
        try:
            call()
        except kind:
            return
        raise AssertionError(f"{kind.__name__} is due")

    def teardown(self) -> None:
        self.cache.close()


TestManagers = ManagersMachine.TestCase
TestManagers.settings = settings(max_examples=80, stateful_step_count=40)
