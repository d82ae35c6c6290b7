"""One message: two push machines that turn bytes into bytes. No I/O, no waiting, no knowledge of where bytes go.

:class:`~envelope_sdk.message.encryptor.MessageEncryptor` and
:class:`~envelope_sdk.message.decryptor.MessageDecryptor` are the only code that knows the order and state of a
message; every reader, writer and command is an adapter over them.
"""
