"""A keyring for envelope-sdk whose wrapping keys stay in the transit engine of HashiCorp Vault or OpenBao."""

from vault_transit_keyring.keyring import VaultTransitKeyring

__all__ = ["VaultTransitKeyring"]
