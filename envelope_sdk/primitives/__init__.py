"""Thin wrappers over ``cryptography``, each named for what the message format or the KMS uses it for.

No algorithm is written here: every one is OpenSSL's, reached through ``cryptography``. What is added is the form the
specification wants (lengths, encodings) and the package's own errors in place of ``InvalidTag`` and its like.
"""
