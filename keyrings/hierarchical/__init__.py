"""The hierarchical keyring: data keys wrapped under branch keys, which a KMS wraps and a table keeps."""
