"""Keyrings over PKCS#11 tokens: hardware security modules, smart cards, SoftHSM.

Needs python-pkcs11: ``pip install 'envelope-sdk[pkcs11]'``. It is imported when a keyring is made, and not before.
"""
