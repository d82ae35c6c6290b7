"""Tokens of SoftHSM for the tests of this process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from testkit.softhsm import Vault, make_tokens


@pytest.fixture(scope="session")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    """Tokens of this process. Their library reads the environment once: when it is first used."""
    pkcs11 = pytest.importorskip("pkcs11", reason="python-pkcs11 is not installed")
    tokens = ("vault", "guarded", "restless", "card", "twin", "twin")
    with pytest.MonkeyPatch.context() as environment:
        for name, value in make_tokens(tmp_path_factory.mktemp("softhsm"), *tokens).items():
            environment.setenv(name, value)
        vault = Vault()
        vault.make_key("vault", "wrapping", b"\x01")
        vault.make_key("vault", "other", b"\x02")
        for label in ("guarded", "restless"):
            with vault.logged_in(label) as session:
                session.generate_key(pkcs11.KeyType.AES, 256, label="behind", store=True)
        with vault.logged_in("card") as session:
            session.generate_keypair(pkcs11.KeyType.RSA, 2048, label="pair", id=b"\x03", store=True)
        yield vault
