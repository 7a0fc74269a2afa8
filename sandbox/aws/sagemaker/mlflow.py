"""SageMaker's own MLflow: there is none here. The sandbox's is a server beside the account, opened by its address."""

from __future__ import annotations

from sandbox.aws.sagemaker.errors import ResourceNotFound
from sandbox.aws.sagemaker.resources import Body


class Mlflow:
    """The calls that open an App or a tracking server, for an account that has neither."""

    def create_presigned_mlflow_app_url(self, request: Body) -> Body:
        """CreatePresignedMlflowAppUrl."""
        raise ResourceNotFound(f"MlflowApp {request['Arn']} does not exist.")

    def create_presigned_mlflow_tracking_server_url(self, request: Body) -> Body:
        """CreatePresignedMlflowTrackingServerUrl."""
        raise ResourceNotFound(f"MlflowTrackingServer {request['TrackingServerName']} does not exist.")
