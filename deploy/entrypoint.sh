#!/bin/sh
# Runs `worker`, `flower` or another command of Celery, or any command of `orchestrator`, with its options:
# `worker -Q senior-engineer -c 2`, `inspect active_queues`, `status`, `enqueue /work/feature.yaml`.
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
