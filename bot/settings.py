"""Everything the environment decides, read once into one frozen object."""

from __future__ import annotations

import logging
from decimal import Decimal

from pydantic import SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from pipeline.errors import BadInput
from pipeline.names import PRICING_REGION, Monitor
from state.redaction import redact

WHERE = {
    "slack_bot_token": "api.slack.com/apps, your app, OAuth & Permissions: Bot User OAuth Token (xoxb-…)",
    "slack_signing_secret": "api.slack.com/apps, your app, Basic Information: Signing Secret",
    "slack_app_token": "api.slack.com/apps, your app, Basic Information: App-Level Tokens (xapp-…)",
    "database_url": "your PostgreSQL, as postgresql://user:password@host/database",
    "aws_region": "the region of your SageMaker resources, for example us-east-1",
    "mlflow_tracking_uri": "the address of your MLflow server, or the ARN of a SageMaker MLflow app",
}
NEEDED = {
    "web": ("slack_signing_secret", "database_url"),
    "socket": ("slack_app_token", "database_url"),
    "worker": ("slack_bot_token", "database_url", "aws_region", "mlflow_tracking_uri"),
    "run": ("database_url", "aws_region", "mlflow_tracking_uri"),
}

WEB_THREADS = 8
"""Requests that the web process works on at once. Each has a connection of its own: one that is opened for a request
and closed after it costs more than the request."""


class _Discreet(logging.Formatter):
    """Writes no secrets, whatever a message or an error brings along."""

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


class Settings(BaseSettings):
    """One value for each variable of `docs/install.md`. Secrets show as stars wherever they are printed."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    slack_bot_token: SecretStr = SecretStr("")
    slack_signing_secret: SecretStr = SecretStr("")
    slack_app_token: SecretStr = SecretStr("")
    slack_api_url: str = "https://slack.com/api/"
    database_url: SecretStr = SecretStr("")
    aws_profile: str | None = None
    aws_region: str = ""
    data_bucket: str = "lucaskle-ab3-project-pv"
    access_file: str = "iam/access.yaml"
    routes_file: str = "config/routes.yaml"
    monitor: Monitor = "processing"
    clarify_image: str = ""
    pricing_region: str = PRICING_REGION
    cost_confirm_usd: Decimal = Decimal(5)
    cost_approval_usd: Decimal = Decimal(50)
    mlflow_tracking_uri: str = ""
    mlflow_ui_url: str = ""
    host: str = "127.0.0.1"
    port: int = 3000
    worker_threads: int = 6
    log_level: str = "INFO"

    @field_validator("database_url")
    @classmethod
    def _driver(cls, value: SecretStr) -> SecretStr:
        """Providers hand out postgres:// or postgresql://; SQLAlchemy wants the driver named."""
        scheme, mark, rest = value.get_secret_value().partition("://")
        if scheme in ("postgres", "postgresql"):
            scheme = "postgresql+psycopg"
        return SecretStr(scheme + mark + rest)

    @field_validator("slack_api_url")
    @classmethod
    def _slash(cls, value: str) -> str:
        return value.rstrip("/") + "/"

    def start_logging(self) -> None:
        """Our own log at `log_level`; libraries only when something is wrong."""
        handler = logging.StreamHandler()
        handler.setFormatter(_Discreet("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        logging.basicConfig(handlers=[handler])
        for package in ("alerts", "bot", "commands", "pipeline", "iam", "state"):
            logging.getLogger(package).setLevel(self.log_level)

    @property
    def database(self) -> str:
        """The database address with its password; for the engine only."""
        return self.database_url.get_secret_value()


def read() -> Settings:
    """The settings, whatever is missing. Raises BadInput naming the first variable whose value cannot be used."""
    try:
        return Settings()
    except ValidationError as wrong:
        first = wrong.errors()[0]
        name = str(first["loc"][0])
        usual = Settings.model_fields[name].default
        raise BadInput(
            f"{name.upper()} cannot be used: {first['msg'][:1].lower()}{first['msg'][1:]}.",
            f"For example: {name.upper()}={usual}" if usual not in ("", None) else f"You find it here: {WHERE[name]}.",
        ) from None


def load(process: str) -> Settings:
    """The settings, checked for what `process` (web, worker or run) needs. Raises BadInput naming what is missing."""
    settings = read()
    for name in NEEDED[process]:
        value = getattr(settings, name)
        if not (value.get_secret_value() if isinstance(value, SecretStr) else value):
            raise BadInput(f"{name.upper()} is not set.", f"You find it here: {WHERE[name]}.")
    return settings
