"""MLflow with a token that follows the vault.

    keyside run --secret mlflow-token -- python mlflow_tracking.py

MLflow reads `MLFLOW_TRACKING_TOKEN` anew for each request, so it is enough to keep the variable of this process up to date.
"""

from __future__ import annotations

import os

import keyside


def follow(variable: str, secret: str) -> keyside.Watch:
    """Sets an environment variable of this process to a secret, now and whenever it changes."""

    def set_variable(value: str) -> None:
        os.environ[variable] = value

    set_variable(keyside.get_secret(secret))
    return keyside.on_change(secret, set_variable)


def main() -> None:
    """Logs a run."""
    import mlflow  # noqa: PLC0415 - the credentials come first

    mlflow.set_tracking_uri(os.environ["MLFLOW_TRACKING_URI"])
    with mlflow.start_run():
        for step in range(100):
            mlflow.log_metric("loss", 0.99**step, step=step)


if __name__ == "__main__":
    keyside.wait_ready()
    with follow("MLFLOW_TRACKING_TOKEN", "mlflow-token"):
        main()
