"""The local KMS answers as AWS KMS does; moto's is asked the same, and the documentation lists where it does not."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import moto
import pytest
from botocore.config import Config
from testkit.kms_conformance.lab import HERE, Case, Clients, Lab
from testkit.kms_conformance.table import CASES, answers, ask, page
from testkit.kms_kinds import snake

from envelope_sdk.local_kms import LocalKms
from envelope_sdk.local_kms.service import OPERATIONS

PAGE = Path(__file__).parents[2] / "docs" / "local-kms-and-moto.md"


# Checked by boto3, half of the questions would never be asked of the service.
CONFIG = Config(parameter_validation=False, retries={"total_max_attempts": 1})


@contextmanager
def mocked() -> Generator[Clients]:
    @cache
    def client(region: str) -> Any:
        keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
        return boto3.client("kms", region_name=region, config=CONFIG, **keys)

    with moto.mock_aws():
        yield client


@pytest.fixture(scope="module", params=["in process", "through boto3"])
def lab(request: pytest.FixtureRequest) -> Generator[Lab]:
    with LocalKms.in_memory(region=HERE) as kms:
        if request.param == "in process":
            yield Lab(kms.in_region)
        else:
            yield Lab(cache(lambda region: kms.boto3_client(region_name=region, config=CONFIG)))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_the_local_kms_answers_as_aws_or_as_the_page_says(lab: Lab, case: Case) -> None:
    if not hasattr(lab.kms, snake(case.operation)):
        pytest.skip("this botocore's model is older than the one followed here")

    assert ask(case, lab) == case.local


def test_the_page_names_all_that_the_local_kms_answers_otherwise() -> None:
    text = PAGE.read_text("utf-8")
    for case in CASES:
        if case.ours:
            assert f"| {case.operation} | {case.name} | {case.expected} | {case.ours} |" in text


def test_every_question_is_another_one() -> None:
    assert len({case.id for case in CASES}) == len(CASES) > 300


def test_there_is_a_question_about_every_operation_on_keys() -> None:
    asked = {case.operation for case in CASES}
    # Of one answer, or asked elsewhere with the versions of cryptography that have it.
    others = {name for name in OPERATIONS if "CustomKeyStore" in name} | {"Encapsulate", "Decapsulate"}
    assert set(OPERATIONS) - others <= asked


@pytest.mark.slow
@pytest.mark.skipif(
    f"moto {moto.__version__}." not in PAGE.read_text("utf-8"), reason="the page is about another version of moto"
)
def test_the_page_lists_where_moto_answers_otherwise() -> None:
    with mocked() as clients:
        theirs = answers(clients)

    assert page(theirs, moto.__version__) == PAGE.read_text("utf-8")


if __name__ == "__main__":
    with mocked() as clients:
        sys.stdout.write(page(answers(clients), moto.__version__))
