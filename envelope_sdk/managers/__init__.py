"""Materials managers: where a client gets its materials from."""

from envelope_sdk.managers.caching import CachingMaterialsManager
from envelope_sdk.managers.default import DefaultMaterialsManager
from envelope_sdk.managers.required_context import RequiredContextMaterialsManager

__all__ = ["CachingMaterialsManager", "DefaultMaterialsManager", "RequiredContextMaterialsManager"]
