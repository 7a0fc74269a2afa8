"""A training run that nobody started in Slack, as a timer elsewhere would start one (as profile `ab`).

    python -m sandbox.nightly --prefix nightly --image-size 64

Prints the execution's ARN. Nobody follows it: what becomes of it is told by the account's events alone.
"""

from __future__ import annotations

import argparse
import uuid

PIPELINE = "groundcrew-dev-detector"


def main() -> None:
    """Start the run."""
    options = argparse.ArgumentParser(description="Start a training run beside Slack.")
    options.add_argument("--prefix", required=True, help="folder of the data set in the bucket")
    options.add_argument("--image-size", type=int, default=64)
    asked = options.parse_args()
    import boto3

    given = {
        "DataState": uuid.uuid4().hex,  # whatever lies there tonight: nothing that was prepared before is taken again
        "DataPrefix": f"{asked.prefix}/",
        "Epochs": "1",
        "ImageSize": str(asked.image_size),
        "MapThreshold": "0",
        "OnBadData": "fail",
    }
    started = boto3.client("sagemaker").start_pipeline_execution(
        PipelineName=PIPELINE,
        PipelineVersionAlias="on-demand",
        PipelineExecutionDisplayName="nightly",
        PipelineParameters=[{"Name": name, "Value": value} for name, value in given.items()],
    )
    print(started["PipelineExecutionArn"])


if __name__ == "__main__":
    main()
