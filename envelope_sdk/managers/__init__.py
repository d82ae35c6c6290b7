"""Materials managers: where a client gets its materials from."""

from envelope_sdk.managers.default import DefaultMaterialsManager

__all__ = ["DefaultMaterialsManager"]
