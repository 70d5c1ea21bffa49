"""`dllm-eval demo`: the whole pipeline on the shipped pair."""

from pathlib import Path

from dllm_eval.cli.app import OutOption, app
from dllm_eval.cli.checks import run_selftest
from dllm_eval.cli.reports import write_and_print
from dllm_eval.cli.sweeps import run_sweep


@app.command()
def demo(out: OutOption = None) -> None:
    """Run the whole pipeline on the shipped pair: sweep, self-test, frontier, HTML page."""
    from dllm_eval.files import write_json
    from dllm_eval.measure.provenance import usable_cores
    from dllm_eval.measure.wall import now_s
    from dllm_eval.sweep.executors.local import LocalExecutor
    from dllm_eval.sweep.folder import ResultsFolder
    from dllm_eval.sweep.spec_file import SHIPPED, load_spec

    folder = out or Path("results") / "demo"
    spec = load_spec(SHIPPED["demo"])
    seconds = run_sweep(spec, folder, LocalExecutor(min(2, usable_cores())))
    started = now_s()
    checked = run_selftest(0, "cpu", folder)
    seconds["self-test"] = now_s() - started
    started = now_s()
    write_and_print([folder], folder / "report")
    seconds["report"] = now_s() - started
    write_json(ResultsFolder(folder).stages_file, {"seconds": seconds})
    total = sum(seconds.values())
    stages = ", ".join(f"{stage} {value:.0f} s" for stage, value in seconds.items())
    print(f"seconds by stage: {stages}; in all {total:.0f} s")
    print(f"self-test: {checked.summary()}")
