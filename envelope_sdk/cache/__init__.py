"""Materials kept for a while, so that one call to a key service serves many messages."""
