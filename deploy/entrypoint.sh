#!/bin/sh
# What the container does: `worker`, `flower` and Celery's other commands, or anything that `orchestrator` knows.
# Options follow: `worker -Q senior-engineer -c 2`, `inspect active_queues`, `status`, `enqueue /work/feature.yaml`.
set -eu

case "${1:-worker}" in
    worker)
        [ $# -eq 0 ] || shift
        exec celery -A orchestrator worker --loglevel "${LOG_LEVEL:-info}" "$@"
        ;;
    flower)
        shift
        exec celery -A orchestrator flower "$@"
        ;;
    inspect | control | celery)
        [ "$1" = celery ] && shift
        exec celery -A orchestrator "$@"
        ;;
    orchestrator)
        exec "$@"
        ;;
    *)
        exec orchestrator "$@"
        ;;
esac
