"""Calls of the local KMS, in process and served, beside moto's server.

    python benchmarks/local_kms_server.py
    python benchmarks/local_kms_server.py --moto /another/environment/bin/moto_server

Proves what a call of KMS costs by each way in. "Raw HTTP" is a client that sends the same bytes again and again over
one connection; moto's server closes it after each answer. What is audited is in a log before its answer, and with "each
event on disk" survives a loss of power. Signed requests are verified. boto3's own cost is in the rows
that name it. Every subject's answer is decrypted and compared once before anything is measured. The processor time is
that of the server's process alone.
"""

from __future__ import annotations

import json
import tempfile
from base64 import b64decode
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from http_programs import RawClient, Server, moto_command, moto_server, own_server
from interleaved import measure
from report import Report, arguments
from tables import Faster, Row, Table

from envelope_sdk.local_kms import LocalKms
from envelope_sdk.local_kms.audit import AuditLog

IN_PROCESS, BOTO3_IN_PROCESS = "in process", "boto3, in process"
AUDITED, DURABLE = "in process, audited", "in process, audited, each event on disk"
SERVED, SIGNED, BOTO3 = "served, raw HTTP", "served, raw HTTP, signed", "boto3, served"
MOTO = "moto_server, raw HTTP"
AHEAD = (Faster(4, MOTO),)
KEY_ID, SECRET = "AKIDBENCHMARKBENCHMARK", "benchmark"
ACCESS_KEYS = f'[{KEY_ID}]\nsecret = "{SECRET}"\narn = "arn:aws:iam::000000000000:root"\n'

Subjects = dict[str, Callable[[], object]]


def client(server: Server, key_id: str = "000000000000", secret: str = "any") -> Any:
    """Return a boto3 client of a server."""
    return boto3.client(
        "kms",
        "us-east-1",
        endpoint_url=server.url,
        aws_access_key_id=key_id,
        aws_secret_access_key=secret,
        config=Config(retries={"max_attempts": 0}),
    )


def request_bytes(url: str, operation: str, parameters: Mapping[str, Any]) -> bytes:
    """Return a signed request as it goes over the wire."""
    body = json.dumps(parameters).encode()
    headers = {
        "Host": urlsplit(url).netloc,
        "Content-Type": "application/x-amz-json-1.1",
        "X-Amz-Target": f"TrentService.{operation}",
        "Content-Length": str(len(body)),
    }
    request = AWSRequest("POST", f"{url}/", headers=headers, data=body)
    SigV4Auth(Credentials(KEY_ID, SECRET), "kms", "us-east-1").add_auth(request)
    head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    return f"POST / HTTP/1.1\r\n{head}\r\n".encode() + body


def raw(stack: ExitStack, kms: Any, server: Server) -> tuple[RawClient, RawClient]:
    """Return what makes a data key, and what decrypts one, with a key made for it; both have been tried."""
    key_id = kms.create_key()["KeyMetadata"]["KeyId"]
    given = {"KeyId": key_id, "KeySpec": "AES_256", "EncryptionContext": {"purpose": "benchmark"}}
    making = RawClient(server.port, request_bytes(server.url, "GenerateDataKey", given))
    made = json.loads(making())
    wanted = {"CiphertextBlob": made["CiphertextBlob"], "EncryptionContext": given["EncryptionContext"]}
    decrypting = RawClient(server.port, request_bytes(server.url, "Decrypt", wanted))
    opened = json.loads(decrypting())
    assert b64decode(opened["Plaintext"]) == b64decode(made["Plaintext"])
    for connection in (making, decrypting):
        stack.callback(connection.close)
    return making, decrypting


def called(kms: Any) -> tuple[Callable[[], object], Callable[[], object]]:
    """Return the same for whatever has boto3's methods."""
    key_id = kms.create_key()["KeyMetadata"]["KeyId"]
    context = {"purpose": "benchmark"}
    made = kms.generate_data_key(KeyId=key_id, KeySpec="AES_256", EncryptionContext=context)
    blob = made["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=blob, EncryptionContext=context)["Plaintext"] == made["Plaintext"]
    return (
        lambda: kms.generate_data_key(KeyId=key_id, KeySpec="AES_256", EncryptionContext=context),
        lambda: kms.decrypt(CiphertextBlob=blob, EncryptionContext=context),
    )


def processor_times(
    servers: Mapping[str, Server], subjects: Subjects, *, rounds: int, calls: int
) -> dict[str, list[float]]:
    """Return the seconds of its processor that a server spends on a call, one figure a round."""
    spent: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name, server in servers.items():
            before = server.cpu_seconds()
            for _ in range(calls):
                subjects[name]()
            after = server.cpu_seconds()
            if before is not None and after is not None:
                # At least what the system counts in, a hundredth of a second: ratios have to be something.
                spent.setdefault(name, []).append(max(after - before, 0.01) / calls)
    return spent


def set_up(stack: ExitStack, folder: Path, moto: str | None) -> tuple[Subjects, Subjects, dict[str, Server], str]:
    """Start everything; return what makes data keys and what decrypts them, the servers, and why one is left out."""
    keys = folder / "keys.toml"
    keys.touch(0o600)
    keys.write_text(ACCESS_KEYS)
    local = stack.enter_context(LocalKms.open(folder / "own.db"))
    logs = {
        name: stack.enter_context(AuditLog(folder / f"{name}.log", durable=name == DURABLE))
        for name in (AUDITED, DURABLE)
    }
    audited = {name: stack.enter_context(LocalKms.open(folder / f"{name}.db", audit=log)) for name, log in logs.items()}
    signing = folder / "signing"
    signing.mkdir()
    servers = {
        SERVED: stack.enter_context(own_server(folder)),
        SIGNED: stack.enter_context(own_server(signing, "--access-key-file", str(keys))),
    }
    ways = {
        IN_PROCESS: called(local),
        AUDITED: called(audited[AUDITED]),
        DURABLE: called(audited[DURABLE]),
        BOTO3_IN_PROCESS: called(local.boto3_client()),
        SERVED: raw(stack, client(servers[SERVED]), servers[SERVED]),
        SIGNED: raw(stack, client(servers[SIGNED], KEY_ID, SECRET), servers[SIGNED]),
        BOTO3: called(client(servers[SERVED])),
    }
    command = moto_command(moto)
    if not isinstance(command, str):
        servers[MOTO] = stack.enter_context(moto_server(command))
        ways[MOTO] = raw(stack, client(servers[MOTO]), servers[MOTO])
    making: Subjects = {name: way[0] for name, way in ways.items()}
    decrypting: Subjects = {name: way[1] for name, way in ways.items()}
    return making, decrypting, servers, command if isinstance(command, str) else ""


def tables(title: str) -> Table:
    """Return the table of one operation."""
    audited = [Row(AUDITED), Row(DURABLE)]
    rows = [Row(IN_PROCESS), *audited, Row(SERVED, AHEAD), Row(SIGNED), Row(BOTO3_IN_PROCESS), Row(BOTO3), Row(MOTO)]
    return Table(title, rows, [IN_PROCESS], [MOTO], unit="us")


def main() -> None:
    parser = arguments(__doc__, rounds=21)
    parser.add_argument("--repeat", type=int, default=200, help="calls in a block")
    parser.add_argument("--moto", metavar="PROGRAM", help="moto's server, where it is installed apart")
    options = parser.parse_args()
    if options.small:
        options.rounds, options.repeat = 2, 10
    report = Report(options.check)
    report.begin(f"calls of KMS, {options.rounds} rounds of {options.repeat} calls, one client")
    with ExitStack() as stack, tempfile.TemporaryDirectory() as name:
        making, decrypting, servers, missing = set_up(stack, Path(name), options.moto)
        for title, subjects in (("GenerateDataKey", making), ("Decrypt", decrypting)):
            report.add(measure(subjects, rounds=options.rounds, repeat=options.repeat), tables(title))
        spent = processor_times(servers, making, rounds=3, calls=options.repeat * 10)
        rows = [Row(SERVED, AHEAD), Row(SIGNED, AHEAD), Row(MOTO)]
        report.add(spent, Table("GenerateDataKey: processor of the server", rows, [SERVED], [MOTO], unit="us"))
        report.absent({MOTO: missing} if missing else {})
        # The servers go before the folder does.
        stack.close()
    report.end()


if __name__ == "__main__":
    main()
