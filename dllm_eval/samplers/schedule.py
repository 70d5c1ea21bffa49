"""How many positions each step reveals. Plain integers, known before the first forward pass."""


def quotas(num_masked: int, steps: int) -> list[int]:
    """LLaDA's linear schedule: as even as whole numbers allow, the larger shares first.

    Args:
        num_masked: Masked positions in the block, at least 1.
        steps: Denoising steps for the block.

    Returns:
        One count per step, adding up to `num_masked` (`generate.py`, get_num_transfer_tokens;
        the discretised linear noise schedule of arXiv 2502.09992 Eq. 8).
    """
    base, remainder = divmod(num_masked, steps)
    return [base + (step < remainder) for step in range(steps)]
