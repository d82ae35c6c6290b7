"""Where the clients of several Regions come from."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier, Event

import pytest
from testkit.kms_regions import World

from envelope_sdk import Client
from envelope_sdk.errors import KmsAccessError, KmsUnavailableError, UsageError
from envelope_sdk.keyrings import (
    Boto3ClientSupplier,
    LimitedRegionsClientSupplier,
    kms_mrk_discovery_multi_keyring,
    kms_multi_keyring,
)
from envelope_sdk.keyrings.kms.clients import region_of_client, supplied_client
from envelope_sdk.local_kms import LocalKms

boto3 = pytest.importorskip("boto3")
botocore_config = pytest.importorskip("botocore.config")
botocore_exceptions = pytest.importorskip("botocore.exceptions")

THREADS = 16
WAIT = 10
"""Seconds, where only a deadlock takes so long."""


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path):
    """What boto3 finds: credentials, no Region, no files of the person who runs the tests."""
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION", "AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the secret one")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    return monkeypatch


class CountingSession:
    """A real session that counts what it makes, and notices being used by two threads at once."""

    def __init__(self):
        self.made = []
        self.meanwhile = False
        self._busy = False
        self._session = boto3.session.Session()

    def client(self, service, **parameters):
        self.meanwhile |= self._busy
        self._busy = True
        try:
            self.made.append(parameters["region_name"])
            return self._session.client(service, **parameters)
        finally:
            self._busy = False


# --- Boto3ClientSupplier ---------------------------------------------------------------------------------------------


def test_a_client_asks_the_region_that_it_was_made_for():
    supplier = Boto3ClientSupplier()

    assert supplier("eu-west-1").meta.region_name == "eu-west-1"
    assert supplier("us-east-1").meta.endpoint_url == "https://kms.us-east-1.amazonaws.com"


def test_there_is_one_client_for_each_region():
    session = CountingSession()
    supplier = Boto3ClientSupplier(session)
    clients = [supplier(region) for region in ["eu-west-1", "us-east-1"] * 3]

    assert session.made == ["eu-west-1", "us-east-1"]
    assert len({id(client) for client in clients}) == 2


def test_however_many_threads_ask_there_is_one_client_for_each_region():
    session = CountingSession()
    supplier = Boto3ClientSupplier(session)
    regions = ["eu-west-1", "us-east-1", "us-west-2", ""]
    session._session = boto3.session.Session(region_name="eu-north-1")
    start = Barrier(THREADS)

    def ask(number):
        start.wait()
        return [supplier(regions[(number + turn) % 4]).meta.region_name for turn in range(4)]

    with ThreadPoolExecutor(THREADS) as threads:
        answers = list(threads.map(ask, range(THREADS)))

    assert sorted(session.made, key=str) == sorted([*regions[:3], None], key=str)
    assert not session.meanwhile
    names = ["eu-west-1", "us-east-1", "us-west-2", "eu-north-1"]
    assert answers == [[names[(number + turn) % 4] for turn in range(4)] for number in range(THREADS)]


def test_threads_that_share_a_supplier_and_its_keyrings_read_each_other_s_messages():
    moto = pytest.importorskip("moto")
    regions = ["eu-west-1", "us-east-1"]
    with moto.mock_aws():
        supplier = Boto3ClientSupplier()
        keys = [supplier(region).create_key()["KeyMetadata"]["Arn"] for region in regions]
        shared = Client(kms_multi_keyring(keys[0], keys[1:], client_supplier=supplier))

        def there_and_back(number):
            message = shared.encrypt(b"%d" % number).ciphertext
            reader = kms_mrk_discovery_multi_keyring(regions[number % 2 :], client_supplier=supplier)
            return Client(reader).decrypt(message).plaintext

        with ThreadPoolExecutor(8) as threads:
            assert list(threads.map(there_and_back, range(32))) == [b"%d" % number for number in range(32)]


def holds_in_a_fork(check):
    child = os.fork()
    if child == 0:
        signal.alarm(WAIT)
        held = False
        try:
            held = check()
        finally:
            os._exit(0 if held else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")


@forks
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_child_forked_while_a_client_is_made_is_given_its_own():
    parent, inside, go_on = os.getpid(), Event(), Event()

    class Slow(CountingSession):
        def client(self, service, **parameters):
            if os.getpid() == parent:
                inside.set()
                go_on.wait(WAIT)
            return super().client(service, **parameters)

    supplier = Boto3ClientSupplier(Slow())
    with ThreadPoolExecutor(1) as threads:
        made = threads.submit(supplier, "eu-west-1")
        inside.wait(WAIT)
        held = holds_in_a_fork(lambda: supplier("eu-west-1").meta.region_name == "eu-west-1")
        go_on.set()

    assert held
    assert made.result() is supplier("eu-west-1")


@forks
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_does_not_use_its_parents_connections():
    supplier = Boto3ClientSupplier()
    parents = supplier("eu-west-1")

    assert holds_in_a_fork(lambda: supplier("eu-west-1") is not parents)
    assert supplier("eu-west-1") is parents


@pytest.mark.skipif(not hasattr(signal, "alarm"), reason="there are no such signals here")
def test_a_signal_handler_may_ask_while_a_client_is_made(request):
    class Interrupted(CountingSession):
        interrupted = False

        def client(self, service, **parameters):
            if not self.interrupted:
                self.interrupted = True
                signal.raise_signal(signal.SIGUSR1)
            return super().client(service, **parameters)

    def ask(*_):
        asked.append(supplier("eu-west-1"))

    def give_up(*_):
        raise ZeroDivisionError("deadlock")

    for number, handler in [(signal.SIGUSR1, ask), (signal.SIGALRM, give_up)]:
        request.addfinalizer(partial(signal.signal, number, signal.signal(number, handler)))
    request.addfinalizer(partial(signal.alarm, 0))
    supplier = Boto3ClientSupplier(Interrupted())
    asked = []
    signal.alarm(WAIT)

    assert [supplier("eu-west-1")] == asked


def test_the_empty_text_is_the_region_that_boto3_is_configured_for(environment):
    environment.setenv("AWS_DEFAULT_REGION", "eu-central-1")

    assert Boto3ClientSupplier()("").meta.region_name == "eu-central-1"


@pytest.mark.parametrize("first", ["", "eu-central-1"], ids=["default-first", "named-first"])
def test_the_default_region_s_client_is_the_one_of_its_name(first):
    supplier = Boto3ClientSupplier(boto3.session.Session(region_name="eu-central-1"))
    supplier(first)

    assert supplier("") is supplier("eu-central-1")
    assert supplier("") is not supplier("eu-west-1")


def test_session_config_and_endpoint_are_used():
    session = boto3.session.Session(aws_access_key_id="another", aws_secret_access_key="secret")
    config = botocore_config.Config(connect_timeout=3, user_agent_extra="envelope-test")
    client = Boto3ClientSupplier(session, config=config, endpoint_url="http://127.0.0.1:4566")("eu-west-1")

    assert client.meta.endpoint_url == "http://127.0.0.1:4566"
    assert client.meta.config.connect_timeout == 3
    assert client._request_signer._credentials.access_key == "another"


def test_no_region_at_all_says_what_to_do():
    with pytest.raises(UsageError, match="name keys by their ARNs, which say the Region, or set AWS_DEFAULT_REGION"):
        Boto3ClientSupplier()("")


@pytest.mark.parametrize("region", ["under_score", "a.b", "-"])
def test_a_region_that_boto3_does_not_take_is_a_usage_error(region):
    with pytest.raises(UsageError, match="Regions are named like 'eu-west-1'") as caught:
        Boto3ClientSupplier()(region)
    assert isinstance(caught.value.__cause__, botocore_exceptions.InvalidRegionError)


@pytest.mark.parametrize(("region", "kind"), [(" ", UsageError), ("eu west 1", UsageError), (None, TypeError)])
def test_what_is_no_region_is_refused(region, kind):
    with pytest.raises(kind, match="the Region is"):
        Boto3ClientSupplier()(region)


def test_a_profile_that_does_not_exist_says_what_to_do(environment):
    environment.setenv("AWS_PROFILE", "missing")
    with pytest.raises(UsageError, match=r"missing.*: correct AWS_PROFILE, or give a session of another profile"):
        Boto3ClientSupplier()("eu-west-1")


def test_an_endpoint_that_is_none_is_a_usage_error():
    with pytest.raises(UsageError, match="Invalid endpoint: nowhere"):
        Boto3ClientSupplier(endpoint_url="nowhere")("eu-west-1")


def test_a_damaged_configuration_is_a_usage_error(environment, tmp_path):
    (tmp_path / "config").write_text("[profile\n")
    with pytest.raises(UsageError, match="correct that file"):
        Boto3ClientSupplier()("eu-west-1")


def test_half_of_the_credentials_is_a_matter_of_access_and_tells_neither(environment):
    environment.delenv("AWS_ACCESS_KEY_ID")
    environment.setenv("AWS_ACCESS_KEY_ID", "half")
    environment.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(KmsAccessError, match="missing: AWS_SECRET_ACCESS_KEY") as caught:
        Boto3ClientSupplier()("eu-west-1")
    assert (caught.value.code, caught.value.retryable) == ("PartialCredentialsError", False)
    assert "half" not in str(caught.value)


@pytest.mark.parametrize(
    "error",
    [
        botocore_exceptions.EndpointConnectionError(endpoint_url="https://sts.example"),
        botocore_exceptions.ReadTimeoutError(endpoint_url="https://sts.example"),
        ConnectionResetError(104, "reset"),
        botocore_exceptions.ClientError(
            {"Error": {"Code": "ThrottlingException"}, "ResponseMetadata": {"RequestId": "request-1"}}, "AssumeRole"
        ),
    ],
    ids=lambda error: type(error).__name__,
)
def test_credentials_that_cannot_be_had_for_now_may_be_asked_for_again(error):
    class Unreachable:
        def client(self, *_arguments, **_parameters):
            raise error

    with pytest.raises(KmsUnavailableError) as caught:
        Boto3ClientSupplier(Unreachable())("eu-west-1")
    assert caught.value.retryable
    assert caught.value.request_id == ("request-1" if "Throttling" in str(error) else None)


def test_a_configuration_that_cannot_be_read_is_a_usage_error(tmp_path):
    class Unreadable:
        def client(self, *_arguments, **_parameters):
            (tmp_path / "config").read_text()

    with pytest.raises(UsageError, match="No such file"):
        Boto3ClientSupplier(Unreadable())("eu-west-1")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"session": "default"}, "a session is a boto3.session.Session, not str"),
        ({"session": {"region_name": "eu-west-1"}}, "a session is a boto3.session.Session, not dict"),
        ({"config": {"connect_timeout": 3}}, "a configuration is a botocore.config.Config, not dict"),
        ({"endpoint_url": 4566}, "an endpoint is a URL as text, not int"),
        ({"endpoint_url": b"http://127.0.0.1"}, "an endpoint is a URL as text, not bytes"),
    ],
    ids=str,
)
def test_what_clients_cannot_be_made_with_is_a_type_error(arguments, reason):
    with pytest.raises(TypeError, match=reason):
        Boto3ClientSupplier(**arguments)


def test_after_a_failure_the_next_call_tries_again(environment):
    supplier = Boto3ClientSupplier()
    environment.setenv("AWS_PROFILE", "missing")
    with pytest.raises(UsageError):
        supplier("eu-west-1")
    environment.delenv("AWS_PROFILE")

    assert supplier("eu-west-1").meta.region_name == "eu-west-1"


def test_programming_errors_are_raised_as_they_are():
    class Broken:
        def client(self, *_arguments, **_parameters):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Boto3ClientSupplier(Broken())("eu-west-1")


def test_boto3_is_imported_when_the_first_client_is_made():
    program = (
        "import sys\n"
        "from envelope_sdk.keyrings import *\n"
        "supplier = LimitedRegionsClientSupplier(Boto3ClientSupplier(), ['eu-west-1'])\n"
        "print([name for name in sys.modules if name.startswith('boto')])\n"
        "supplier('eu-west-1')\n"
        "print('boto3' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\nTrue\n"


def test_without_boto3_it_says_what_to_do():
    program = (
        "import sys\n"
        "sys.modules['boto3'] = None\n"
        "from envelope_sdk.keyrings import Boto3ClientSupplier\n"
        "try:\n"
        "    Boto3ClientSupplier()('eu-west-1')\n"
        "except ValueError as error:\n"
        "    print(type(error).__name__, str(error).endswith(': install boto3'))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout == "UsageError True\n"


def test_neither_repr_nor_pickle_gives_credentials_away():
    supplier = Boto3ClientSupplier(endpoint_url="http://127.0.0.1:4566")
    supplier("eu-west-1")

    assert repr(Boto3ClientSupplier()) == "Boto3ClientSupplier()"
    assert repr(supplier) == "Boto3ClientSupplier(endpoint_url='http://127.0.0.1:4566')"
    with pytest.raises(TypeError, match="make one in each process"):
        pickle.dumps(supplier)


# --- LimitedRegionsClientSupplier ------------------------------------------------------------------------------------


def test_allowed_regions_are_passed_on():
    world = World()
    supplier = LimitedRegionsClientSupplier(world.client, (region for region in ["eu-west-1", "eu-north-1"]))

    assert [supplier(region).region for region in ("eu-north-1", "eu-west-1")] == ["eu-north-1", "eu-west-1"]


@pytest.mark.parametrize(
    ("region", "shown"),
    [("us-east-1", "the Region 'us-east-1'"), ("eu-west", "the Region 'eu-west'"), ("", "the default Region")],
)
def test_other_regions_are_refused_without_asking(region, shown):
    asked = []
    supplier = LimitedRegionsClientSupplier(asked.append, ["eu-west-1", "eu-north-1"])
    with pytest.raises(UsageError, match=f"{shown} is none of those that may be asked: eu-west-1, eu-north-1"):
        supplier(region)
    assert asked == []


@pytest.mark.parametrize(
    ("regions", "kind"),
    [([], UsageError), ([""], UsageError), (["a", "a"], UsageError), ("eu-west-1", TypeError), ([None], TypeError)],
)
def test_allowed_regions_are_checked(regions, kind):
    with pytest.raises(kind):
        LimitedRegionsClientSupplier(World().client, regions)


def test_a_supplier_that_cannot_be_called_is_a_type_error():
    with pytest.raises(TypeError, match="a client supplier is called with a Region"):
        LimitedRegionsClientSupplier(World(), ["eu-west-1"])


def test_the_repr_shows_what_is_limited_to_what():
    limited = LimitedRegionsClientSupplier(Boto3ClientSupplier(), ["eu-west-1"])

    assert repr(limited) == "LimitedRegionsClientSupplier(Boto3ClientSupplier(), ['eu-west-1'])"


# --- anybody's suppliers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("region", "shown"), [("eu-west-1", "the Region 'eu-west-1'"), ("", "the default Region")])
def test_a_supplier_that_has_no_client_is_a_usage_error(region, shown):
    with pytest.raises(UsageError, match=f"the client supplier has no client for {shown}"):
        supplied_client({}.get, region)


def test_a_dict_without_the_region_is_a_usage_error():
    with pytest.raises(UsageError, match="the client supplier has no client for the Region 'eu-west-1'") as caught:
        kms_mrk_discovery_multi_keyring(["eu-west-1"], client_supplier={}.__getitem__)
    assert isinstance(caught.value.__cause__, KeyError)


def test_a_supplier_that_cannot_be_called_says_so():
    with pytest.raises(TypeError, match="a client supplier is called with a Region"):
        supplied_client(World().client("eu-west-1"), "eu-west-1")


def test_the_region_of_a_client_is_known_where_it_tells():
    with LocalKms.in_memory(region="eu-north-1") as kms:
        assert region_of_client(kms) == "eu-north-1"
    assert region_of_client(Boto3ClientSupplier()("eu-west-1")) == "eu-west-1"
    assert region_of_client(object()) is None
