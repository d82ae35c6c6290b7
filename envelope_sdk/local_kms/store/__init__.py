"""Where keys are kept: the contract every store fulfils, SQLite behind it, and the root key that guards it."""

from __future__ import annotations
