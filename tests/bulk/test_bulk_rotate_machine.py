"""Runs that rotate, against a model: whatever happens in between, messages are old, or new and whole."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from testkit.bulk import Shelf

from envelope_sdk import Client, bulk
from envelope_sdk.bulk import Status
from envelope_sdk.keyrings import RawAesKeyring
from envelope_sdk.managers import DefaultMaterialsManager

NAMES = ["a", "b", "c", "d"]
KEYS = {name: RawAesKeyring("test", name, bytes([number] * 32)) for number, name in enumerate(["old", "new", "other"])}

names = st.sampled_from(NAMES)
groups = st.sets(names, max_size=2)


class Interrupted(DefaultMaterialsManager):
    """Has somebody else do something before a message is made."""

    def __init__(self) -> None:
        super().__init__(KEYS["new"])
        self.meddle: Callable[[], object] = lambda: None

    def __repr__(self) -> str:
        return "the same in every run"

    def get_encryption_materials(self, request: Any) -> Any:
        self.meddle()
        return super().get_encryption_materials(request)


class Watched(Shelf):
    """Knows which object is being replaced."""

    at = ""

    def replacing(self, name: str) -> Any:
        self.at = name
        return super().replacing(name)


class Rotations(RuleBasedStateMachine):
    """Objects that are put, damaged, deleted and rotated.

    Attributes:
        plain: what each message says, and the key that it is under; ``None`` where its body was damaged.
        told: what each object is, to the byte.
        changed: what somebody else put there during a run.
    """

    def __init__(self) -> None:
        super().__init__()
        self.shelf = Watched()
        self.plain: dict[str, tuple[bytes | None, str]] = {}
        self.told: dict[str, bytes] = {}
        self.changed: set[str] = set()
        self.manager = Interrupted()
        self.writer = Client(materials_manager=self.manager, frame_length=16, threads=1)
        self.signer = Client(KEYS["new"], sign=True, frame_length=16, threads=1)
        self.folder = tempfile.TemporaryDirectory()

    def teardown(self) -> None:
        self.folder.cleanup()

    @rule(name=names, length=st.integers(0, 50), key=st.sampled_from([*KEYS]), sign=st.booleans())
    def put(self, name: str, length: int, key: str, sign: bool) -> None:
        data = bytes(range(length))
        self.plain[name] = data, key
        self.shelf.objects[name] = self.told[name] = client(key, sign=sign).encrypt(data).ciphertext

    @rule(name=names)
    def damage(self, name: str) -> None:
        # Twice would be not at all.
        if name in self.told and self.plain[name][0] is not None:
            self.plain[name] = None, self.plain[name][1]
            data = self.told[name]
            self.shelf.objects[name] = self.told[name] = data[:-1] + bytes([data[-1] ^ 1])

    @rule(name=names)
    def delete(self, name: str) -> None:
        for held in (self.shelf.objects, self.told, self.plain):
            held.pop(name, None)

    @rule(failing=groups, changed=groups, late=st.booleans(), journal=st.booleans(), again=st.booleans())
    def rotate(self, failing: set[str], changed: set[str], late: bool, journal: bool, again: bool) -> None:
        """Rotate everything, while writing some fails and others are changed: when they are looked at, or later."""
        self.shelf.failing = failing
        self.changed.clear()
        waiting = dict.fromkeys(changed, int(late))

        def meddle() -> None:
            left = waiting.get(self.shelf.at)
            if left == 0:
                self.put(self.shelf.at, 40, "old", False)
                self.changed.add(self.shelf.at)
            if left is not None:
                waiting[self.shelf.at] = left - 1

        self.manager.meddle = meddle
        run = bulk.run(
            [bulk.Item(name, name) for name in NAMES],
            bulk.Rotate(client("old"), self.shelf, signing_writer=self.signer, again=again),
            client=self.writer,
            journal=Path(self.folder.name, f"journal-{again}") if journal else None,
        )
        for result in run:
            self.check(result)
        self.manager.meddle = lambda: None

    def check(self, result: bulk.Result) -> None:
        name = result.item.source
        if result.status is Status.FAILED:
            assert self.shelf.objects.get(name) == self.told.get(name)
            return
        data, key = self.plain[name]
        if result.status is Status.SKIPPED:
            # It was as wanted when it was looked at.
            assert key == "new" or name in self.changed
            return
        assert (key, name in self.shelf.failing) == ("old", False)
        assert client("new").decrypt(self.shelf.objects[name]).plaintext == data
        self.plain[name] = data, "new"
        self.told[name] = self.shelf.objects[name]

    @invariant()
    def nothing_is_lost(self) -> None:
        assert self.shelf.objects == self.told


def client(key: str, **options: Any) -> Client:
    return Client(KEYS[key], frame_length=16, threads=1, **options)


TestRotations = Rotations.TestCase
TestRotations.settings = settings(max_examples=50, stateful_step_count=20, deadline=None)
