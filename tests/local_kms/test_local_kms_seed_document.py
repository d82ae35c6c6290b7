"""Seed files: what they may say, and what is said of those that may not."""

from __future__ import annotations

import base64
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from envelope_sdk.errors import UsageError
from envelope_sdk.local_kms.identifiers import Scope
from envelope_sdk.local_kms.key_pairs import private_der
from envelope_sdk.local_kms.seeding import Seed, SeedKey

USUAL = Scope("000000000000", "us-east-1")
ID = "1234abcd-12ab-34cd-56ef-1234567890ab"
MRK = "mrk-1234abcd12ab34cd56ef1234567890ab"
MATERIAL = base64.b64encode(b"0123456789abcdef" * 2).decode()


def read(text: str, folder: Path | None = None) -> Seed:
    return Seed.parse(text.encode(), USUAL, "kms.toml", folder)


def only(text: str, folder: Path | None = None) -> SeedKey:
    (key,) = read(f"[[keys]]\n{text}", folder).keys
    return key


def test_an_id_is_enough_of_a_key() -> None:
    key = only(f'id = "{ID}"')

    assert (key.scope, key.key_id, key.spec, key.usage) == (USUAL, ID, "SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT")
    assert (key.enabled, key.secret, key.policy, key.multi_region, key.rotation_days) == (True, None, None, False, None)


def test_so_is_an_alias() -> None:
    assert only('aliases = ["alias/app"]').aliases == ["alias/app"]


def test_a_key_may_say_all_of_this() -> None:
    key = only(
        f"""
        id = "{MRK}"
        account = "111122223333"
        region = "eu-west-1"
        replicas = ["us-east-1"]
        description = "invoices"
        aliases = ["alias/a", "alias/b"]
        tags = {{ team = "billing" }}
        enabled = false
        rotation_days = 90
        material = "{MATERIAL}"
        policy = {{ Version = "2012-10-17", Statement = [] }}
        """
    )

    assert key.scope == Scope("111122223333", "eu-west-1")
    assert (key.replicas, key.multi_region, key.rotation_days, key.enabled) == (["us-east-1"], True, 90, False)
    assert (key.tags, key.description) == ({"team": "billing"}, "invoices")
    assert key.secret == b"0123456789abcdef" * 2
    assert key.policy is not None
    assert '"Statement": []' in key.policy


def test_the_files_own_account_and_region_hold_for_keys_that_name_none() -> None:
    (key,) = read(f'account = "111122223333"\nregion = "eu-west-1"\n[[keys]]\nid = "{ID}"').keys

    assert key.scope == Scope("111122223333", "eu-west-1")


def test_the_material_of_a_key_pair_may_be_a_pem_file(tmp_path: Path) -> None:
    pair = ec.generate_private_key(ec.SECP256R1())
    pem = pair.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "key.pem").write_bytes(pem)

    key = only(
        f'id = "{ID}"\nspec = "ECC_NIST_P256"\nusage = "SIGN_VERIFY"\nmaterial_file = "key.pem"', folder=tmp_path
    )
    assert key.secret == private_der(pair)


def test_a_policy_may_be_a_file_beside_the_seed(tmp_path: Path) -> None:
    (tmp_path / "policy.json").write_text('{"Statement": []}')
    (tmp_path / "kms.toml").write_text(f'[[keys]]\nid = "{ID}"\npolicy_file = "policy.json"')

    (key,) = Seed.load(tmp_path / "kms.toml", USUAL).keys
    assert key.policy == '{"Statement": []}'


def test_its_repr_shows_no_material() -> None:
    assert "0123456789" not in repr(only(f'id = "{ID}"\nmaterial = "{MATERIAL}"'))


REFUSED = {
    "no id and no alias": ("", "keys[0]: a key needs an id or an alias"),
    "a malformed id": ('id = "app"', "keys[0].id: has to be a UUID"),
    "an id of another kind": (f'id = "{ID}"\nmulti_region = true', "keys[0].id: of a multi-Region key"),
    "an id with capitals": (f'id = "{ID.upper()}"', "keys[0].id: has to be a UUID"),
    "an unknown spec": (f'id = "{ID}"\nspec = "AES"', "keys[0].spec: has to be one of"),
    "no usage": (f'id = "{ID}"\nspec = "RSA_2048"', "keys[0].usage: of a key RSA_2048 has to be one of"),
    "a usage of another kind": (f'id = "{ID}"\nusage = "SIGN_VERIFY"', "keys[0].usage: of a key SYMMETRIC_DEFAULT"),
    "a Region that cannot be": (f'id = "{ID}"\nregion = "mars"', "keys[0]: a Region looks like"),
    "an account that cannot be": (f'id = "{ID}"\naccount = "me"', "keys[0]: an account is twelve digits"),
    "an alias without its prefix": ('aliases = ["app"]', "keys[0].aliases: app has to begin with alias/"),
    "an alias twice": ('aliases = ["alias/a", "alias/a"]', "keys[0].aliases: names something twice"),
    "a number as an id": ("id = 5", "keys[0].id: has to be text"),
    "a text as a flag": (f'id = "{ID}"\nenabled = "no"', "keys[0].enabled: has to be true or false"),
    "a flag as a number": (f'id = "{ID}"\nrotation_days = true', "keys[0].rotation_days: has to be a whole number"),
    "numbers as tags": (f'id = "{ID}"\ntags = {{ a = 1 }}', "keys[0].tags: has to be a table of texts"),
    "numbers as aliases": ("aliases = [1]", "keys[0].aliases: has to be a list of texts"),
    "a misspelt name": (f'id = "{ID}"\nalias = ["alias/a"]', "keys[0].alias: nothing is called so here: did you mean"),
    "a name like no other": (f'id = "{ID}"\nzzzzz = 1', "keys[0].zzzzz: nothing is called so here; there are"),
    "material that is no base64": (f'id = "{ID}"\nmaterial = "secret!"', "keys[0].material: has to be base64"),
    "short material": (f'id = "{ID}"\nmaterial = "c2VjcmV0"', "keys[0].material: the material of a key"),
    "material twice": (
        f'id = "{ID}"\nmaterial = "{MATERIAL}"\nmaterial_file = "x"',
        "keys[0]: give material or material_file, not both",
    ),
    "a material file that is not there": (f'id = "{ID}"\nmaterial_file = "nowhere"', "cannot be read: No such file"),
    "a policy with a date": (f'id = "{ID}"\npolicy = {{ Version = 2012-10-17 }}', "keys[0].policy: has something"),
    "a policy twice": (f'id = "{ID}"\npolicy = {{}}\npolicy_file = "x"', "keys[0]: give policy or policy_file"),
    "replicas of a key of one Region": (f'id = "{ID}"\nreplicas = ["eu-west-1"]', "keys[0].id: of a multi-Region"),
    "a replica at home": (f'id = "{MRK}"\nreplicas = ["us-east-1"]', "is the Region of the key itself"),
    "a replica nowhere": (f'id = "{MRK}"\nreplicas = ["mars"]', "keys[0].replicas: a Region looks like"),
    "rotation of a key pair": (
        f'id = "{ID}"\nspec = "RSA_2048"\nusage = "SIGN_VERIFY"\nrotation_days = 90',
        "keys[0].rotation_days: only symmetric keys",
    ),
}


@pytest.mark.parametrize(("text", "expected"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_is_told_with_its_place(text: str, expected: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        only(text, tmp_path)
    assert str(caught.value).startswith("kms.toml: ")
    assert expected in str(caught.value)


def test_what_was_wrong_with_material_does_not_repeat_it() -> None:
    with pytest.raises(UsageError) as caught:
        only(f'id = "{ID}"\nmaterial = "c2VjcmV0"')
    assert "c2VjcmV0" not in str(caught.value)


@pytest.mark.parametrize(
    "second", [f'id = "{ID}"', 'aliases = ["alias/a"]'], ids=["one id for two", "one alias for two"]
)
def test_two_keys_cannot_be_called_the_same(second: str) -> None:
    with pytest.raises(UsageError, match="two keys are called"):
        read(f'[[keys]]\nid = "{ID}"\naliases = ["alias/a"]\n[[keys]]\n{second}')


def test_in_two_regions_they_can() -> None:
    seed = read('[[keys]]\naliases = ["alias/a"]\n[[keys]]\nregion = "eu-west-1"\naliases = ["alias/a"]')

    assert [key.scope.region for key in seed.keys] == ["us-east-1", "eu-west-1"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"keys = 5", "kms.toml: keys: has to be a list"),
        (b"keys = [5]", "each under [[keys]]"),
        (b"key = []", "kms.toml: key: nothing is called so here: did you mean keys?"),
        (b"[[keys]", "kms.toml is not TOML"),
        (b"\xff", "kms.toml is not UTF-8"),
    ],
)
def test_what_is_no_seed_is_told(content: bytes, expected: str) -> None:
    with pytest.raises(UsageError) as caught:
        Seed.parse(content, USUAL, "kms.toml")
    assert expected in str(caught.value)


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        Seed.load(tmp_path / "kms.toml", USUAL)
    with pytest.raises(UsageError, match="cannot be read: Is a directory"):
        Seed.load(tmp_path, USUAL)


_VALUES = st.recursive(
    st.one_of(st.text(max_size=5), st.integers(), st.booleans(), st.sampled_from([ID, MRK, "alias/a", "us-east-1"])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text("ab-", min_size=1), inner, max_size=3)
    ),
    max_leaves=5,
)
_NAMES = st.sampled_from(
    ["id", "aliases", "spec", "usage", "region", "replicas", "tags", "policy", "enabled", "material", "multi_region"]
)


@given(st.dictionaries(_NAMES, _VALUES))
def test_any_values_make_a_seed_or_an_error_that_tells(values: dict[str, object]) -> None:
    text = "[[keys]]\n" + "\n".join(f"{name} = {_toml(value)}" for name, value in values.items())
    with suppress(UsageError):
        assert len(read(text).keys) == 1


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_toml(name)} = {_toml(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, str):
        return '"' + "".join(f"\\U{ord(letter):08x}" for letter in value if not "\ud800" <= letter <= "\udfff") + '"'
    return str(value)
