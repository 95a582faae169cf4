"""An Airflow DAG: every morning, whether images came; also where no night ran at all."""

import datetime

from airflow.providers.smtp.notifications.smtp import SmtpNotifier
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

with DAG(
    dag_id="convbase_freshness",
    schedule="0 8 * * *",
    start_date=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=datetime.timedelta(hours=1),
    on_failure_callback=SmtpNotifier(
        to="on-call@example.com", subject="convbase: no images came", html_content="{{ run_id }} failed."
    ),
    default_args={"cwd": "/opt/convbase", "retries": 1, "retry_delay": datetime.timedelta(minutes=10)},
):
    BashOperator(
        task_id="freshness",
        bash_command=(
            "/opt/convbase/.venv/bin/python -m pipelines.inspect gs://bucket/store --freshness 26h --log_format json"
        ),
        execution_timeout=datetime.timedelta(minutes=30),
    )
