"""Keyrings over a key management service: AWS KMS, the bundled local KMS, or anything with boto3's methods."""
