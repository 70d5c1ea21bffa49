"""Teaches texts to a checkpoint and writes what comes out as a folder of the same format.

The recipe is SMDM's for the name/description facts (`plan.py` has its numbers, `batches.py` its
losses); a left-to-right model reads the same texts in the same order with the same optimiser. All
randomness comes from the seed and the number of the epoch, so that a run that was killed and taken
up again gives the weights that an undisturbed one gives. Called by the command line.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from typing import Any

import torch

from dllm_eval.errors import UsageError
from dllm_eval.finetune.batches import Row, autoregressive_batch, diffusion_batch, rows_of, shuffled
from dllm_eval.finetune.examples import read_examples
from dllm_eval.finetune.plan import BETAS, GRADIENT_NORM, WEIGHT_DECAY, Plan
from dllm_eval.finetune.save import save_student
from dllm_eval.finetune.states import States
from dllm_eval.finetune.student import Student, load_student
from dllm_eval.measure.wall import now_s
from dllm_eval.reference.batches import Batch
from dllm_eval.reference.train import weighted_loss


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """What one pass over the texts did."""

    epoch: int
    """Counted from 1."""
    loss: float
    """Mean over its updates; of a diffusion model a bound, in nats a token."""
    updates: int
    """Since the beginning of the run."""
    tokens: int
    """Read in this epoch, without padding."""
    seconds: float


def finetune(plan: Plan, report: Callable[[Epoch], None] | None = None) -> list[Epoch]:
    """Runs what is left of a plan; gives every epoch of it.

    Args:
        plan: What to do. A state beside `plan.out` is gone on from.
        report: Called after each epoch that is run.

    Raises:
        UsageError: Anything about the checkpoint, the data or the folder is wrong, or the loss is
            not finite.
    """
    if plan.out.exists():
        raise UsageError(f"{str(plan.out)!r} is there already; pass another --out or remove it")
    examples = read_examples(plan.data)
    states = States(plan)
    states.check()
    student = load_student(plan)
    rows = rows_of(
        examples, student.tokenizer.encode, eos_id=student.eos_id, longest=student.longest
    )
    run = _Run(plan, student, rows)
    state = states.read()
    if state is not None:
        run.take_up(state)
    while len(run.done) < plan.epochs:
        run.epoch()
        states.write(run.state())
        if report is not None:
            report(run.done[-1])
    save_student(student, plan.out, _log(plan, student, rows, run.done))
    states.forget()
    return run.done


class _Run:
    """A model, its optimiser and how far they are."""

    def __init__(self, plan: Plan, student: Student, rows: list[Row]) -> None:
        self._plan, self._student, self._rows = plan, student, rows
        self._optimizer = torch.optim.AdamW(
            student.module.parameters(),
            lr=plan.learning_rate,
            betas=BETAS,
            weight_decay=WEIGHT_DECAY,
        )
        self._per_epoch = -(-len(rows) // plan.batch_size)
        self.done: list[Epoch] = []

    def state(self) -> dict[str, Any]:
        """What a later run needs to go on."""
        return {
            "module": self._student.module.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "epochs": [asdict(epoch) for epoch in self.done],
        }

    def take_up(self, state: dict[str, Any]) -> None:
        """Goes on where the state is."""
        self._student.module.load_state_dict(state["module"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.done = [Epoch(**epoch) for epoch in state["epochs"]]

    def epoch(self) -> None:
        """One pass over the texts, in an order and with noise of its own."""
        number = len(self.done)
        generator = torch.Generator().manual_seed(self._plan.seed * 1_000_003 + number)
        started_s, update = now_s(), number * self._per_epoch
        losses, tokens = [], 0
        for rows in shuffled(self._rows, self._plan.batch_size, generator):
            batch = self._batch(rows, generator)
            losses.append(self._update(batch, update))
            tokens += batch.num_tokens
            update += 1
        self.done.append(
            Epoch(
                epoch=number + 1,
                loss=sum(losses) / len(losses),
                updates=update,
                tokens=tokens,
                seconds=round(now_s() - started_s, 3),
            )
        )

    def _batch(self, rows: list[Row], generator: torch.Generator) -> Batch:
        student, family = self._student, self._student.family
        if family is None:
            batch = autoregressive_batch(rows, eos_id=student.eos_id)
        else:
            batch = diffusion_batch(
                rows,
                generator,
                mask_id=family.mask_id,
                eos_id=student.eos_id,
                masked=self._plan.masked,
            )
        place = student.device
        return Batch(
            input_ids=batch.input_ids.to(place),
            targets=batch.targets.to(place),
            weights=batch.weights.to(place),
            num_tokens=batch.num_tokens,
        )

    def _update(self, batch: Batch, update: int) -> float:
        plan = self._plan
        rate = plan.learning_rate * plan.rate_share(update, plan.epochs * self._per_epoch)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.zero_grad(set_to_none=True)
        with self._arithmetic():
            logits = self._student.logits(batch)
        loss = weighted_loss(logits.float(), batch)
        value = loss.item()
        if value != value or value in (float("inf"), float("-inf")):
            raise UsageError(f"the loss of update {update + 1} is {value}; pass a smaller --lr")
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self._student.module.parameters(), GRADIENT_NORM)
        self._optimizer.step()
        return value

    def _arithmetic(self) -> AbstractContextManager[object]:
        if self._plan.dtype == "float32":
            return nullcontext()
        return torch.autocast(self._student.device.type, torch.bfloat16)


def _log(plan: Plan, student: Student, rows: list[Row], done: list[Epoch]) -> dict[str, Any]:
    family = student.family
    return {
        "plan": plan.as_dict(),
        "family": "autoregressive" if family is None else family.name,
        "loss": _loss_of(plan, student),
        "texts": len(rows),
        "optimizer": {
            "name": "AdamW",
            "betas": list(BETAS),
            "weight_decay": WEIGHT_DECAY,
            "gradient_norm": GRADIENT_NORM,
        },
        "torch": torch.__version__,
        "epochs": [asdict(epoch) for epoch in done],
        "seconds": round(sum(epoch.seconds for epoch in done), 3),
    }


def _loss_of(plan: Plan, student: Student) -> str:
    if student.family is None:
        return "next-token cross entropy of prompt, completion and end of text"
    seen = "nothing spared" if plan.masked == "all" else "the prompt spared"
    return f"cross entropy of masked tokens over the share of noise, {seen}"
