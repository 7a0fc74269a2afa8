"""The real MLflow server in one process: SQLite store, artifacts in the account's S3 (`python -m sandbox.tracking`).

`mlflow server` imports MLflow once to read its options and once more in the process it then starts, and it does not
take that process along when it is killed. This does the same in one process. Reading S3 needs AWS settings in the
environment; every option that MLflow itself takes from the environment is set here.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path


def main() -> None:
    """Serve until told to stop."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--port", type=int, required=True)
    options.add_argument("--state", type=Path, required=True, help="folder of the SQLite store")
    options.add_argument("--artifacts", required=True, help="default artifact root, s3://…")
    chosen = options.parse_args()
    chosen.state.mkdir(parents=True, exist_ok=True)
    os.environ.update(
        MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false",  # seven more processes, for a feature nobody here uses
        MLFLOW_DISABLE_TELEMETRY="true",
    )
    import uvicorn
    from mlflow.server.constants import ARTIFACT_ROOT_ENV_VAR, BACKEND_STORE_URI_ENV_VAR

    store = f"sqlite:///{chosen.state / 'mlflow.db'}"
    os.environ.update({BACKEND_STORE_URI_ENV_VAR: store, ARTIFACT_ROOT_ENV_VAR: chosen.artifacts})
    from mlflow.server.handlers import initialize_backend_stores

    initialize_backend_stores(store, None, chosen.artifacts)
    uvicorn.run("mlflow.server.fastapi_app:app", host="127.0.0.1", port=chosen.port, log_level="warning")


if __name__ == "__main__":
    main()
