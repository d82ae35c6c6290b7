"""Something that answers as AWS KMS does or ought to, and what is learnt of it: one word for each small question."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

HERE, THERE = "us-east-1", "eu-west-1"
UNKNOWN_ID = "00000000-0000-4000-8000-000000000000"

Clients = Callable[[str], Any]
"""Returns a client, with boto3's methods, of one Region."""


@dataclass(frozen=True)
class Case:
    """One small question.

    Attributes:
        operation: the operation it is about.
        name: what is asked.
        expected: what AWS answers: ``ok``, an error's code, or a word that the question defines.
        source: where that is written.
        ask: asks it.
        ours: what the local KMS answers, where it does not answer as AWS; empty where it does.
    """

    operation: str
    name: str
    expected: str
    source: str
    ask: Callable[[Lab], str]
    ours: str = ""

    @property
    def local(self) -> str:
        """What the local KMS answers."""
        return self.ours or self.expected

    @property
    def id(self) -> str:
        return f"{self.operation}: {self.name}"


class Lab:
    """The one that is asked, and keys to ask with: those that no question changes are made once."""

    def __init__(self, clients: Clients) -> None:
        self._clients = cache(clients)
        self.kms = clients(HERE)
        self._keys: dict[tuple[str, str, str], Mapping[str, Any]] = {}
        self._names = 0

    def elsewhere(self) -> Any:
        """Return a client of another Region."""
        return self._clients(THERE)

    def create(self, **parameters: Any) -> str:
        """Return the id of a new key."""
        return self.kms.create_key(**parameters)["KeyMetadata"]["KeyId"]

    def key(self, spec: str = "SYMMETRIC_DEFAULT", usage: str = "ENCRYPT_DECRYPT", state: str = "Enabled") -> str:
        """Return the id of a key of that kind in that state, for questions that do not change it."""
        return self.metadata(spec, usage, state)["KeyId"]

    def metadata(
        self, spec: str = "SYMMETRIC_DEFAULT", usage: str = "ENCRYPT_DECRYPT", state: str = "Enabled"
    ) -> Mapping[str, Any]:
        """Return what CreateKey answered of such a key."""
        name = (spec, usage, state)
        if name not in self._keys:
            self._keys[name] = self.kms.create_key(KeySpec=spec, KeyUsage=usage)["KeyMetadata"]
            self.put(self._keys[name]["KeyId"], state)
        return self._keys[name]

    def put(self, key_id: str, state: str) -> None:
        """Bring a new key into a state."""
        if state == "Disabled":
            self.kms.disable_key(KeyId=key_id)
        elif state == "PendingDeletion":
            self.kms.schedule_key_deletion(KeyId=key_id)

    def alias(self) -> str:
        """Return an alias name that is not in use."""
        self._names += 1
        return f"alias/conformance-{self._names}"


def outcome(call: Callable[[], Any]) -> str:
    """Return ``ok``, or the code of the error that ``call`` ends in; what is no service's error is a crash."""
    try:
        call()
    except Exception as error:  # noqa: BLE001 - what an emulator fails with is what is asked
        response: Any = getattr(error, "response", None)
        return response["Error"]["Code"] if isinstance(response, dict) else f"crash ({type(error).__name__})"
    return "ok"


def text_of(call: Callable[[], Any]) -> str:
    """Return the text of the error that ``call`` ends in."""
    try:
        call()
    except Exception as error:  # noqa: BLE001
        response: Any = getattr(error, "response", None)
        return response["Error"].get("Message", "") if isinstance(response, dict) else f"crash ({type(error).__name__})"
    return "no error"


def said(condition: object) -> str:
    """Return the answer to a question for yes or no."""
    return "yes" if condition else "no"
