"""Materials managers: where a client gets its materials from."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from envelope_sdk.managers.caching import CachingMaterialsManager
    from envelope_sdk.managers.counting import CountingMaterialsManager
    from envelope_sdk.managers.default import DefaultMaterialsManager
    from envelope_sdk.managers.required_context import RequiredContextMaterialsManager

__all__ = [
    "CachingMaterialsManager",
    "CountingMaterialsManager",
    "DefaultMaterialsManager",
    "RequiredContextMaterialsManager",
]

_HOMES: Final = {
    "CachingMaterialsManager": "envelope_sdk.managers.caching",
    "CountingMaterialsManager": "envelope_sdk.managers.counting",
    "DefaultMaterialsManager": "envelope_sdk.managers.default",
    "RequiredContextMaterialsManager": "envelope_sdk.managers.required_context",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is: every client needs the default manager, and few a cache."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
