"""An Airflow DAG: every night what came in, then the day's small files together.

The command decides by itself which dates are incomplete, so a night that was missed is made up by the next one, and a
task that was killed goes on where it was. Airflow 3 with its standard provider.
"""

import datetime

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

with DAG(
    dag_id="convbase_nightly_backfill",
    schedule="0 2 * * *",
    start_date=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"cwd": "/opt/convbase", "retries": 3, "retry_delay": datetime.timedelta(minutes=10)},
):
    backfill = BashOperator(
        task_id="backfill",
        bash_command=(
            "/opt/convbase/.venv/bin/python -m pipelines.backfill --input 'gs://bucket/uploads/{ds}/'"
            " --output gs://bucket/store --lookback 3 --time_budget 5h"
        ),
        execution_timeout=datetime.timedelta(hours=6),
    )
    compact = BashOperator(
        task_id="compact",
        bash_command="/opt/convbase/.venv/bin/python -m pipelines.maintain gs://bucket/store compact",
        execution_timeout=datetime.timedelta(hours=2),
    )
    backfill >> compact
