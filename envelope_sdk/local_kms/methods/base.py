"""What the groups of methods have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["Context", "Methods", "Tokens"]

Context = Mapping[str, str] | None
"""An encryption context, or none."""

Tokens = Sequence[str] | None
"""Grant tokens, or none."""


class Methods(ABC):
    """Something that calls operations by name."""

    @abstractmethod
    def _call(self, operation: str, **parameters: object) -> dict[str, Any]:
        """Do ``operation`` and return its answer with boto3's ``ResponseMetadata``."""
