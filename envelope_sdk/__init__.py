"""Client-side envelope encryption in the AWS Encryption SDK message format, with a local KMS in the box."""
