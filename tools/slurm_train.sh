#!/usr/bin/env bash
# Train under Slurm: slurm_train.sh PARTITION JOB_NAME CONFIG [options of train.py]
# GPUS: processes in all. GPUS_PER_NODE: processes and GPUS per node, 0 on nodes without GPUS.
set -euo pipefail

if [ "$#" -lt 3 ]; then
    echo "usage: [GPUS=4] [GPUS_PER_NODE=4] $0 PARTITION JOB_NAME CONFIG [options of train.py]" >&2
    exit 2
fi
PARTITION=$1
JOB_NAME=$2
CONFIG=$3
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
    python -u "$HERE/train.py" "$CONFIG" --launcher slurm "${@:4}"
