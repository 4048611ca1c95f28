#!/usr/bin/env bash
# Test under Slurm: slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [options of test.py]
# GPUS: processes in all. GPUS_PER_NODE: processes and GPUS per node, 0 on nodes without GPUS.
# CHECKPOINT may be none, for methods without training.
set -euo pipefail

if [ "$#" -lt 4 ]; then
    echo "usage: [GPUS=4] [GPUS_PER_NODE=4] $0 PARTITION JOB_NAME CONFIG CHECKPOINT [options of test.py]" >&2
    exit 2
fi
PARTITION=$1
JOB_NAME=$2
CONFIG=$3
CHECKPOINT=$4
GPUS=${GPUS:-4}
GPUS_PER_NODE=${GPUS_PER_NODE:-4}
HERE=$(cd "$(dirname "$0")" && pwd)

PER_NODE=()
if [ "$GPUS_PER_NODE" -gt 0 ]; then
    PER_NODE=(--gres="gpu:$GPUS_PER_NODE" --ntasks-per-node="$GPUS_PER_NODE")
fi

# SRUN_ARGS is split into words on purpose.
# shellcheck disable=SC2086
srun --partition="$PARTITION" \
    --job-name="$JOB_NAME" \
    --ntasks="$GPUS" \
    ${PER_NODE[@]+"${PER_NODE[@]}"} \
    --cpus-per-task="${CPUS_PER_TASK:-5}" \
    --kill-on-bad-exit=1 \
    ${SRUN_ARGS:-} \
    python -u "$HERE/test.py" "$CONFIG" "$CHECKPOINT" --launcher slurm "${@:5}"
