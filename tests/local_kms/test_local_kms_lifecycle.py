"""The life of keys and aliases against a model of a few dictionaries, under any order of calls."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from envelope_sdk.errors import KmsServiceError
from envelope_sdk.local_kms import LocalKms

_ALIASES = st.sampled_from(["alias/a", "alias/b", "alias/c"])


class Lifecycle(RuleBasedStateMachine):
    """What every key can do follows from its state alone."""

    keys = Bundle("keys")
    blobs = Bundle("blobs")

    @initialize()
    def start(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.kms = LocalKms.in_memory(clock=lambda: self.now)
        self.states: dict[str, str] = {}
        self.deletions: dict[str, datetime] = {}
        self.aliases: dict[str, str] = {}

    def teardown(self) -> None:
        if hasattr(self, "kms"):
            self.kms.close()

    def _outcome(self, method: str, **parameters: Any) -> str:
        try:
            getattr(self.kms, method)(**parameters)
        except KmsServiceError as error:
            return error.code
        return "ok"

    def _expect(self, key: str, good: set[str], otherwise: dict[str, str] | None = None) -> str:
        state = self.states.get(key)
        if state is None:
            return "NotFoundException"
        return "ok" if state in good else (otherwise or {}).get(state, "KMSInvalidStateException")

    @rule(target=keys, multi_region=st.booleans())
    def create(self, multi_region: bool) -> str:
        key = self.kms.create_key(MultiRegion=multi_region)["KeyMetadata"]["KeyId"]
        self.states[key] = "Enabled"
        return key

    @rule(key=keys)
    def disable(self, key: str) -> None:
        expected = self._expect(key, {"Enabled", "Disabled"})
        assert self._outcome("disable_key", KeyId=key) == expected
        if expected == "ok":
            self.states[key] = "Disabled"

    @rule(key=keys)
    def enable(self, key: str) -> None:
        expected = self._expect(key, {"Enabled", "Disabled"})
        assert self._outcome("enable_key", KeyId=key) == expected
        if expected == "ok":
            self.states[key] = "Enabled"

    @rule(key=keys, days=st.integers(7, 30))
    def schedule(self, key: str, days: int) -> None:
        expected = self._expect(key, {"Enabled", "Disabled"})
        assert self._outcome("schedule_key_deletion", KeyId=key, PendingWindowInDays=days) == expected
        if expected == "ok":
            self.states[key] = "PendingDeletion"
            self.deletions[key] = self.now + timedelta(days=days)

    @rule(key=keys)
    def cancel(self, key: str) -> None:
        expected = self._expect(key, {"PendingDeletion"})
        assert self._outcome("cancel_key_deletion", KeyId=key) == expected
        if expected == "ok":
            self.states[key] = "Disabled"
            del self.deletions[key]

    @rule(days=st.integers(1, 12))
    def wait(self, days: int) -> None:
        self.now += timedelta(days=days)
        for key in [key for key, date in self.deletions.items() if date <= self.now]:
            del self.states[key], self.deletions[key]
            self.aliases = {name: target for name, target in self.aliases.items() if target != key}

    @rule(target=blobs, key=keys)
    def encrypt(self, key: str) -> tuple[str, bytes]:
        expected = self._expect(key, {"Enabled"}, {"Disabled": "DisabledException"})
        assert self._outcome("generate_data_key", KeyId=key, KeySpec="AES_256") == expected
        if expected != "ok":
            return key, b"none"
        return key, self.kms.encrypt(KeyId=key, Plaintext=key.encode())["CiphertextBlob"]

    @rule(made=blobs)
    def decrypt(self, made: tuple[str, bytes]) -> None:
        key, blob = made
        gone = key not in self.states or blob == b"none"
        expected = self._expect(key, {"Enabled"}, {"Disabled": "DisabledException"})
        assert self._outcome("decrypt", CiphertextBlob=blob) == ("InvalidCiphertextException" if gone else expected)
        if not gone and expected == "ok":
            assert self.kms.decrypt(CiphertextBlob=blob)["Plaintext"] == key.encode()

    @rule(name=_ALIASES, key=keys)
    def alias(self, name: str, key: str) -> None:
        expected = self._expect(key, {"Enabled", "Disabled"})
        if expected == "ok" and name in self.aliases:
            expected = "AlreadyExistsException"
        assert self._outcome("create_alias", AliasName=name, TargetKeyId=key) == expected
        if expected == "ok":
            self.aliases[name] = key

    @rule(name=_ALIASES, key=keys)
    def move_alias(self, name: str, key: str) -> None:
        expected = self._expect(key, {"Enabled", "Disabled"}) if name in self.aliases else "NotFoundException"
        assert self._outcome("update_alias", AliasName=name, TargetKeyId=key) == expected
        if expected == "ok":
            self.aliases[name] = key

    @rule(name=_ALIASES)
    def remove_alias(self, name: str) -> None:
        assert self._outcome("delete_alias", AliasName=name) == ("ok" if name in self.aliases else "NotFoundException")
        self.aliases.pop(name, None)

    @rule(made=consumes(blobs))
    def forget(self, made: tuple[str, bytes]) -> None:
        """Keep the number of blobs small."""

    @invariant()
    def the_kms_lists_what_the_model_has(self) -> None:
        if not hasattr(self, "kms"):
            return
        assert {entry["KeyId"] for entry in self.kms.list_keys()["Keys"]} == set(self.states)
        listed = self.kms.list_aliases()["Aliases"]
        assert {each["AliasName"]: each["TargetKeyId"] for each in listed if "TargetKeyId" in each} == self.aliases
        for key, state in self.states.items():
            assert self.kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == state


TestLifecycle = Lifecycle.TestCase
TestLifecycle.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
