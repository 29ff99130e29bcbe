"""Airflow: every night a retraining, whose push is made stable. docs/deploy.md says how to use it.

The command has an environment of its own (`make install-cloud` in /srv/seqline): Airflow's packages
and seqline's are never resolved together.
"""

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

SEQLINE = "/srv/seqline/.venv/bin/seqline"
PLACES = "--serving-dir {{ var.value.seqline_serving_dir }}"
# 50 is "interrupted: the same command goes on from there". Airflow's own retries would also repeat
# a refusal, and the second time there is nothing new, which is no failure.
RETRAIN = f"""for attempt in 1 2 3; do
  code=0
  {SEQLINE} retrain --config {{{{ var.value.seqline_config }}}} \\
    --root {{{{ var.value.seqline_root }}}} {PLACES} --set pusher.label=canary || code=$?
  if [ "$code" -ne 50 ]; then break; fi
done
exit "$code"
"""

with DAG("seqline_retrain", schedule="17 3 * * *", catchup=False, max_active_runs=1) as dag:
    # 10: nothing new; 40: another one is at work. What follows a skipped task is skipped, too.
    retrain = BashOperator(task_id="retrain", bash_command=RETRAIN, skip_on_exit_code=[10, 40])
    promote = BashOperator(task_id="promote", bash_command=f"{SEQLINE} promote {PLACES}")
    retrain >> promote
