"""The life of key material against a simple model: whatever the order of calls and however time passes, every blob
that was ever made opens exactly when the model says so."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule
from testkit.key_material import wrap

from envelope_sdk.errors import KmsServiceError
from envelope_sdk.local_kms import LocalKms
from envelope_sdk.local_kms.identifiers import Scope
from envelope_sdk.local_kms.import_parameters import seal_token
from envelope_sdk.local_kms.key_pairs import new_key_pair, public_der
from envelope_sdk.local_kms.store.sqlite import SqliteStore
from envelope_sdk.primitives.entropy import system_random

# One pair for all imports, in tokens that do not expire: making one for each is what would take the time.
_PAIR = new_key_pair("RSA_2048", os.urandom)
_ALGORITHM = "RSAES_OAEP_SHA_256"
_FOREVER = datetime(9999, 1, 1, tzinfo=UTC)
_HERE = Scope("000000000000", "us-east-1")
_NEVER = "KEY_MATERIAL_DOES_NOT_EXPIRE"
_CHOICES = st.integers(1, 4)


@dataclass
class Material:
    number: int
    expiry: datetime | None
    present: bool = True


@dataclass
class Subject:
    """What the model knows of a key."""

    external: bool
    state: str
    deletion: datetime | None = None
    period: int | None = None
    due: datetime | None = None
    rotated: list[tuple[datetime, str]] = field(default_factory=list)
    lasting: list[Material] = field(default_factory=list)
    waiting: Material | None = None

    def know(self, number: int) -> Material | None:
        known = [*self.lasting, *([] if self.waiting is None else [self.waiting])]
        return next((material for material in known if material.number == number), None)

    def lose(self, material: Material) -> None:
        if material is self.waiting:
            self.waiting = None
            return
        material.present = False
        if self.state in ("Enabled", "Disabled"):
            self.state = "PendingImport"

    def rotate(self, moment: datetime, kind: str) -> None:
        self.rotated.append((moment, kind))

    @property
    def whole(self) -> bool:
        return not self.external or (bool(self.lasting) and all(material.present for material in self.lasting))


class MaterialLife(RuleBasedStateMachine):
    keys = Bundle("keys")
    blobs = Bundle("blobs")

    @initialize()
    def start(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.store = SqliteStore.in_memory(system_random)
        self.kms = LocalKms(self.store, clock=lambda: self.now)
        self.subjects: dict[str, Subject] = {}

    def teardown(self) -> None:
        if hasattr(self, "kms"):
            self.kms.close()

    def _outcome(self, method: str, **parameters: Any) -> str:
        try:
            getattr(self.kms, method)(**parameters)
        except KmsServiceError as error:
            return error.code
        return "ok"

    def _expected(self, key: str, *good: str) -> str:
        subject = self.subjects.get(key)
        if subject is None:
            return "NotFoundException"
        if subject.state in good:
            return "ok"
        return "DisabledException" if subject.state == "Disabled" else "KMSInvalidStateException"

    @rule(target=keys, external=st.booleans())
    def create(self, external: bool) -> str:
        made = self.kms.create_key(Origin="EXTERNAL" if external else "AWS_KMS")["KeyMetadata"]
        self.subjects[made["KeyId"]] = Subject(external, "PendingImport" if external else "Enabled")
        return made["KeyId"]

    @rule(key=keys)
    def enable(self, key: str) -> None:
        expected = self._expected(key, "Enabled", "Disabled")
        assert self._outcome("enable_key", KeyId=key) == expected
        if expected == "ok":
            subject = self.subjects[key]
            subject.state = "Enabled"
            if subject.period is not None and subject.due is None:
                subject.rotate(self.now, "AUTOMATIC")
                subject.due = self.now + timedelta(days=subject.period)

    @rule(key=keys)
    def disable(self, key: str) -> None:
        expected = self._expected(key, "Enabled", "Disabled")
        assert self._outcome("disable_key", KeyId=key) == expected
        if expected == "ok":
            self.subjects[key].state = "Disabled"

    @rule(key=keys, days=st.integers(7, 30))
    def schedule(self, key: str, days: int) -> None:
        expected = self._expected(key, "Enabled", "Disabled", "PendingImport")
        assert self._outcome("schedule_key_deletion", KeyId=key, PendingWindowInDays=days) == expected
        if expected == "ok":
            self.subjects[key].state = "PendingDeletion"
            self.subjects[key].deletion = self.now + timedelta(days=days)

    @rule(key=keys)
    def cancel(self, key: str) -> None:
        expected = self._expected(key, "PendingDeletion").replace("DisabledException", "KMSInvalidStateException")
        assert self._outcome("cancel_key_deletion", KeyId=key) == expected
        if expected == "ok":
            subject = self.subjects[key]
            subject.state = "Disabled" if subject.whole else "PendingImport"
            subject.deletion = None

    @rule(key=keys, days=st.sampled_from([90, 100]))
    def enable_rotation(self, key: str, days: int) -> None:
        expected = self._rotatable(key)
        assert self._outcome("enable_key_rotation", KeyId=key, RotationPeriodInDays=days) == expected
        if expected == "ok" and self.subjects[key].period != days:
            self.subjects[key].period = days
            self.subjects[key].due = self.now + timedelta(days=days)

    @rule(key=keys)
    def disable_rotation(self, key: str) -> None:
        expected = self._rotatable(key)
        assert self._outcome("disable_key_rotation", KeyId=key) == expected
        if expected == "ok":
            self.subjects[key].period = self.subjects[key].due = None

    def _rotatable(self, key: str) -> str:
        subject = self.subjects.get(key)
        if subject is not None and subject.external:
            return "UnsupportedOperationException"
        return self._expected(key, "Enabled")

    @rule(key=keys)
    def rotate(self, key: str) -> None:
        expected = self._expected(key, "Enabled")
        subject = self.subjects.get(key)
        if subject is not None and expected == "ok":
            if sum(kind == "ON_DEMAND" for _, kind in subject.rotated) >= 25:
                expected = "LimitExceededException"
            elif subject.external and subject.waiting is None:
                expected = "KMSInvalidStateException"
        assert self._outcome("rotate_key_on_demand", KeyId=key) == expected
        if subject is not None and expected == "ok":
            subject.rotate(self.now, "ON_DEMAND")
            if subject.waiting is not None:
                subject.lasting.append(subject.waiting)
                subject.waiting = None

    @rule(
        key=keys,
        number=_CHOICES,
        kind=st.sampled_from([None, "NEW_KEY_MATERIAL", "EXISTING_KEY_MATERIAL"]),
        days=st.none() | st.integers(1, 60),
    )
    def give(self, key: str, number: int, kind: str | None, days: int | None) -> None:
        expected = self._importable(key, number, kind)
        expiry = None if days is None else self.now + timedelta(days=days)
        assert self._outcome("import_key_material", **self._import(key, number, kind, expiry)) == expected
        if expected != "ok":
            return
        subject = self.subjects[key]
        known = subject.know(number)
        if known is not None:
            known.present, known.expiry = True, expiry
        elif subject.lasting:
            subject.waiting = Material(number, expiry)
        else:
            subject.lasting.append(Material(number, expiry))
        if subject.state == "PendingImport" and subject.whole:
            subject.state = "Enabled"

    def _importable(self, key: str, number: int, kind: str | None) -> str:
        subject = self.subjects.get(key)
        if subject is None:
            return "NotFoundException"
        if not subject.external:
            return "UnsupportedOperationException"
        if subject.state == "PendingDeletion":
            return "KMSInvalidStateException"
        new = kind == "NEW_KEY_MATERIAL" if kind is not None else not subject.lasting
        if new == (subject.know(number) is not None):
            return "IncorrectKeyMaterialException"
        return "KMSInvalidStateException" if new and subject.waiting is not None else "ok"

    def _import(self, key: str, number: int, kind: str | None, expiry: datetime | None) -> dict[str, Any]:
        with self.store.read() as look:
            record = look.key(_HERE, key)
            token = b"none" if record is None else seal_token(look, record, _ALGORITHM, _PAIR, _FOREVER)
        return {
            "KeyId": key,
            "ImportToken": token,
            "EncryptedKeyMaterial": wrap(public_der(_PAIR), _ALGORITHM, bytes([number]) * 32),
            "ImportType": kind,
            "ValidTo": expiry,
            "ExpirationModel": _NEVER if expiry is None else None,
        }

    @rule(key=keys, place=st.none() | st.integers(0, 3))
    def delete(self, key: str, place: int | None) -> None:
        """Delete the material at some place in the list, or the current one."""
        subject = self.subjects.get(key)
        if subject is None or not subject.external:
            expected = "NotFoundException" if subject is None else "UnsupportedOperationException"
            assert self._outcome("delete_imported_key_material", KeyId=key) == expected
            return
        listed = self._listed(key)
        known = [*subject.lasting, *([] if subject.waiting is None else [subject.waiting])]
        if place is None:
            assert self._outcome("delete_imported_key_material", KeyId=key) == "ok"
            if subject.lasting:
                subject.lose(subject.lasting[-1])
        elif place < len(known):
            material_id = listed[place]["KeyMaterialId"]
            assert self._outcome("delete_imported_key_material", KeyId=key, KeyMaterialId=material_id) == "ok"
            subject.lose(known[place])

    @rule(days=st.integers(1, 120))
    def wait(self, days: int) -> None:
        self.now += timedelta(days=days)
        self.subjects = {
            key: subject
            for key, subject in self.subjects.items()
            if subject.deletion is None or subject.deletion > self.now
        }
        for subject in self.subjects.values():
            known = [*subject.lasting, *([] if subject.waiting is None else [subject.waiting])]
            for material in known:
                if material.present and material.expiry is not None and material.expiry <= self.now:
                    subject.lose(material)
            while subject.due is not None and subject.due <= self.now:
                if subject.state != "Enabled":
                    subject.due = None
                    break
                subject.rotate(subject.due, "AUTOMATIC")
                subject.due += timedelta(days=subject.period or 0)

    @rule(target=blobs, key=keys)
    def encrypt(self, key: str) -> tuple[str, bytes, str]:
        expected = self._expected(key, "Enabled")
        assert self._outcome("encrypt", KeyId=key, Plaintext=b"x") == expected
        if expected != "ok":
            return key, b"", ""
        made = self.kms.generate_data_key(KeyId=key, KeySpec="AES_256")
        assert made["KeyMaterialId"] == self._current(key)
        return key, made["CiphertextBlob"], made["KeyMaterialId"]

    @rule(made=blobs)
    def decrypt(self, made: tuple[str, bytes, str]) -> None:
        key, blob, material_id = made
        if not blob:
            return
        expected = self._expected(key, "Enabled").replace("NotFoundException", "InvalidCiphertextException")
        assert self._outcome("decrypt", CiphertextBlob=blob) == expected
        if expected == "ok":
            assert self.kms.decrypt(CiphertextBlob=blob)["KeyMaterialId"] == material_id

    def _current(self, key: str) -> str | None:
        found: str | None = self.kms.describe_key(KeyId=key)["KeyMetadata"].get("CurrentKeyMaterialId")
        return found

    def _listed(self, key: str) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = self.kms.list_key_rotations(KeyId=key, IncludeKeyMaterial="ALL_KEY_MATERIAL")[
            "Rotations"
        ]
        return listed

    @invariant()
    def the_kms_tells_what_the_model_has(self) -> None:
        if not hasattr(self, "kms"):
            return
        assert {entry["KeyId"] for entry in self.kms.list_keys()["Keys"]} == set(self.subjects)
        for key, subject in self.subjects.items():
            assert self.kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == subject.state
            listed = self._listed(key)
            rotations = [(each["RotationDate"], each["RotationType"]) for each in listed if "RotationDate" in each]
            assert rotations == subject.rotated
            current = [each["KeyMaterialId"] for each in listed if each["KeyMaterialState"] == "CURRENT"]
            assert current == [material_id for material_id in [self._current(key)] if material_id]
            if subject.external:
                self._compare(subject, listed)
            else:
                status = self.kms.get_key_rotation_status(KeyId=key)
                shown = subject.due if subject.state != "PendingDeletion" else None
                assert status.get("NextRotationDate") == shown

    def _compare(self, subject: Subject, listed: list[dict[str, Any]]) -> None:
        imported = [(each["ImportState"], each.get("ValidTo")) for each in listed]
        known = [*subject.lasting, *([] if subject.waiting is None else [subject.waiting])]
        assert imported == [
            ("IMPORTED", material.expiry) if material.present else ("PENDING_IMPORT", None) for material in known
        ]


TestMaterialLife = MaterialLife.TestCase
TestMaterialLife.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
