"""`access.proven`: cells of the access matrix that AWS agrees with; `session.policy_max`: the longest session policy.

The roles are those that `python -m infra up` deployed into a fresh sandbox; IAM's simulator is asked over the wire, as
the operator, without the bot. Lengths are in characters, in every environment, of which STS takes 2,048.
"""

from __future__ import annotations

import os
from unittest.mock import patch

import boto3

from benchmarks.figures import Figure, Figures, main, sandbox, say
from commands import matrix
from iam.policy import LONGEST, text
from pipeline.names import Names
from sandbox.environment import ACCOUNT, DATA_BUCKET, REGION
from sandbox.record import Record

NAMES = Names(ACCOUNT, REGION, DATA_BUCKET)


def measure() -> Figures:
    """Every cell, and every session policy."""
    with sandbox() as state:
        settings = {key: value for key, value in Record(state).read("settings.json").items() if key.startswith("AWS_")}
        with patch.dict(os.environ, settings):
            found = [*matrix.prove(boto3.Session().client("iam"), NAMES)]
    for wrong in filter(None, (wrong for _, wrong in found)):
        say(wrong)
    proven = sum(not wrong for _, wrong in found)
    say(f"{proven} of {len(found)} cells")
    return {
        "access.proven": Figure(proven / len(found), "share"),
        "session.policy_max": Figure(longest(), "chars", LONGEST),
    }


def longest() -> int:
    """Characters of the longest session policy of any command."""
    commands = (row for row in matrix.rows() if row is not matrix.PUBLISH)
    return max(len(text(row.session_policy(NAMES, env))) for row in commands for env in row.environments)


if __name__ == "__main__":
    main(__doc__ or "", measure)
