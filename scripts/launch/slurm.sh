#!/usr/bin/env bash
# A launcher as a job: sbatch --nodes 2 --gpus-per-node 8 --time 24:00:00 scripts/launch/slurm.sh LAUNCHER FLAGS
#
# All machines of the job take part. A run that is stopped with a checkpoint (exit code 85), as it is two minutes before
# the job's time is over, is put into the queue again and goes on there. Checkpoints, data and this repository have to
# lie where all machines see them. NUM_GPUS says how many ranks a machine has where Slurm counts no GPUs.
#SBATCH --job-name metalang
#SBATCH --requeue
#SBATCH --signal B:USR1@120
#SBATCH --open-mode append
set -euo pipefail

slots=${NUM_GPUS:-${SLURM_GPUS_ON_NODE:-}}
if [[ -z $slots ]]; then
  echo "slurm.sh: the job has no GPUs; ask for some (sbatch --gpus-per-node 8), or set NUM_GPUS for ranks on CPUs" >&2
  exit 1
fi
nodes=$(scontrol show hostnames "$SLURM_JOB_NODELIST")
export HOSTFILE=${SLURM_SUBMIT_DIR:-$PWD}/.hostfile-$SLURM_JOB_ID NODE_RANK=slurm MASTER_ADDR=${nodes%%$'\n'*}
sed "s/$/ slots=$slots/" <<<"$nodes" >"$HOSTFILE"
trap 'rm -f "$HOSTFILE"' EXIT
[[ -z ${SLURM_CPUS_PER_TASK:-} ]] || export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK # srun asks for its own since 22.05

is_asked=1
"$@" --resume_training True &
launcher=$!
trap 'is_asked=1; kill -TERM "$launcher" 2>/dev/null || true' USR1 TERM
while [[ $is_asked == 1 ]]; do # a signal ends `wait`, not the launcher
  is_asked=0 code=0
  wait "$launcher" || code=$?
done
if [[ $code == 85 ]]; then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
