"""An Airflow DAG: every night what came in, then the day's small files together.

The command decides by itself which dates are incomplete, so a night that was missed is made up by the next one, and a
task that was killed goes on where it was. Airflow 3.2 or newer, with its providers standard and smtp.
"""

import datetime

from airflow.providers.smtp.notifications.smtp import SmtpNotifier
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, AsyncCallback, DeadlineAlert, DeadlineReference

# Whom it wakes, through the connection smtp_default; any other notifier will do.
ON_CALL = "on-call@example.com"

with DAG(
    dag_id="convbase_nightly_backfill",
    schedule="0 2 * * *",
    start_date=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
    catchup=False,
    max_active_runs=1,
    # Four tries of six hours would reach into the next night.
    dagrun_timeout=datetime.timedelta(hours=22),
    deadline=DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=datetime.timedelta(hours=8),
        callback=AsyncCallback(
            SmtpNotifier,
            {"to": ON_CALL, "subject": "convbase: a night is late", "html_content": "Not done after eight hours."},
        ),
    ),
    on_failure_callback=SmtpNotifier(
        to=ON_CALL, subject="convbase: a night failed", html_content="{{ run_id }} of {{ dag.dag_id }} failed."
    ),
    default_args={"cwd": "/opt/convbase", "retries": 3, "retry_delay": datetime.timedelta(minutes=10)},
):
    backfill = BashOperator(
        task_id="backfill",
        bash_command=(
            "/opt/convbase/.venv/bin/python -m pipelines.backfill --input 'gs://bucket/uploads/{ds}/'"
            " --output gs://bucket/store --lookback 3 --time_budget 5h --expect_images 50% --log_format json"
        ),
        execution_timeout=datetime.timedelta(hours=6),
    )
    compact = BashOperator(
        task_id="compact",
        bash_command="/opt/convbase/.venv/bin/python -m pipelines.maintain gs://bucket/store compact --log_format json",
        execution_timeout=datetime.timedelta(hours=2),
    )
    backfill >> compact
