"""Studio's stack: infra/studio.yaml with one user profile for each person of the access file who has notebooks.

A profile is named after the Slack user, runs as the notebook role of that person's role, and carries the tag by which
IAM lets that person alone open it. Somebody who leaves the access file loses the profile the next time this runs.
"""

from __future__ import annotations

import argparse
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from iam import mapping
from iam.mapping import Access
from infra.stacks import File
from pipeline.errors import BadInput, Refused
from pipeline.names import Names

TEMPLATE = Path(__file__).parent / "studio.yaml"
LOCK = Path(__file__).parents[1] / "requirements-dev.txt"
LIBRARIES = (
    "ultralytics-opencv-headless",
    "opencv-python-headless",
    "onnxruntime",
    "mlflow-skinny",
    "sagemaker-mlflow",
)
"""What the notebooks import beyond Studio's own image, which brings torch, numpy, matplotlib and boto3."""
NOTEBOOK_ROLES: Mapping[str, str] = MappingProxyType({"data-scientist": "DataScientist", "ml-engineer": "MlEngineer"})
"""Who has notebooks, and the template's role for them. A stakeholder reads reports in Slack."""
LONGEST = 51_200
"""Bytes of a template that CloudFormation takes in a request."""

_NAMES = Names("", "")
_PROFILE = """\
  Profile{logical}:
    Type: AWS::SageMaker::UserProfile
    Properties:
      DomainId: !GetAtt Domain.DomainId
      UserProfileName: {name}
      UserSettings: {{ExecutionRole: !GetAtt {role}.Arn}}
      Tags: [{{Key: SlackUser, Value: {team}.{user}}}]
"""


@dataclass(frozen=True)
class StudioFile(File):
    """The stack with its people: `profiles` continues the template's last section, Resources."""

    profiles: str = ""

    def request(self) -> dict[str, Any]:
        """As for every stack, with the profiles in the template."""
        request = super().request()
        body = f"{request['TemplateBody']}{self.profiles}"
        if len(body.encode()) > LONGEST:
            raise Refused(
                f"{self.name} has too many people: its template is longer than {LONGEST} bytes.",
                "Give each Slack workspace an AWS account of its own, or name fewer people in the access file.",
            )
        return {**request, "TemplateBody": body}


def options(parser: argparse.ArgumentParser) -> None:
    """The command line's arguments for `studio`."""
    parser.add_argument(
        "--step", choices=("plan", "up", "down"), default="up", help="studio, image: what to do with it (%(default)s)"
    )
    group = parser.add_argument_group("studio")
    group.add_argument("--access", type=Path, help="the access file; its people get profiles")
    group.add_argument("--vpc", help="VPC of the domain, vpc-…")
    group.add_argument("--subnets", help="its subnets, subnet-…,subnet-…")
    group.add_argument("--security-groups", default="", help="security groups of the apps, sg-…; a must with VpcOnly")
    group.add_argument("--network", choices=("PublicInternetOnly", "VpcOnly"), default="PublicInternetOnly")


def stacks(chosen: argparse.Namespace) -> Sequence[File]:
    """The one stack that the command line describes. Raises BadInput for arguments that are missing."""
    if chosen.step == "down":
        return (StudioFile(_NAMES.studio, TEMPLATE),)
    missing = [f"--{name}" for name in ("access", "vpc", "subnets") if not getattr(chosen, name)]
    if missing:
        raise BadInput(f"studio needs {', '.join(missing)}.", "docs/studio.md has an example.")
    libraries = locked(LOCK.read_text(encoding="utf-8"))
    parameters = {
        "VpcId": chosen.vpc,
        "SubnetIds": chosen.subnets,
        "SecurityGroupIds": chosen.security_groups,
        "NetworkAccess": chosen.network,
        "Libraries": libraries,
        "Revision": revision(TEMPLATE.read_text(encoding="utf-8"), libraries),
        "DataBucket": chosen.data_bucket,
    }
    return (StudioFile(_NAMES.studio, TEMPLATE, parameters, profiles=profiles(mapping.load(chosen.access))),)


def profiles(access: Access) -> str:
    """The people's resources, as they continue the template. The ids in an Access have been checked: they are words."""
    return "".join(
        _PROFILE.format(
            logical=f"{team}{user}",
            name=_NAMES.studio_profile(team, user),
            role=NOTEBOOK_ROLES[role],
            team=team,
            user=user,
        )
        for (team, user), role in access.roles.items()
        if role in NOTEBOOK_ROLES
    )


def locked(lock: str) -> str:
    """LIBRARIES as requirements, with the versions of a lock file. Raises BadInput for one the lock does not hold."""
    versions = dict(re.findall(r"^([\w.-]+)==([\w.]+)", lock, re.MULTILINE))
    if missing := [name for name in LIBRARIES if name not in versions]:
        raise BadInput(f"{LOCK.name} does not hold {', '.join(missing)}.", "`make lock` resolves it again.")
    return " ".join(f"{name}=={versions[name]}" for name in LIBRARIES)


def revision(template: str, libraries: str) -> str:
    """Eight hex digits that change with template or libraries, for the name of the lifecycle configuration."""
    return hashlib.sha256(f"{template}{libraries}".encode()).hexdigest()[:8]
