"""What an account holds before anybody works in it: root key, operator, MLflow's key, the survey's bucket."""

from __future__ import annotations

import json
import os
import secrets
import string
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moto.s3.models import s3_backends

if TYPE_CHECKING:
    from sandbox.aws.core import Cloud

DATA_BUCKET = "lucaskle-ab3-project-pv"
LOADER_ROLE = "groundcrew-loader"
_ALPHABET = string.ascii_uppercase + string.digits


def seed(cloud: Cloud) -> None:
    """Fill a new account and write `<state>/{root.json,config,credentials}`, readable by the owner only."""
    root = ("AKIA" + "".join(secrets.choice(_ALPHABET) for _ in range(16)), secrets.token_urlsafe(30))
    cloud.directory.set_root(*root)
    operator = _user(cloud, "operator", [{"Effect": "Allow", "Action": "*", "Resource": "*"}])
    mlflow = _user(cloud, "mlflow-server", _mlflow_statements())
    _data_bucket(cloud)
    write(cloud.state / "root.json", json.dumps({"AccessKeyId": root[0], "SecretAccessKey": root[1]}))
    write(cloud.state / "credentials", _section("ab", operator) + _section("mlflow", mlflow))
    place = f"region = {cloud.region}\nendpoint_url = {cloud.endpoint_url}\n"
    write(cloud.state / "config", f"[profile ab]\n{place}\n[profile mlflow]\n{place}")


def write(path: Path, text: str) -> None:
    """Replace a file in one step, mode 0600 from its first byte."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    Path(temporary).replace(path)


def _section(profile: str, key: tuple[str, str]) -> str:
    return f"[{profile}]\naws_access_key_id = {key[0]}\naws_secret_access_key = {key[1]}\n\n"


def _user(cloud: Cloud, name: str, statements: list[dict[str, Any]]) -> tuple[str, str]:
    iam = cloud.directory.iam
    iam.create_user(cloud.region, user_name=name)
    iam.put_user_policy(name, name, json.dumps({"Version": "2012-10-17", "Statement": statements}))
    key = iam.create_access_key(name)
    return key.access_key_id, key.secret_access_key


def _mlflow_statements() -> list[dict[str, Any]]:
    """The MLflow server keeps artifacts below `<env>/mlflow/` of the artifact bucket, and nothing else."""
    prefix = {"StringLike": {"s3:prefix": "*/mlflow/*"}}
    return [
        {
            "Effect": "Allow",
            "Action": ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"],
            "Resource": "arn:aws:s3:::groundcrew-*/*/mlflow/*",
        },
        {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::groundcrew-*", "Condition": prefix},
    ]


def _data_bucket(cloud: Cloud) -> None:
    """The account's own bucket of survey photos: whoever else may do everything, only the loader writes there."""
    s3 = s3_backends[cloud.account]["aws"]
    s3.create_bucket(DATA_BUCKET, cloud.region)
    loader = f"arn:aws:iam::{cloud.account}:role/{LOADER_ROLE}"
    statement = {
        "Sid": "OnlyTheLoaderWrites",
        "Effect": "Deny",
        "Principal": "*",
        "Action": ["s3:PutObject", "s3:DeleteObject", "s3:DeleteObjectVersion"],
        "Resource": f"arn:aws:s3:::{DATA_BUCKET}/*",
        "Condition": {"ArnNotEquals": {"aws:PrincipalArn": loader}},
    }
    s3.put_bucket_policy(DATA_BUCKET, json.dumps({"Version": "2012-10-17", "Statement": [statement]}).encode())
