"""Encrypted fields and files, in a Django project over SQLite and PostgreSQL."""

# ruff: noqa: E402 - what is imported first may be missing, and skips the module

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from testkit.guides import example
from testkit.keyrings import StaticDataKeyring
from testkit.own_vectors import Case, read_all
from testkit.servers import Postgres, postgres

django = pytest.importorskip("django")

from django.conf import settings

if not settings.configured:
    settings.configure(
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        INSTALLED_APPS=[],
        USE_TZ=True,
    )
    django.setup()

from django import forms
from django.apps.registry import Apps
from django.core import serializers
from django.core.exceptions import FieldError, ValidationError
from django.core.files.base import ContentFile, File
from django.core.files.storage import FileSystemStorage, InMemoryStorage, storages
from django.core.files.uploadedfile import SimpleUploadedFile, TemporaryUploadedFile
from django.core.serializers.json import DjangoJSONEncoder
from django.db import ProgrammingError, connection, connections, migrations, models
from django.db.migrations.state import ProjectState
from django.db.migrations.writer import MigrationWriter
from django.db.models import F, Value
from django.db.models.functions import Cast, Coalesce, Greatest, Lower
from django.db.models.lookups import IsNull
from django.db.utils import load_backend
from django.http import FileResponse
from django.test import RequestFactory, override_settings

from envelope_sdk import Client, CommitmentPolicy, EnvelopeError, Limits, errors
from envelope_sdk.errors import (
    ContextMismatchError,
    MessageError,
    NoMatchingKeyError,
    StreamError,
    TruncatedMessageError,
    UsageError,
)
from envelope_sdk.integrations.django_fields import EncryptedBinaryField, EncryptedJSONField, EncryptedTextField
from envelope_sdk.integrations.django_settings import client_from_settings
from envelope_sdk.integrations.django_storage import EncryptedStorage
from envelope_sdk.keyrings import MultiKeyring, RawAesKeyring
from envelope_sdk.keyrings.key_files import encode_aes_key_file

EMAIL = "zoë@example.org"


def keyring(number: int) -> RawAesKeyring:
    return RawAesKeyring("test", f"key-{number}", bytes([number]) * 32)


@pytest.fixture(autouse=True)
def client() -> Iterator[Client]:
    made = Client(keyring(1), frame_length=1024)
    with override_settings(ENVELOPE_SDK={"CLIENT": made}):
        yield made


class Customer(models.Model):
    email = EncryptedTextField(null=True)
    phone = EncryptedTextField(blank=True, default="")
    scan = EncryptedBinaryField(null=True)
    notes = EncryptedJSONField(null=True)

    class Meta:
        app_label = "shop"
        apps = Apps()


@pytest.fixture(scope="session")
def server() -> Iterator[Postgres]:
    with postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> Iterator[None]:
    """Django's default database, which the tests below use without naming it."""
    if request.param == "sqlite":
        yield
        return
    usual = connections["default"]
    host, port = request.getfixturevalue("server").address
    place = {"ENGINE": "django.db.backends.postgresql", "NAME": "postgres", "USER": "tests", "HOST": host, "PORT": port}
    connections["default"] = load_backend(place["ENGINE"]).DatabaseWrapper({**usual.settings_dict, **place}, "default")
    assert connection.vendor == "postgresql"
    yield
    connection.close()
    connections["default"] = usual


@pytest.fixture
def customers(database: None) -> Iterator[Any]:
    with connection.schema_editor() as editor:
        editor.create_model(Customer)
    yield Customer._default_manager
    with connection.schema_editor() as editor:
        editor.delete_model(Customer)


def stored(column: str, row: int = 1, table: str = "shop_customer") -> Any:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {column} FROM {table} WHERE id = %s", [row])
        value = cursor.fetchone()[0]
    return bytes(value) if isinstance(value, memoryview) else value


def overwrite(column: str, value: Any) -> None:
    value = connection.Database.Binary(value) if isinstance(value, bytes) else value
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE shop_customer SET {column} = %s", [value])


# --- fields ----------------------------------------------------------------------------------------------------------

ROWS = {
    "usual": {"email": EMAIL, "phone": "+49", "scan": b"\x00\xff" * 9, "notes": {"vip": True, "calls": [1, None]}},
    "null": {"email": None, "phone": "", "scan": None, "notes": None},
    "empty": {"email": "", "phone": "", "scan": b"", "notes": {}},
    "unicode": {"email": "日本語\x00🦊", "phone": "'; --", "scan": "🦊".encode(), "notes": ["🦊"]},
    "large": {"email": "ü" * 200_000, "phone": "", "scan": bytes(2_000_000), "notes": {"text": "x" * 100_000}},
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_a_value_comes_back(row: dict[str, Any], customers: Any):
    customers.create(id=1, **row)

    assert customers.values(*row).get() == row


def test_what_is_stored_is_a_message_bound_to_the_field(customers: Any, client: Client):
    customers.create(id=1, email=EMAIL)

    opened = client.decrypt(stored("email"))
    assert opened.plaintext == EMAIL.encode()
    assert dict(opened.header.encryption_context) == {"field": "shop.customer.email"}


def test_null_is_null_in_the_database(customers: Any):
    customers.create(id=1)

    assert stored("email") is None
    assert stored("notes") is None
    assert stored("phone") is not None


def test_rows_in_bulk_are_each_a_message_of_their_own(customers: Any):
    customers.bulk_create(Customer(id=number, email=EMAIL) for number in range(1, 301))
    assert len({stored("email", number) for number in (1, 2, 300)}) == 3

    changed = list(customers.all())
    for one in changed:
        one.email = f"{one.id}@example.org"
    customers.bulk_update(changed, ["email"])

    assert [one.email for one in customers.order_by("id")] == [f"{number}@example.org" for number in range(1, 301)]


def test_rows_in_bulk_that_are_there_already_are_updated(customers: Any):
    customers.create(id=1, email="before")

    customers.bulk_create(
        [Customer(id=1, email=EMAIL), Customer(id=2, email="new")],
        update_conflicts=True,
        unique_fields=["id"],
        update_fields=["email"],
    )

    assert list(customers.order_by("id").values_list("email", flat=True)) == [EMAIL, "new"]


def test_an_update_of_many_rows(customers: Any):
    customers.bulk_create([Customer(id=1), Customer(id=2)])
    customers.update(email=EMAIL, notes={"n": 1})

    assert list(customers.values_list("email", "notes")) == [(EMAIL, {"n": 1})] * 2


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("email", b"bytes", TypeError),
        ("email", "\ud800", UsageError),
        ("scan", 3, TypeError),
        ("notes", {"what": object()}, UsageError),
        ("notes", float("nan"), UsageError),
    ],
)
def test_what_is_of_another_type_is_refused(column: str, value: Any, expected: type[Exception], customers: Any):
    with pytest.raises(expected):
        customers.create(**{column: value})
    assert customers.count() == 0


FIELD: Any = Customer._meta.get_field("email")

UNENCRYPTED = {
    "value": Value(EMAIL),
    "case": models.Case(models.When(id=1, then=Value(EMAIL))),
    "case of the field": models.Case(models.When(id=1, then=Value(EMAIL)), output_field=FIELD),
    "default": models.Case(default=Value(EMAIL), output_field=FIELD),
    "function of the field": Coalesce(F("email"), Value(EMAIL), output_field=FIELD),
    "wrapped": models.ExpressionWrapper(Value(EMAIL), output_field=FIELD),
    "cast": Cast(Value(EMAIL), output_field=FIELD),
    "computed from the field": Lower("email", output_field=FIELD),
    "another field": F("phone"),
    "a value for another field": Value(EMAIL, output_field=Customer._meta.get_field("phone")),
    "a subquery of another field": models.Subquery(Customer._default_manager.values("phone")[:1]),
}


@pytest.mark.parametrize("expression", UNENCRYPTED.values(), ids=UNENCRYPTED)
def test_an_expression_that_would_be_stored_in_clear_is_refused(expression: Any, customers: Any):
    customers.create(id=1, email="before")

    with pytest.raises(FieldError, match="without being encrypted"):
        customers.update(email=expression)

    assert customers.get(id=1).email == "before"


def test_a_new_row_takes_no_expression_that_would_be_stored_in_clear(customers: Any):
    with pytest.raises(FieldError, match="without being encrypted"):
        customers.create(id=1, email=Value(EMAIL))
    with pytest.raises(FieldError, match="without being encrypted"):
        customers.bulk_create([Customer(id=1, email=Value(EMAIL))])

    assert customers.count() == 0


def test_an_expression_whose_values_are_the_field_s_is_stored_encrypted(customers: Any):
    customers.bulk_create([Customer(id=1, email="before"), Customer(id=2, email="kept"), Customer(id=3, email="gone")])
    ours = Value(EMAIL, output_field=FIELD)

    customers.update(email=models.Case(models.When(id=1, then=ours), models.When(id=2, then=F("email"))))

    assert list(customers.order_by("id").values_list("email", flat=True)) == [EMAIL, "kept", None]
    assert EMAIL.encode() not in stored("email")


def test_an_encoder_writes_what_json_has_not():
    field = EncryptedJSONField(encoder=DjangoJSONEncoder, bound_to="shop.customer.notes")

    assert field._decoded(field._encoded({"path": django.utils.timezone.datetime(2026, 1, 1)})) == {
        "path": "2026-01-01T00:00:00"
    }


def test_saving_again_moves_values_to_a_new_key(customers: Any):
    customers.create(id=1, email=EMAIL)
    both = MultiKeyring(generator=keyring(2), children=[keyring(1)])
    with override_settings(ENVELOPE_SDK={"CLIENT": Client(both)}):
        for one in customers.all():
            one.save(update_fields=["email"])

    with override_settings(ENVELOPE_SDK={"CLIENT": Client(keyring(2))}):
        assert customers.values_list("email", flat=True).get() == EMAIL


# --- what somebody did to the database -------------------------------------------------------------------------------


def test_a_value_of_another_field_does_not_decrypt(customers: Any):
    customers.create(id=1, email=EMAIL, phone="+49")
    overwrite("phone", stored("email"))

    with pytest.raises(ContextMismatchError):
        customers.get(id=1)


def test_an_altered_value_does_not_decrypt(customers: Any):
    customers.create(id=1, email=EMAIL)
    message = stored("email")
    for position in range(0, len(message), 7):
        overwrite("email", message[:position] + bytes([message[position] ^ 1]) + message[position + 1 :])
        with pytest.raises(EnvelopeError):
            customers.get(id=1)


def test_a_value_that_was_cut_short_does_not_decrypt(customers: Any):
    customers.create(id=1, email=EMAIL)
    overwrite("email", stored("email")[:-1])

    with pytest.raises(TruncatedMessageError):
        customers.get(id=1)


@pytest.mark.parametrize("value", [b"", b"plain", "plain"], ids=["empty", "bytes", "text"])
def test_plaintext_from_before_is_refused(value: Any, customers: Any):
    customers.create(id=1)
    overwrite("email", value)

    with pytest.raises(MessageError):
        customers.get(id=1)


def test_without_the_key_nothing_is_read(customers: Any):
    customers.create(id=1, email=EMAIL)

    with override_settings(ENVELOPE_SDK={"CLIENT": Client(keyring(2))}), pytest.raises(NoMatchingKeyError):
        customers.get(id=1)


@pytest.mark.parametrize("field", [EncryptedTextField, EncryptedJSONField])
def test_an_authentic_value_of_another_type_is_refused_without_showing_it(field: Any, client: Client):
    message = client.encrypt(b"\xffsecret", encryption_context={"field": "here"}).ciphertext

    with pytest.raises(MessageError, match="authentic but") as caught:
        field(bound_to="here").from_db_value(message, None, connection)
    assert "secret" not in str(caught.value)
    assert caught.value.__context__ is None


class Unbound(EncryptedBinaryField):
    """The vectors are of no field: most have no context."""

    encryption_context: dict[str, str] = {}  # type: ignore[assignment]  # noqa: RUF012


VECTORS = read_all()


def reader_for(case: Case) -> Client:
    policy = CommitmentPolicy.REQUIRE_ENCRYPT_ALLOW_DECRYPT
    return Client(StaticDataKeyring(case.key), commitment_policy=policy, limits=Limits(**case.limits))


@pytest.mark.parametrize("case", VECTORS, ids=lambda case: case.name)
def test_every_vector_as_a_stored_value(case: Case):
    with override_settings(ENVELOPE_SDK={"CLIENT": reader_for(case)}):
        if case.expect == "ok":
            assert Unbound().from_db_value(case.message, None, connection) == case.plaintext
            return
        with pytest.raises(EnvelopeError) as caught:
            Unbound().from_db_value(case.message, None, connection)

    assert type(caught.value) is getattr(errors, case.expect)


# --- what a database cannot do with it -------------------------------------------------------------------------------

LOOKUPS: dict[str, Any] = {
    "email": EMAIL,
    "email__exact": EMAIL,
    "email__iexact": EMAIL,
    "email__in": [EMAIL],
    "email__contains": "zoë",
    "email__startswith": "zoë",
    "email__gt": "a",
    "email__range": ("a", "b"),
    "email__regex": ".",
    "scan": b"",
    "scan__in": [b""],
    "notes": {},
    "notes__vip": True,
    "email__nonsense": 1,
}


@pytest.mark.parametrize(("lookup", "value"), LOOKUPS.items(), ids=LOOKUPS)
def test_searching_is_refused(lookup: str, value: Any, customers: Any):
    with pytest.raises(FieldError):
        customers.filter(**{lookup: value})


def test_the_refusal_says_why(customers: Any):
    with pytest.raises(FieldError, match="encrypted differently each time"):
        customers.filter(email=EMAIL)


def test_whether_there_is_a_value_can_be_asked(customers: Any):
    customers.bulk_create([Customer(id=1, email=EMAIL), Customer(id=2)])

    assert [one.id for one in customers.filter(email__isnull=False)] == [1]
    assert [one.id for one in customers.filter(email__isnull=True)] == [2]
    assert [one.id for one in customers.filter(email=None)] == [2]
    assert [one.id for one in customers.exclude(email=None)] == [1]


COMPUTED: dict[str, Any] = {
    "greatest": models.Max("email"),
    "least": models.Min("email"),
    "greater": Greatest("email", "email"),
    "of a window": models.Window(models.Max("email")),
}


@pytest.mark.parametrize("expression", COMPUTED.values(), ids=COMPUTED)
def test_a_value_that_was_found_by_comparing_messages_is_not_read(expression: Any, customers: Any):
    customers.bulk_create([Customer(id=1, email=EMAIL), Customer(id=2, email="other")])

    # PostgreSQL itself has no order of bytes, for some of these.
    with pytest.raises((FieldError, ProgrammingError), match=r"encrypted differently each time|does not exist"):
        list(customers.annotate(found=expression).values("found"))


def test_a_value_that_was_passed_on_is_read(customers: Any):
    customers.bulk_create([Customer(id=1, email=EMAIL), Customer(id=2)])
    later = models.Window(models.functions.FirstValue("email"), order_by="id")
    inner = models.Subquery(customers.filter(id=1).values("email"))

    found = customers.annotate(
        a=Coalesce("email", Value("none", output_field=FIELD)), b=later, c=inner, d=models.Count("email")
    )

    assert list(found.order_by("id").values_list("a", "b", "c", "d")) == [
        (EMAIL, EMAIL, EMAIL, 1),
        ("none", EMAIL, EMAIL, 0),
    ]


def test_a_value_to_compare_with_is_refused_however_the_comparison_was_written():
    with pytest.raises(FieldError, match="encrypted differently each time"):
        FIELD.get_db_prep_value(EMAIL, connection, prepared=True)


def test_an_expression_without_a_field_is_bound_to_nothing(customers: Any):
    customers.create(id=1)

    with pytest.raises(UsageError, match="bound to nothing"):
        customers.annotate(x=Value("x", output_field=EncryptedTextField())).get()


def model_with(field: Any, **options: Any) -> Any:
    meta = type("Meta", (), {"app_label": "shop", "apps": Apps()} | options)
    return type("Made", (models.Model,), {"__module__": __name__, "Meta": meta, "field": field})


@pytest.mark.parametrize(
    "model",
    [
        lambda: model_with(EncryptedTextField(unique=True)),
        lambda: model_with(EncryptedTextField(primary_key=True)),
        lambda: model_with(EncryptedTextField(db_index=True)),
        lambda: model_with(EncryptedTextField(db_default="x")),
        lambda: model_with(EncryptedTextField(), unique_together=[("id", "field")]),
        lambda: model_with(EncryptedTextField(), indexes=[models.Index(fields=["field"], name="i")]),
        lambda: model_with(EncryptedTextField(), indexes=[models.Index(fields=["id", "-field"], name="i")]),
        lambda: model_with(EncryptedTextField(), indexes=[models.Index(Lower("field"), name="i")]),
        lambda: model_with(
            EncryptedTextField(), constraints=[models.UniqueConstraint(fields=["id", "field"], name="c")]
        ),
        lambda: model_with(
            EncryptedTextField(), constraints=[models.UniqueConstraint("id", F("field").desc(), name="c")]
        ),
        lambda: model_with(EncryptedTextField(), ordering=["id", "-field"]),
        lambda: model_with(EncryptedTextField(), ordering=[F("field").asc(nulls_last=True)]),
        lambda: model_with(EncryptedTextField(), get_latest_by="field"),
    ],
    ids=[
        *("unique", "primary key", "index", "database default", "unique together", "index of the model"),
        *("descending index", "index of what is computed", "constraint", "constraint of expressions"),
        *("order", "order of expressions", "latest"),
    ],
)
def test_what_a_database_would_need_values_for_is_an_error_of_the_check(model: Any):
    assert "envelope_sdk.E001" in [found.id for found in model()._meta.get_field("field").check()]


def test_two_fields_of_a_model_that_are_bound_to_the_same_are_an_error_of_the_check():
    meta = type("Meta", (), {"app_label": "shop", "apps": Apps()})
    fields = {name: EncryptedTextField(bound_to="shop.customer.email") for name in ("email", "phone")}
    model: Any = type("Made", (models.Model,), {"__module__": __name__, "Meta": meta, **fields})

    (found,) = model._meta.get_field("phone").check()
    assert found.id == "envelope_sdk.E002"
    assert "email and phone" in found.msg


def test_what_does_not_compare_values_passes_the_check():
    model = model_with(
        EncryptedTextField(null=True),
        ordering=["id", IsNull(F("field"), True)],
        get_latest_by=["id"],
        indexes=[models.Index(fields=["id"], name="i", condition=models.Q(field__isnull=False))],
        constraints=[models.CheckConstraint(condition=models.Q(field__isnull=False), name="c")],
    )

    assert model._meta.get_field("field").check() == []


def test_a_usual_field_passes_the_check():
    for field in Customer._meta.get_fields():
        assert field.check() == []


# --- models, forms and migrations ------------------------------------------------------------------------------------


def test_a_field_of_an_abstract_model_is_bound_to_each_model():
    class Person(models.Model):
        email = EncryptedTextField()

        class Meta:
            abstract = True

    apps = Apps()
    made = [
        type(name, (Person,), {"__module__": __name__, "Meta": type("Meta", (), {"app_label": "shop", "apps": apps})})
        for name in ("Staff", "Guest")
    ]

    contexts = [model._meta.get_field("email").encryption_context["field"] for model in made]  # type: ignore[attr-defined]
    assert contexts == ["shop.staff.email", "shop.guest.email"]


def test_a_renamed_field_says_what_it_was():
    model = model_with(EncryptedTextField(bound_to="shop.customer.email"))

    assert model._meta.get_field("field").encryption_context == {"field": "shop.customer.email"}


@pytest.mark.parametrize(
    "field",
    [
        EncryptedTextField(null=True, bound_to="shop.customer.email"),
        EncryptedBinaryField(blank=True),
        EncryptedJSONField(encoder=DjangoJSONEncoder),
    ],
)
def test_a_migration_writes_the_field_without_keys(field: Any):
    text, imports = MigrationWriter.serialize(field)

    assert "Client" not in text
    names: dict[str, Any] = {}
    exec("\n".join(imports), names)
    assert eval(text, names).deconstruct()[1:] == field.deconstruct()[1:]


def test_a_migration_makes_the_table_and_fills_a_new_field(customers: Any):
    operations = [
        migrations.CreateModel("guest", [("id", models.BigAutoField(primary_key=True))]),
        migrations.RunPython(lambda apps, _: apps.get_model("shop", "guest").objects.create(id=1)),
        migrations.AddField("guest", "email", EncryptedTextField(default=EMAIL)),
        migrations.AddField("guest", "phone", EncryptedTextField(blank=True), preserve_default=False),
        migrations.AddField("guest", "notes", EncryptedJSONField(null=True)),
    ]
    state = ProjectState()
    for operation in operations:
        before, state = state, state.clone()
        operation.state_forwards("shop", state)
        with connection.schema_editor() as editor:
            operation.database_forwards("shop", editor, before, state)
    guest = state.apps.get_model("shop", "guest")

    assert guest.objects.values("email", "phone", "notes").get() == {"email": EMAIL, "phone": "", "notes": None}
    with connection.schema_editor() as editor:
        editor.delete_model(guest)


def test_forms_take_values_as_they_are():
    from django.forms import Textarea, modelform_factory

    form = modelform_factory(Customer, fields=["email", "notes"])
    filled = form({"email": EMAIL, "notes": '{"vip": true}'})

    assert isinstance(form.base_fields["email"].widget, Textarea)
    assert filled.is_valid()
    assert filled.cleaned_data == {"email": EMAIL, "notes": {"vip": True}}


def test_validation_refuses_what_json_cannot_hold():
    with pytest.raises(ValidationError):
        Customer(notes={"what": object()}).clean_fields(exclude=["phone", "email", "scan"])


def test_a_fixture_holds_values_in_clear(customers: Any):
    """As of every field: the page says so."""
    customers.create(id=1, email=EMAIL, scan=b"\xff", notes={"n": 1})

    (dumped,) = json.loads(serializers.serialize("json", customers.all()))

    assert dumped["fields"] == {"email": EMAIL, "phone": "", "scan": "/w==", "notes": {"n": 1}}


def test_a_fixture_is_loaded_as_it_was_dumped(customers: Any):
    customers.create(id=1, email=EMAIL, scan=b"\xff", notes={"n": [1, None]})
    (dumped,) = json.loads(serializers.serialize("json", customers.all()))
    customers.all().delete()

    loaded = {name: Customer._meta.get_field(name).to_python(value) for name, value in dumped["fields"].items()}
    customers.create(**loaded)

    row = {"email": EMAIL, "phone": "", "scan": b"\xff", "notes": {"n": [1, None]}}
    assert customers.values(*row).get() == row


# --- settings --------------------------------------------------------------------------------------------------------

MADE: list[Client] = []


def make_client() -> Client:
    MADE.append(Client(keyring(3)))
    return MADE[-1]


def test_a_factory_is_called_once(monkeypatch: pytest.MonkeyPatch):
    MADE.clear()
    with override_settings(ENVELOPE_SDK={"CLIENT": make_client}):
        assert client_from_settings() is client_from_settings()

    assert len(MADE) == 1


def test_a_factory_is_called_again_when_the_settings_change():
    MADE.clear()
    for _ in range(2):
        with override_settings(ENVELOPE_SDK={"CLIENT": make_client}):
            client_from_settings()

    assert len(MADE) == 2


def test_a_client_is_named_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "shop_keys.py").write_text(
        "from envelope_sdk import Client\n"
        "from envelope_sdk.keyrings import RawAesKeyring\n"
        "def client():\n    return Client(RawAesKeyring('shop', 'key', bytes(32)))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)

    with override_settings(ENVELOPE_SDK={"CLIENT": "shop_keys.client"}):
        assert isinstance(client_from_settings(), Client)


@pytest.mark.parametrize(
    "given", [None, {}, {"CLIENT": None}, {"CLIENT": 3}, {"CLIENT": "os.sep"}, {"CLIENT": []}, "path"]
)
def test_settings_without_a_client_are_refused(given: Any):
    with override_settings(ENVELOPE_SDK=given), pytest.raises(UsageError, match="CLIENT"):
        client_from_settings()


# --- files -----------------------------------------------------------------------------------------------------------

CONTENT = bytes(range(256)) * 100


@pytest.fixture
def below(tmp_path: Path) -> FileSystemStorage:
    return FileSystemStorage(tmp_path / "media", base_url="/media/")


@pytest.fixture
def storage(below: FileSystemStorage) -> EncryptedStorage:
    return EncryptedStorage(below)


CONTENTS: dict[str, Any] = {
    "bytes": lambda: ContentFile(CONTENT),
    "empty": lambda: ContentFile(b""),
    "text": lambda: ContentFile("zoë\n" * 5000),
    "an upload in memory": lambda: SimpleUploadedFile("a.bin", CONTENT),
    "a file": lambda: File(io.BytesIO(CONTENT)),
    "a bare file object": lambda: io.BytesIO(CONTENT),
}


@pytest.mark.parametrize("make", CONTENTS.values(), ids=CONTENTS)
def test_a_file_comes_back(make: Any, storage: EncryptedStorage, below: FileSystemStorage, client: Client):
    content = make().read()
    plaintext = content.encode() if isinstance(content, str) else content

    name = storage.save("scans/a.bin", make())

    with storage.open(name) as file:
        assert file.read() == plaintext
    assert storage.size(name) == len(plaintext)
    with below.open(name) as file:
        opened = client.decrypt(file.read())
    assert opened.plaintext == plaintext
    assert dict(opened.header.encryption_context) == {"file": "scans/a.bin"}


def test_an_upload_in_a_temporary_file_is_not_moved_as_it_is(storage: EncryptedStorage, below: FileSystemStorage):
    upload = TemporaryUploadedFile("a.bin", "application/octet-stream", len(CONTENT), None)
    upload.write(CONTENT)
    upload.flush()

    name = storage.save("a.bin", upload)

    assert Path(below.path(name)).read_bytes() != CONTENT
    with storage.open(name) as file:
        assert file.read() == CONTENT


def test_a_file_is_read_anywhere(storage: EncryptedStorage):
    with storage.open(storage.save("a.bin", ContentFile(CONTENT))) as file:
        file.seek(10_000)
        assert file.read(10) == CONTENT[10_000:10_010]
        assert file.size == len(CONTENT)
        assert b"".join(file.chunks(1000)) == CONTENT
        assert next(iter(file)) == CONTENT.splitlines(keepends=True)[0]


def test_a_file_is_opened_again(storage: EncryptedStorage):
    file = storage.open(storage.save("a.bin", ContentFile(CONTENT)))
    file.read(10)
    assert file.open().read(3) == CONTENT[:3]
    file.close()
    assert file.closed
    with file.open("rb") as again:
        assert again.read(3) == CONTENT[:3]


def test_a_view_sends_a_file(storage: EncryptedStorage):
    name = storage.save("a.bin", ContentFile(CONTENT))

    response = FileResponse(storage.open(name), as_attachment=True)

    assert response.headers["Content-Length"] == str(len(CONTENT))
    assert b"".join(response.streaming_content) == CONTENT  # type: ignore[arg-type]
    response.close()


def test_a_storage_that_cannot_seek_is_read_forward(tmp_path: Path):
    class Forward(FileSystemStorage):
        def _open(self, name: str, mode: str = "rb") -> Any:
            file = super()._open(name, mode)
            file.file = io.BufferedReader(OneWay(file.file))
            return file

    class OneWay(io.RawIOBase):
        def __init__(self, raw: Any) -> None:
            self._raw = raw

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            return self._raw.readinto(buffer)

    storage = EncryptedStorage(Forward(tmp_path))
    name = storage.save("a.bin", ContentFile(CONTENT))

    with storage.open(name) as file:
        assert file.read() == CONTENT
    with pytest.raises(UsageError, match="cannot seek"):
        storage.size(name)


def test_everything_else_is_the_other_storages(storage: EncryptedStorage, below: FileSystemStorage):
    name = storage.save("scans/a.bin", ContentFile(CONTENT))

    assert storage.exists(name)
    assert storage.listdir("scans") == below.listdir("scans") == ([], ["a.bin"])
    for when in ("get_accessed_time", "get_created_time", "get_modified_time"):
        assert getattr(storage, when)(name) == getattr(below, when)(name)
    assert storage.get_valid_name("a b") == "a_b"
    assert storage.generate_filename("x/a b") == "x/a_b"
    storage.delete(name)
    assert not storage.exists(name)


def test_there_is_no_url_and_no_path_to_the_message(storage: EncryptedStorage):
    with pytest.raises(UsageError):
        storage.url("a.bin")
    with pytest.raises(NotImplementedError):
        storage.path("a.bin")


@pytest.mark.parametrize("base_url", ["/files/", "/files"])
def test_the_url_of_a_file_is_that_of_the_view_that_sends_it(base_url: str, below: FileSystemStorage):
    storage = EncryptedStorage(below, base_url=base_url)

    assert storage.url("scans/zoë 1.bin") == "/files/scans/zo%C3%AB%201.bin"
    assert storage.url("/a.bin") == "/files/a.bin"


def test_a_form_links_to_the_view(below: FileSystemStorage):
    field: Any = models.FileField(storage=EncryptedStorage(below, base_url="/files/"))
    file = field.attr_class(None, field, "a.bin")

    assert forms.ClearableFileInput().is_initial(file)


@pytest.mark.parametrize("mode", ["r", "w", "wb", "r+b", "ab"])
def test_a_file_is_opened_for_reading_only(mode: str, storage: EncryptedStorage):
    name = storage.save("a.bin", ContentFile(CONTENT))

    with pytest.raises(UsageError):
        storage.open(name, mode)
    with storage.open(name) as file, pytest.raises(UsageError):
        file.open(mode)


def test_what_is_not_there_is_not_found(storage: EncryptedStorage):
    with pytest.raises(FileNotFoundError):
        storage.open("a.bin")


def test_a_file_in_the_place_of_another_does_not_open(storage: EncryptedStorage, below: FileSystemStorage):
    one, two = (storage.save(name, ContentFile(name.encode())) for name in ("one", "two"))
    Path(below.path(one)).replace(below.path(two))

    with pytest.raises(ContextMismatchError):
        storage.open(two)


def test_a_file_may_be_renamed_where_names_do_not_count(below: FileSystemStorage):
    storage = EncryptedStorage(below, bound_to_name=False)
    name = storage.save("one", ContentFile(CONTENT))
    Path(below.path(name)).rename(below.path("two"))

    with storage.open("two") as file:
        assert file.read() == CONTENT


@pytest.mark.parametrize("cut", [1, 16, 1024, 5000])
def test_a_file_that_was_cut_short_does_not_open(cut: int, storage: EncryptedStorage, below: FileSystemStorage):
    name = storage.save("a.bin", ContentFile(CONTENT))
    path = Path(below.path(name))
    path.write_bytes(path.read_bytes()[:-cut])

    with pytest.raises(EnvelopeError):
        storage.open(name)
    with pytest.raises(EnvelopeError):
        storage.size(name)


def test_an_altered_frame_is_refused_when_it_is_read(storage: EncryptedStorage, below: FileSystemStorage):
    name = storage.save("a.bin", ContentFile(CONTENT))
    path = Path(below.path(name))
    message = bytearray(path.read_bytes())
    message[len(message) // 2] ^= 1
    path.write_bytes(message)

    with storage.open(name) as file:
        with pytest.raises(errors.AuthenticationError):
            file.read()
        file.seek(20_000)
        assert file.read(1000) == CONTENT[20_000:21_000]


@pytest.mark.parametrize("case", VECTORS, ids=lambda case: case.name)
def test_every_vector_as_a_stored_file(case: Case):
    below = InMemoryStorage()
    below.save("a.bin", ContentFile(case.message))
    storage = EncryptedStorage(below, bound_to_name=False)
    released = b""
    error: EnvelopeError | None = None

    with override_settings(ENVELOPE_SDK={"CLIENT": reader_for(case)}):
        try:
            with storage.open("a.bin") as file:
                while piece := file.read(7):
                    released += piece
        except EnvelopeError as caught:
            error = caught

    assert case.plaintext.startswith(released)
    if case.expect == "ok" and not isinstance(error, errors.SignedStreamError):
        assert (released, error) == (case.plaintext, None)
    else:
        assert error is not None


class Broken(ContentFile):
    """An upload that breaks off."""

    def chunks(self, chunk_size: int | None = None) -> Iterator[bytes]:
        yield self.read(10_000)
        raise ConnectionResetError("the client went away")


def test_an_upload_that_breaks_off_leaves_no_file(storage: EncryptedStorage, below: FileSystemStorage):
    with pytest.raises(ConnectionResetError):
        storage.save("a.bin", Broken(CONTENT))

    assert not below.exists("a.bin")


def test_less_than_announced_leaves_no_file(storage: EncryptedStorage, below: FileSystemStorage):
    content = ContentFile(CONTENT)
    content.size = len(CONTENT) + 1

    with pytest.raises(StreamError):
        storage.save("a.bin", content)
    assert not below.exists("a.bin")


def test_without_the_key_service_nothing_is_written(storage: EncryptedStorage, below: FileSystemStorage):
    with override_settings(ENVELOPE_SDK={"CLIENT": "os.sep"}), pytest.raises(UsageError):
        storage.save("a.bin", ContentFile(CONTENT))
    assert not below.exists("a.bin")


def test_a_client_that_signs_is_refused_before_anything_is_written(storage: EncryptedStorage, below: FileSystemStorage):
    with override_settings(ENVELOPE_SDK={"CLIENT": Client(keyring(1), sign=True)}), pytest.raises(UsageError):
        storage.save("a.bin", ContentFile(CONTENT))
    assert not below.exists("a.bin")


def test_a_failure_does_not_delete_what_somebody_else_saved(tmp_path: Path):
    class Failing(FileSystemStorage):
        def _save(self, name: str, content: Any) -> str:
            content.read(1000)
            Path(self.path(name)).write_bytes(CONTENT)
            raise OSError("full")

    below = Failing(tmp_path)
    with pytest.raises(OSError, match="full"):
        EncryptedStorage(below).save("a.bin", ContentFile(CONTENT))

    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_a_storage_that_stops_reading_early_is_noticed(tmp_path: Path):
    class Short(FileSystemStorage):
        def _save(self, name: str, content: Any) -> str:
            Path(self.path(name)).write_bytes(content.read(1000))
            return name

    with pytest.raises(StreamError, match="to its end"):
        EncryptedStorage(Short(tmp_path)).save("a.bin", ContentFile(CONTENT))
    assert list(tmp_path.iterdir()) == []


class Contended(FileSystemStorage):
    """Somebody takes the first name, after it was free and before it is used."""

    def _save(self, name: str, content: Any) -> str:
        if name == "a.bin":
            Path(self.path(name)).write_bytes(b"theirs")
        return super()._save(name, content)


class OnlyOnce(io.RawIOBase):
    """A body of a request, for instance."""

    def __init__(self) -> None:
        self._rest = io.BytesIO(CONTENT)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._rest.readinto(buffer)


def test_what_can_be_read_only_once_is_saved(storage: EncryptedStorage):
    with storage.open(storage.save("a.bin", OnlyOnce())) as file:
        assert file.read() == CONTENT


def test_what_can_be_read_only_once_is_not_saved_empty_under_another_name(tmp_path: Path):
    with pytest.raises(io.UnsupportedOperation):
        EncryptedStorage(Contended(tmp_path)).save("a.bin", OnlyOnce())

    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"theirs"]


def test_a_name_that_is_taken_meanwhile_is_left_for_another(tmp_path: Path):
    storage = EncryptedStorage(Contended(tmp_path))

    name = storage.save("a.bin", ContentFile(CONTENT))

    assert name != "a.bin"
    assert (tmp_path / "a.bin").read_bytes() == b"theirs"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["a.bin", name])
    with storage.open(name) as file:
        assert file.read() == CONTENT


def test_a_storage_that_makes_names_of_its_own_is_told_from_a_contended_one(tmp_path: Path):
    class Lowering(FileSystemStorage):
        def _save(self, name: str, content: Any) -> str:
            return super()._save(name.lower(), content)

    with pytest.raises(UsageError, match=r"'A.bin' as 'a.bin'.*bound_to_name=False"):
        EncryptedStorage(Lowering(tmp_path)).save("A.bin", ContentFile(CONTENT))
    assert list(tmp_path.iterdir()) == []

    storage = EncryptedStorage(Lowering(tmp_path), bound_to_name=False)
    with storage.open(storage.save("A.bin", ContentFile(CONTENT))) as file:
        assert file.read() == CONTENT


def test_a_storage_is_configured_in_the_settings(tmp_path: Path):
    inner = {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": str(tmp_path)}}
    configured = {
        "sealed": {
            "BACKEND": "envelope_sdk.integrations.django_storage.EncryptedStorage",
            "OPTIONS": {"storage": inner},
        }
    }
    with override_settings(STORAGES=configured):
        name = storages["sealed"].save("a.bin", ContentFile(CONTENT))
        with storages["sealed"].open(name) as file:
            assert file.read() == CONTENT

    assert (tmp_path / "a.bin").is_file()


def test_what_is_no_storage_is_refused():
    with pytest.raises(UsageError):
        EncryptedStorage("io.BytesIO")


def test_a_migration_writes_the_storage_without_keys(tmp_path: Path):
    storage = EncryptedStorage("django.core.files.storage.InMemoryStorage", bound_to_name=False)

    text, _ = MigrationWriter.serialize(storage)

    assert text == (
        "envelope_sdk.integrations.django_storage.EncryptedStorage("
        "'django.core.files.storage.InMemoryStorage', bound_to_name=False)"
    )


def test_a_file_field_saves_and_opens(below: FileSystemStorage):
    class Document(models.Model):
        scan = models.FileField(upload_to="scans", storage=EncryptedStorage(below))

        class Meta:
            app_label = "shop"
            apps = Apps()

    with connection.schema_editor() as editor:
        editor.create_model(Document)
    made = Document(id=1)
    made.scan.save("a.bin", SimpleUploadedFile("a.bin", CONTENT))
    found = Document._default_manager.get(id=1)

    assert found.scan.name == "scans/a.bin"
    assert found.scan.size == len(CONTENT)
    with found.scan.open() as file:
        assert file.read() == CONTENT
    with found.scan.open() as file:
        assert file.read(5) == CONTENT[:5]
    found.scan.delete()
    assert not below.exists("scans/a.bin")
    with connection.schema_editor() as editor:
        editor.delete_model(Document)


# --- docs/django.md --------------------------------------------------------------------------------------------------


def test_the_examples_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    key = tmp_path / "shop.key"
    key.write_bytes(encode_aes_key_file("shop", "1", bytes(32)))
    key.chmod(0o600)
    (tmp_path / "shop_keys.py").write_text(example("django.md", "keys"))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("SHOP_KEY", f"raw-aes://{key}")
    names: dict[str, Any] = {}
    exec(example("django.md", "settings"), names)
    names["STORAGES"]["default"]["OPTIONS"]["storage"]["OPTIONS"] = {"location": str(tmp_path / "media")}
    configured = {name: names[name] for name in ("ENVELOPE_SDK", "STORAGES")}
    with override_settings(**configured):
        models_of_page: dict[str, Any] = {"__name__": __name__, "Apps": Apps}
        text = example("django.md", "models").replace("pass  # Meta", "app_label, apps = 'shop', Apps()")
        exec(compile(text, "models", "exec", dont_inherit=True), models_of_page)
        model = models_of_page["Patient"]
        with connection.schema_editor() as editor:
            editor.create_model(model)
        exec(example("django.md", "use"), {"Patient": model, "upload": SimpleUploadedFile("a.png", CONTENT)})
        view: dict[str, Any] = {"Patient": model}
        exec(example("django.md", "view"), view)
        sent = view["scan"](RequestFactory().get("/files/scans/a.png"), "scans/a.png")
        assert b"".join(sent.streaming_content) == CONTENT
        sent.close()
        assert model._default_manager.get().scan.url == "/files/scans/a.png"

        assert model._default_manager.get().insurance == "A123456780"
        assert (tmp_path / "media" / "scans" / "a.png").is_file()
        with connection.schema_editor() as editor:
            editor.delete_model(model)


def test_the_example_of_the_page_for_what_is_bound_to_its_row(database: None):
    names: dict[str, Any] = {"__name__": __name__, "Apps": Apps}
    text = example("django.md", "row").replace("pass  # Meta", "app_label, apps = 'shop', Apps()")
    exec(compile(text, "row", "exec", dont_inherit=True), names)
    visit = names["Visit"]
    with connection.schema_editor() as editor:
        editor.create_model(visit)
    visits = visit._default_manager
    one, two = (visits.create(finding=finding) for finding in ("a cold", "the measles"))
    assert visits.get(pk=one.pk).finding == "a cold"
    visits.filter(pk=one.pk).update(sealed=two.sealed)

    with pytest.raises(ContextMismatchError):
        _ = visits.get(pk=one.pk).finding
    with connection.schema_editor() as editor:
        editor.delete_model(visit)
