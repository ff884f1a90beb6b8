#!/bin/sh
# A training over four machines with four GPUs each, as a job for Slurm:
#
#   sbatch examples/slurm.sh [WHAT TO TRAIN...]
#
# The program is built with --features mpi, for the MPI of the cluster. The folder is one that all machines see. Given again, the
# same command goes on with the run that is there; NAME=other sbatch ... begins another one.
#SBATCH --job-name=tinderbox
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=4
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=8
#SBATCH --time=04:00:00
# A minute before the time is over the run saves and ends.
#SBATCH --signal=USR1@60

devices="${DEVICES:-0,1,2,3}" # of each machine, one for each of its ranks
name="${NAME:-cluster}" # of the run
# The batch is shared by all ranks, and the learning rate grows with it (Goyal et al., 2017).
[ $# -gt 0 ] || set -- cifar10-resnet9 --batch 2048 --lr 0.8
for run in runs/*/"$name"; do
  if [ -d "$run" ]; then exec srun --mpi=pmix tinderbox train --resume "$run" --device "$devices"; fi
done
exec srun --mpi=pmix tinderbox train "$@" --name "$name" --device "$devices"
