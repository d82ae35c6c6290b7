"""A multi-Region key through any sequence of operations, against a model of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from envelope_sdk.errors import KmsServiceError
from envelope_sdk.local_kms import LocalKms

_REGIONS = ("eu-north-1", "us-east-1", "us-west-2")
_DAYS = st.integers(7, 30)
_PENDING = ("PendingDeletion", "PendingReplicaDeletion")


class MultiRegionKey(RuleBasedStateMachine):
    """One key, and what each Region has of it: states, and dates of deletion."""

    @initialize()
    def make(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.kms = LocalKms.in_memory(clock=lambda: self.now)
        self.key_id = self.kms.create_key(MultiRegion=True)["KeyMetadata"]["KeyId"]
        self.primary = "us-east-1"
        self.states = {self.primary: "Enabled"}
        self.dates: dict[str, datetime] = {}
        self.window = 0
        self.blobs: list[bytes] = []

    def teardown(self) -> None:
        if hasattr(self, "kms"):
            self.kms.close()

    def _outcome(self, region: str, method: str, **parameters: Any) -> str:
        try:
            answer = getattr(self.kms.in_region(region), method)(KeyId=self.key_id, **parameters)
        except KmsServiceError as error:
            return error.code
        if method == "encrypt":
            self.blobs.append(answer["CiphertextBlob"])
        return "ok"

    def _refusal(self, region: str) -> str:
        """Return what an operation ends in that needs a key that is enabled."""
        state = self.states.get(region, "none")
        if state == "none":
            return "NotFoundException"
        return {"Enabled": "ok", "Disabled": "DisabledException"}.get(state, "KMSInvalidStateException")

    @rule(here=st.sampled_from(_REGIONS), there=st.sampled_from(_REGIONS))
    def replicate(self, here: str, there: str) -> None:
        expected = self._refusal(here)
        if expected == "ok" and here != self.primary:
            expected = "UnsupportedOperationException"
        elif expected == "ok" and there in self.states:
            expected = "AlreadyExistsException"
        assert self._outcome(here, "replicate_key", ReplicaRegion=there) == expected
        if expected == "ok":
            self.states[there] = "Enabled"

    @rule(here=st.sampled_from(_REGIONS), there=st.sampled_from(_REGIONS))
    def move(self, here: str, there: str) -> None:
        expected = self._refusal(here)
        if expected == "ok" and (here != self.primary or there == here):
            expected = "UnsupportedOperationException"
        elif expected == "ok":
            expected = self._refusal(there)
        assert self._outcome(here, "update_primary_region", PrimaryRegion=there) == expected
        if expected == "ok":
            self.primary = there

    @rule(region=st.sampled_from(_REGIONS), on=st.booleans())
    def switch(self, region: str, on: bool) -> None:
        state = self.states.get(region, "none")
        expected = "NotFoundException" if state == "none" else "KMSInvalidStateException" if state in _PENDING else "ok"
        assert self._outcome(region, "enable_key" if on else "disable_key") == expected
        if expected == "ok":
            self.states[region] = "Enabled" if on else "Disabled"

    @rule(region=st.sampled_from(_REGIONS), days=_DAYS)
    def schedule(self, region: str, days: int) -> None:
        state = self.states.get(region, "none")
        expected = "NotFoundException" if state == "none" else "KMSInvalidStateException" if state in _PENDING else "ok"
        assert self._outcome(region, "schedule_key_deletion", PendingWindowInDays=days) == expected
        if expected != "ok":
            return
        if region == self.primary and len(self.states) > 1:
            self.states[region], self.window = "PendingReplicaDeletion", days
        else:
            self.states[region], self.dates[region] = "PendingDeletion", self.now + timedelta(days=days)

    @rule(region=st.sampled_from(_REGIONS))
    def cancel(self, region: str) -> None:
        state = self.states.get(region, "none")
        expected = "NotFoundException" if state == "none" else "ok" if state in _PENDING else "KMSInvalidStateException"
        assert self._outcome(region, "cancel_key_deletion") == expected
        if expected == "ok":
            self.states[region] = "Disabled"
            self.dates.pop(region, None)

    @rule(days=st.integers(1, 40))
    def wait(self, days: int) -> None:
        self.now += timedelta(days=days)
        while due := sorted((date, region) for region, date in self.dates.items() if date <= self.now):
            date, region = due[0]
            del self.states[region], self.dates[region]
            if list(self.states.values()) == ["PendingReplicaDeletion"]:
                self.states[self.primary] = "PendingDeletion"
                self.dates[self.primary] = date + timedelta(days=self.window)

    @rule(region=st.sampled_from(_REGIONS))
    def encrypt(self, region: str) -> None:
        assert self._outcome(region, "encrypt", Plaintext=b"x") == self._refusal(region)

    @invariant()
    def each_region_has_what_the_model_has(self) -> None:
        if not hasattr(self, "kms"):
            return
        replicas = sorted(region for region in self.states if region != self.primary)
        for region in _REGIONS:
            kms = self.kms.in_region(region)
            if region not in self.states:
                assert kms.list_keys()["Keys"] == []
                continue
            metadata = kms.describe_key(KeyId=self.key_id)["KeyMetadata"]
            assert (metadata["KeyState"], metadata.get("DeletionDate")) == (self.states[region], self.dates.get(region))
            found = metadata["MultiRegionConfiguration"]
            role = "PRIMARY" if region == self.primary else "REPLICA"
            assert (found["MultiRegionKeyType"], found["PrimaryKey"]["Region"]) == (role, self.primary)
            assert [key["Region"] for key in found["ReplicaKeys"]] == replicas

    @invariant()
    def what_is_enabled_decrypts_what_any_has_encrypted(self) -> None:
        for region, state in getattr(self, "states", {}).items():
            if state == "Enabled" and self.blobs:
                assert self.kms.in_region(region).decrypt(CiphertextBlob=self.blobs[-1])["Plaintext"] == b"x"


TestMultiRegionKey = MultiRegionKey.TestCase
TestMultiRegionKey.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
