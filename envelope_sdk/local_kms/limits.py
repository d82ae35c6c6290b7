"""How many keys, aliases and grants there may be.

Source: AWS KMS developer guide, "Resource quotas".
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from envelope_sdk.errors import UsageError

__all__ = ["ResourceQuotas"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceQuotas:
    """The most there may be of each; AWS's figures unless told otherwise.

    Attributes:
        keys: in an account and Region, whatever their state.
        aliases_per_key: names of one key.
        grants_per_key: grants of one key.
        tags_per_key: tags of one key.
        policy_length: bytes of a key policy.
        custom_key_stores: in an account and Region.
    """

    keys: int = 100_000
    aliases_per_key: int = 50
    grants_per_key: int = 50_000
    tags_per_key: int = 50
    policy_length: int = 32_768
    custom_key_stores: int = 10

    def __post_init__(self) -> None:
        """Raise :class:`UsageError` for a figure that cannot be one."""
        for field in fields(self):
            figure: object = getattr(self, field.name)
            if not isinstance(figure, int) or isinstance(figure, bool) or figure < 0:
                raise UsageError(f"a resource quota is a whole number, 0 or more: {field.name} is {figure!r}")
