"""Methods for tags."""

# Parameters have AWS's names.
# ruff: noqa: N803

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from envelope_sdk.local_kms.methods.base import Methods

__all__ = ["TagMethods"]


class TagMethods(Methods):
    """Tags of keys."""

    def tag_resource(self, *, KeyId: str, Tags: Sequence[Mapping[str, str]]) -> dict[str, Any]:
        """Add tags to a key, or replace those of their names (TagResource); a key has at most 50.

        Raises:
            KmsServiceError: TagException, NotFoundException, InvalidArnException, KMSInvalidStateException,
                ValidationException.
        """
        return self._call("TagResource", KeyId=KeyId, Tags=Tags)

    def untag_resource(self, *, KeyId: str, TagKeys: Sequence[str]) -> dict[str, Any]:
        """Remove tags from a key (UntagResource); those it has not are no error.

        Raises:
            KmsServiceError: those of :meth:`tag_resource`.
        """
        return self._call("UntagResource", KeyId=KeyId, TagKeys=TagKeys)

    def list_resource_tags(self, *, KeyId: str, Limit: int | None = None, Marker: str | None = None) -> dict[str, Any]:
        """List a key's tags (ListResourceTags), all in one page unless ``Limit`` says otherwise.

        Raises:
            KmsServiceError: NotFoundException, InvalidArnException, InvalidMarkerException, ValidationException.
        """
        return self._call("ListResourceTags", KeyId=KeyId, Limit=Limit, Marker=Marker)
