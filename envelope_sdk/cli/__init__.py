"""The command ``envelope``."""
