"""The profile's job on one machine and on several, over real sockets: the files it leaves are the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline import profiles, source
from pipeline.names import Names
from pipeline.profile.joined import join
from pipeline.profile.rows import rows
from pipeline.steps.profile import write
from tests.sandbox.test_sagemaker import ACCOUNT, REGION, Cloud, cloud, policy, wait
from tests.unit.photos import encoded, names, scene, survey

NAMES = Names(ACCOUNT, REGION, "photos-test")
__all__ = ["cloud"]  # the fixture of a running server


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set in which photos, labels and duplicates are bound to come to different machines."""
    folder = survey(tmp_path_factory.mktemp("set"), flights=5, shots=3)
    (folder / "images" / "f1_0.jpg").write_bytes((folder / "images" / "f0_0.jpg").read_bytes())
    (folder / "images" / "f2_9.jpg").write_bytes(encoded(scene(1), quality=75))
    (folder / "labels" / "f3_1.txt").write_text("0 0.5 0.5 1.4 0.2\n")
    (folder / "labels" / "lost.txt").write_text("0 0.5 0.5 0.4 0.2\n")
    return folder


@pytest.fixture(scope="module")
def ran(cloud: Cloud, folder: Path) -> Callable[[int], dict[str, bytes]]:
    """The files that the job leaves when it runs on so many machines."""
    s3, iam, sagemaker = (cloud.client(name) for name in ("s3", "iam", "sagemaker"))
    for bucket in (NAMES.data_bucket, NAMES.bucket):
        s3.create_bucket(Bucket=bucket)
    for name in names(folder):
        s3.put_object(Bucket=NAMES.data_bucket, Key=f"survey/{name}", Body=(folder / name).read_bytes())
    trust = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
    iam.create_role(RoleName="groundcrew-dev-execution", AssumeRolePolicyDocument=policy(trust))
    own, photos = (f"arn:aws:s3:::{bucket}" for bucket in (NAMES.bucket, NAMES.data_bucket))
    below = {"StringLike": {"s3:prefix": "dev/*"}}  # as the real role's: a missing object is then a forbidden one
    allow = [
        {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject"], "Resource": f"{own}/dev/*"},
        {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": own, "Condition": below},
        {"Effect": "Allow", "Action": ["s3:GetObject", "s3:ListBucket"], "Resource": [photos, f"{photos}/*"]},
    ]
    iam.put_role_policy(RoleName="groundcrew-dev-execution", PolicyName="work", PolicyDocument=policy(*allow))
    code = source.code()
    s3.put_object(Bucket=NAMES.bucket, Key=code.key("dev"), Body=code.data)
    what = profiles.folder(s3, NAMES, "survey/")

    def on(machines: int) -> dict[str, bytes]:
        place = profiles.Place(NAMES.bucket, "dev", f"on{machines}")
        request = profiles.request(NAMES, place, what, machines, code.uri("dev", NAMES), "t" * 12)
        arn = sagemaker.create_processing_job(**request)["ProcessingJobArn"]
        job: Any = wait(lambda: (lambda job: None if job.running else job)(profiles.job(sagemaker, arn)), 60)
        assert job.status == "Completed", f"{job.reason} {job.said}"
        assert job.instances == machines
        prefix = f"dev/profiles/on{machines}/result/"
        found = s3.list_objects_v2(Bucket=NAMES.bucket, Prefix=prefix)["Contents"]
        return {
            row["Key"].removeprefix(prefix): s3.get_object(Bucket=NAMES.bucket, Key=row["Key"])["Body"].read()
            for row in found
        }

    return on


def test_three_machines_leave_the_same_files_as_one_and_as_none(
    ran: Callable[[int], dict[str, bytes]], folder: Path, tmp_path: Path
) -> None:
    write(
        join(rows(names(folder), lambda name: (folder / name).read_bytes())),
        lambda n: (folder / n).read_bytes(),
        tmp_path,
    )
    here = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert b"near-duplicate" in here["profile.json"]
    one, three = ran(1), ran(3)
    assert set(here) == {"profile.json", "photos.csv", "plots.png", "sheet.jpg"}
    assert one == here
    assert three == here
