"""What authorisation is worth and what it costs: the table of cases, and CPU per call against moto without it.

`evaluator.cases`: cases of the evaluator's own table that come out as AWS documents them (all must).
`evaluator.cost`: CPU milliseconds of the server per call of a role's session with a boundary and a session policy, a
third each of GetCallerIdentity, S3 GetObject and DescribePipeline. The anchor is the same moto served bare, which
checks no signature, asks no policy and records nothing. Both run at once, and blocks of calls take turns.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import boto3
import psutil
from botocore.config import Config

from benchmarks.figures import ROOT, Figure, Figures, main
from tests.unit.policy_cases import cases

ACCOUNT, REGION = "123456789012", "us-east-1"
ROLE, BOUNDARY = f"arn:aws:iam::{ACCOUNT}:role/measured", f"arn:aws:iam::{ACCOUNT}:policy/edge"
BUCKET, BODY = "measured", b"x" * 4096
RIGHTS = ["s3:GetObject", "s3:ListBucket", "sagemaker:DescribePipeline"]
PIPELINE = {"Version": "2020-12-01", "Steps": [{"Name": "End", "Type": "Fail", "Arguments": {"ErrorMessage": "no"}}]}
WARM_UP, ROUNDS, BLOCK = 20, 14, 10
"""Rounds of blocks, each of three calls: 420 calls a side."""
DEADLINE_S = 60.0

Keys = dict[str, str]


def measure() -> Figures:
    """Both figures. Raises RuntimeError when a case comes out wrong."""
    found = cases()
    if wrong := [case.rule for case in found if case.outcome() != case.expected]:
        raise RuntimeError(f"{len(wrong)} cases are decided wrongly: {', '.join(wrong[:5])}")
    return {"evaluator.cases": Figure(len(found), "cases"), "evaluator.cost": Figure(*side_by_side())}


def side_by_side() -> tuple[float, str, float]:
    """CPU milliseconds per call of the stand-in, the unit, and those of bare moto."""
    with ExitStack() as stack:
        state = Path(stack.enter_context(TemporaryDirectory(prefix="groundcrew-bench-")))
        ours, bare = free_port(), free_port()
        argv = ["sandbox.aws", "--port", str(ours), "--state", str(state)]
        # The keys' file is written last, after the port is bound.
        servers = [
            stack.enter_context(server(argv, (state / "config").exists)),
            stack.enter_context(server(["benchmarks.bare_moto", str(bare)], lambda: answers(bare))),
        ]
        root: Keys = json.loads((state / "root.json").read_text())
        anybody = {"AccessKeyId": "AKIA" + "0" * 16, "SecretAccessKey": "-"}
        asks = [prepared(ours, root), prepared(bare, anybody)]
        for ask in asks:
            repeat(ask, WARM_UP)
        spent = [0.0, 0.0]
        for _ in range(ROUNDS):
            for side, (ask, process) in enumerate(zip(asks, servers, strict=True)):
                before = cpu_s(process)
                repeat(ask, BLOCK)
                spent[side] += cpu_s(process) - before
    calls = ROUNDS * BLOCK * 3
    return spent[0] * 1000 / calls, "ms", spent[1] * 1000 / calls


@contextmanager
def server(module: list[str], ready: Callable[[], bool]) -> Iterator[psutil.Process]:
    """A server as a process of its own, once it is ready; ended afterwards."""
    env = {"PATH": os.environ["PATH"], "MOTO_DISABLE_GLOBAL_CORS": "1", "AWS_EC2_METADATA_DISABLED": "true"}
    child = subprocess.Popen([sys.executable, "-m", *module], cwd=ROOT, env=env, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + DEADLINE_S
        while not ready():
            if child.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{module[0]} did not start")
            time.sleep(0.05)
        yield psutil.Process(child.pid)
    finally:
        child.terminate()
        child.wait(10)


def answers(port: int) -> bool:
    """Whether something accepts connections there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def prepared(port: int, owner: Keys) -> Callable[[], None]:
    """Give a side the same account, and the three calls of a session in it."""
    iam, s3 = client(port, "iam", owner), client(port, "s3", owner)
    trust = document(
        Effect="Allow", Principal={"AWS": ACCOUNT, "Service": "sagemaker.amazonaws.com"}, Action="sts:AssumeRole"
    )
    rights = document(Effect="Allow", Action=RIGHTS, Resource="*")
    iam.create_policy(PolicyName="edge", PolicyDocument=rights)
    iam.create_role(RoleName="measured", AssumeRolePolicyDocument=trust, PermissionsBoundary=BOUNDARY)
    iam.put_role_policy(RoleName="measured", PolicyName="p", PolicyDocument=rights)
    iam.create_user(UserName="taker")
    taking = document(Effect="Allow", Action="sts:AssumeRole", Resource=ROLE)
    iam.put_user_policy(UserName="taker", PolicyName="p", PolicyDocument=taking)
    taker = iam.create_access_key(UserName="taker")["AccessKey"]
    s3.create_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key="k", Body=BODY)
    definition = {"PipelineDefinition": json.dumps(PIPELINE), "RoleArn": ROLE, "ClientRequestToken": "t" * 32}
    client(port, "sagemaker", owner).create_pipeline(PipelineName="measured", **definition)
    taken = client(port, "sts", taker).assume_role(RoleArn=ROLE, RoleSessionName="measured", Policy=rights)
    session = {service: client(port, service, taken["Credentials"]) for service in ("sts", "s3", "sagemaker")}

    def ask() -> None:
        session["sts"].get_caller_identity()
        if session["s3"].get_object(Bucket=BUCKET, Key="k")["Body"].read() != BODY:
            raise RuntimeError("the object came back changed")
        session["sagemaker"].describe_pipeline(PipelineName="measured")

    return ask


def client(port: int, service: str, keys: Keys) -> Any:
    """A client that does not try twice."""
    return boto3.client(
        service,
        region_name=REGION,
        endpoint_url=f"http://127.0.0.1:{port}",
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys.get("SessionToken"),
        config=Config(retries={"max_attempts": 0}),
    )


def document(**statement: Any) -> str:
    """A policy of one statement."""
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def repeat(ask: Callable[[], None], times: int) -> None:
    """Call it so often."""
    for _ in range(times):
        ask()


def cpu_s(process: psutil.Process) -> float:
    """Seconds of CPU the process has used."""
    times = process.cpu_times()
    return times.user + times.system


def free_port() -> int:
    """A free loopback port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    main(__doc__ or "", measure)
