"""A fake model that leaves a line at each start and stop: where, when and in which process."""

import json
import os
import time
from typing import Literal

from fake_model import FakeLM  # type: ignore[import-not-found]
from lm_eval.api.instance import Instance


class PlacedLM(FakeLM):  # type: ignore[misc]
    def _run(
        self, requests: list[Instance], kind: Literal["generate_until", "loglikelihood"]
    ) -> None:
        self._note("start")
        super()._run(requests, kind)
        self._note("stop")

    def _note(self, event: str) -> None:
        line = {
            "event": event,
            "device": os.environ.get("CUDA_VISIBLE_DEVICES"),
            "threads": os.environ.get("OMP_NUM_THREADS"),
            "pid": os.getpid(),
            "seconds": time.time(),
            "timed": self.batch_size == 1,
            "steps": self.steps,
        }
        with self.side_file.with_name("places.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")
