"""Lets `python -m dllm_eval` do what the `dllm-eval` command does."""

from dllm_eval.cli import main

if __name__ == "__main__":
    main()
