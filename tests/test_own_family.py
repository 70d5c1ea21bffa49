"""A family of the user's own: the one in ARCHITECTURE.md, run as it stands there."""

import re
import sys
from pathlib import Path

import pytest
import torch
from checkpoints import dream

from dllm_eval import UsageError, generate, load_model

ARCHITECTURE = Path(__file__).parent.parent / "ARCHITECTURE.md"


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Writes the example into a file; gives what a user passes as `family`."""
    section = ARCHITECTURE.read_text().split("## Adding a family")[1]
    example = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert example is not None
    (tmp_path / "my_family.py").write_text(example.group(1))
    monkeypatch.chdir(tmp_path)  # a command finds it in the current folder
    monkeypatch.setattr("sys.path", list(sys.path))
    monkeypatch.delitem(sys.modules, "my_family", raising=False)
    return "my_family:load"


def test_the_example_is_a_whole_family(own: str, tmp_path: Path) -> None:
    folder = str(dream.write(tmp_path / "model"))
    mine, shipped = (load_model(folder, family=name, device="cpu") for name in (own, "dream"))
    assert mine.family.name == "mine"
    ids = torch.tensor([[5, 6, 7, 8, 9]])
    torch.testing.assert_close(mine.logits(ids), shipped.logits(ids))
    out = generate(mine, [5, 6, 7], gen_length=8)
    assert len(out.tokens) == 8
    assert mine.family.mask_id not in out.tokens


@pytest.mark.parametrize("name", ["my_family:lod", "no_such_module:load", ":load"])
def test_a_loader_that_cannot_be_imported_is_one_line(name: str, own: str, tmp_path: Path) -> None:
    del own
    folder = str(dream.write(tmp_path / "model"))
    with pytest.raises(UsageError, match="is not a function that can be imported") as caught:
        load_model(folder, family=name, device="cpu")
    assert "\n" not in str(caught.value)
