"""Where the cells of a stage run: `local` processes, a `ray` cluster, `slurm` jobs.

Each is an `executor.Executor`; every one of them runs `worker.run_job`, so that the records are the
same. `run.run_sweep` is given one.
"""
