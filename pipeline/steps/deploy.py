"""Last step in dev: bring the registered version into service, by the same call that a person's deployment makes.

Creates or updates the environment's stack with its deploy role and waits for it. In: `run`, `report` (run.json,
data.json); settings MODEL_PACKAGE_ARN, TEMPLATE_URL, CODE_URI, EXECUTION_ID. Ends the execution's MLflow run.
"""

from __future__ import annotations

import time
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from pipeline import deployment, registry
from pipeline.errors import Denied, GroundcrewError, Unavailable
from pipeline.names import ENVIRONMENTS, Environment, Names
from pipeline.steps.container import Container, run, say
from pipeline.steps.runlog import RunLog
from pipeline.tracking import Tracking

POLL_SECONDS = 2.0
LEFT_OVER = ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED")
LIMIT_SECONDS = 3000.0
"""Below the job's own limit of an hour, so that the step can still say what happened."""


def deploy(container: Container) -> str:
    """Run the step; see the module's words."""
    tracking = Tracking(container.environment.get("MLFLOW_TRACKING_URI", ""))
    log = RunLog.join(container.input("run"), container.input("report"), tracking)
    with log.failing():
        words = serve(container, log)
    log.close("FINISHED")
    return words + log.remark()


def serve(container: Container, log: RunLog) -> str:
    """Deploy and wait; returns the step's message. Raises with CloudFormation's own reason when it fails."""
    env = next(name for name in ENVIRONMENTS if name == container.setting("ENVIRONMENT"))
    arn = container.setting("MODEL_PACKAGE_ARN")
    names = Names(container.setting("ACCOUNT"), container.setting("REGION"))
    cloudformation = boto3.client("cloudformation")
    try:
        clear(cloudformation, names, env, f"clear-{container.setting('EXECUTION_ID')}")
        package = registry.load(boto3.client("sagemaker"), names, env, int(arn.rpartition("/")[2]))
        now = deployment.find(cloudformation, names.stack(env))
        instance_type = deployment.INSTANCE_TYPE if now is None or now.gone else now.instance_type
        stack, how = deployment.deploy(
            cloudformation,
            names,
            env,
            template_url=container.setting("TEMPLATE_URL"),
            parameters=deployment.parameters(names, env, package, instance_type, code=container.setting("CODE_URI")),
            token=f"deploy-{container.setting('EXECUTION_ID')}",
        )
        say("deploying", stack=names.stack(env), how=how, digest=package.digest)
        wait(cloudformation, stack)
    except ClientError as error:
        raise Denied(f"AWS refused: {error}", f"Check the rights of {names.role(f'{env}-execution')}.") from error
    except BotoCoreError as error:
        raise Unavailable(f"AWS cannot be reached: {error}", "Run the pipeline again.") from error
    log.tags({"deployment": names.stack(env), "model_package": arn})
    return f"Version {package.version} ({package.digest[:8]}) is in service at {names.stack(env)} ({how})."


def clear(cloudformation: Any, names: Names, env: Environment, token: str) -> None:
    """Delete what a failed first deployment has left: it serves nobody, and CloudFormation cannot update it."""
    stack = deployment.find(cloudformation, names.stack(env))
    if stack is not None and stack.status in LEFT_OVER:
        say("clearing", stack=stack.name, status=stack.status)
        deployment.delete(cloudformation, names, env, token=token)
        settled(cloudformation, stack.id)


def wait(cloudformation: Any, stack_id: str) -> None:
    """Return when the stack is ready. Raises `GroundcrewError` with the reason when it is not."""
    stack = settled(cloudformation, stack_id)
    if stack.failed or stack.gone:
        reason = deployment.first_failure(cloudformation, stack_id) or stack.reason
        raise GroundcrewError(
            f"{stack.name} ended as {stack.status}: {reason}", "`deployment status --env dev` shows its resources."
        )


def settled(cloudformation: Any, stack_id: str) -> deployment.Stack:
    """The stack, once nothing is being done to it. Raises `Unavailable` when that takes too long."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while True:
        stack = deployment.find(cloudformation, stack_id)
        if stack is None:
            raise GroundcrewError(f"Stack {stack_id} has disappeared.", "Somebody deleted it; run the pipeline again.")
        if not stack.busy:
            return stack
        if time.monotonic() > deadline:
            raise Unavailable(
                f"{stack.name} is still {stack.status} after {LIMIT_SECONDS / 60:.0f} minutes.",
                "`deployment status --env dev` shows how it goes on.",
            )
        time.sleep(POLL_SECONDS)


if __name__ == "__main__":
    run(deploy)
