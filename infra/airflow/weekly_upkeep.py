"""An Airflow DAG: every week, files that no version of the last week needs are deleted."""

import datetime

from airflow.providers.smtp.notifications.smtp import SmtpNotifier
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

with DAG(
    dag_id="convbase_weekly_upkeep",
    schedule="0 12 * * 0",
    start_date=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=datetime.timedelta(hours=12),
    on_failure_callback=SmtpNotifier(
        to="on-call@example.com", subject="convbase: upkeep failed", html_content="{{ run_id }} failed."
    ),
    default_args={"cwd": "/opt/convbase", "retries": 2, "retry_delay": datetime.timedelta(minutes=10)},
):
    BashOperator(
        task_id="vacuum",
        bash_command=(
            "/opt/convbase/.venv/bin/python -m pipelines.maintain gs://bucket/store vacuum --retention 7d"
            " --log_format json"
        ),
        execution_timeout=datetime.timedelta(hours=4),
    )
