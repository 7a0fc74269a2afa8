"""Every name the project gives to a thing in AWS, in one place (design §4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Environment = Literal["dev", "staging", "prod"]
ENVIRONMENTS: tuple[Environment, ...] = get_args(Environment)
Monitor = Literal["processing", "native"]
"""What watches a deployment: a scheduled Processing job, or a Model Monitor schedule with the same program."""
PRICING_REGION = "us-east-1"
"""Where prices are asked: the price list answers in a few regions only, for all of them."""
PROJECT = "groundcrew"


@dataclass(frozen=True)
class Names:
    """Names and ARNs inside one AWS account and region.

    `data_bucket` holds the survey photos and is owned by the account, not by this project.
    """

    account: str
    region: str
    data_bucket: str = "lucaskle-ab3-project-pv"

    @property
    def bucket(self) -> str:
        """The versioned artifact bucket."""
        return f"{PROJECT}-{self.account}-{self.region}"

    @property
    def audit_bucket(self) -> str:
        """The object-locked bucket with the audit log's anchors (`anchors/`) and CloudTrail's files (`cloudtrail/`)."""
        return f"{PROJECT}-audit-{self.account}-{self.region}"

    @property
    def studio(self) -> str:
        """Name of the Studio domain (AWS gives it an id of its own)."""
        return f"{PROJECT}-studio"

    def studio_profile(self, team: str, user: str) -> str:
        """Name of a person's Studio profile, and the SourceIdentity of their notebooks (which may hold no dot)."""
        return f"{team}-{user}"

    def role(self, name: str) -> str:
        """ARN of role `groundcrew-<name>`, e.g. `bot`, `data-scientist`, `dev-execution`, `staging-deploy`."""
        return f"arn:aws:iam::{self.account}:role/{PROJECT}-{name}"

    def pipeline(self, env: Environment) -> str:
        """Name of the environment's pipeline."""
        return f"{PROJECT}-{env}-detector"

    def group(self, env: Environment) -> str:
        """Name of the environment's model package group."""
        return f"{PROJECT}-{env}-detector"

    def begin(self, env: Environment) -> str:
        """What every name in an environment begins with; the environment's wall is this beginning."""
        return f"{PROJECT}-{env}-"

    def stack(self, env: Environment, endpoint: str = "detector") -> str:
        """Name of a deployment's CloudFormation stack; the endpoint inside carries the same name."""
        return f"{PROJECT}-{env}-{endpoint}"

    def arn(self, service: str, resource: str) -> str:
        """An ARN of this account and region."""
        return f"arn:aws:{service}:{self.region}:{self.account}:{resource}"

    def image(self) -> str:
        """URI of the one container image that runs every step and serves the model."""
        return f"{self.account}.dkr.ecr.{self.region}.amazonaws.com/{PROJECT}:1"
