"""The local KMS that the command uses: where its file is, and the key it makes when nobody names one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from envelope_sdk.cli.terminal import say
from envelope_sdk.errors import KmsServiceError

if TYPE_CHECKING:
    from envelope_sdk.local_kms import LocalKms

__all__ = ["DEFAULT_ALIAS", "LocalStore"]

DEFAULT_ALIAS: Final = "alias/envelope-default"
"""The alias of the key that 'envelope encrypt' makes on first use."""


class LocalStore:
    """The file of a local KMS, opened when it is first needed.

    Attributes:
        path: the file.
    """

    def __init__(self, path: str | None) -> None:
        """Take the path, or ``None`` for the usual one: ``envelope/kms.db`` under ``$XDG_DATA_HOME``."""
        self.path = Path(path) if path else _usual_path()
        self._kms: LocalKms | None = None

    def kms(self) -> LocalKms:
        """Return the local KMS, making its file and folder where there are none.

        Raises:
            KeyStoreError: the file or its root key cannot be used.
        """
        if self._kms is None:
            from envelope_sdk.local_kms import LocalKms

            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._kms = LocalKms.open(self.path)
        return self._kms

    def close(self) -> None:
        """Close the local KMS if it was opened."""
        if self._kms is not None:
            self._kms.close()
            self._kms = None

    def key_arn(self, key_id: str) -> str:
        """Return the ARN of the key that an id, ARN or alias names.

        Raises:
            KmsServiceError: there is no such key.
        """
        return str(self.kms().describe_key(KeyId=key_id)["KeyMetadata"]["Arn"])

    def default_key_arn(self) -> str:
        """Return the ARN of the default key, making it where there is none."""
        try:
            return self.key_arn(DEFAULT_ALIAS)
        except KmsServiceError as error:
            if error.code != "NotFoundException":
                raise
        kms = self.kms()
        made = kms.create_key(Description="made by 'envelope encrypt'")["KeyMetadata"]
        try:
            kms.create_alias(AliasName=DEFAULT_ALIAS, TargetKeyId=made["KeyId"])
        except KmsServiceError as error:
            if error.code != "AlreadyExistsException":
                raise
            # Another process was quicker: its key is the default, and this one has never been used.
            kms.schedule_key_deletion(KeyId=made["KeyId"], PendingWindowInDays=7)
            return self.key_arn(DEFAULT_ALIAS)
        say(f"created the key {made['Arn']} in {self.path}")
        say("hint: keep copies of that file and of its root key beside it: what the key encrypts opens with both only")
        return str(made["Arn"])


def _usual_path() -> Path:
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "envelope" / "kms.db"
