"""Flower's configuration: `celery -A orchestrator flower --conf=deploy/flowerconfig.py`.

Flower runs this file and takes each name that is one of its options (flower/options.py). What stands here goes
before the environment, and the command line goes before both, so an option that a machine sets through a variable
is read from it here.

Secrets stay out of this file: Flower reads `FLOWER_BASIC_AUTH` (user:password) from the environment by itself.
"""

import copy
import os
import re
from typing import Any

# Flower's own default is every interface of the machine, with whatever password there is, or none.
address = os.environ.get("FLOWER_ADDRESS", "127.0.0.1")

# The name is the specialist; args are written anew below as feature and task; uuid is the link to the task's page.
tasks_columns = "name,args,state,result,received,runtime,worker,uuid"

# Workers that were replaced leave the list after this many seconds, not at Flower's next restart.
purge_offline_workers = 600


def format_task(task: Any) -> Any:
    """Show feature and task, and why a task failed, where Flower shows arguments and results.

    Args:
        task: A `celery.events.state.Task`. Its uuid is `FEATURE:TASK:ATTEMPT` (`orchestrator.canvas.message_id`).

    Returns:
        A copy to be shown; the API goes on to give the task as it is.

    Example:
        A task with the uuid "auth:T2:1" is shown with the arguments "auth → T2"; at its second attempt
        "auth → T2 (attempt 2)".
    """
    shown = copy.copy(task)
    parts = str(task.uuid).split(":")
    if len(parts) == 3:
        feature, name, attempt = parts
        shown.args = f"{feature} → {name}" + (f" (attempt {attempt})" if attempt != "1" else "")
    failed = re.match(r"""TaskFailed\((['"])(.*)\1\)$""", task.exception or "", re.DOTALL)
    if failed:
        shown.result = failed[2]
    elif isinstance(task.result, str):
        shown.result = task.result.strip("'\"")
    return shown
