"""What training needs beyond the weights: the second phase of sparse tuning against dense AdamW.

Both sides do steps of the same model (BERT-base's shape on a vocabulary of 32,000, 110M parameters) on the
same tiny batch, so that activations hardly count. Measured is the most memory the process ever held beyond
what it held when the model was loaded: gradients, moments, entries with their positions and start, and what a
step needs for a moment. Counted besides is the state that stays: the two optimisers' moments alone, and the
dense moments against all that the sparse side keeps in their place. Each side runs in a process of its own.

    python benchmarks/sparse_memory.py
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from harness import keep

from isogloss.models.portions import portions
from isogloss.sparse.select import count, select
from isogloss.sparse.tuned import SparselyTuned
from isogloss.training.optimiser import adamw
from isogloss.training.plan import TrainingPlan
from isogloss.training.sparse import sparse_adamw

DENSITIES = (0.08, 0.02)
VOCABULARY, LENGTH, STEPS = 32_000, 8, 4
PLAN = TrainingPlan(steps=STEPS)
ALLOWED = 0.35


def model() -> Any:
    """A fresh masked language model."""
    from transformers import AutoModelForMaskedLM, BertConfig

    torch.manual_seed(0)
    return AutoModelForMaskedLM.from_config(BertConfig(vocab_size=VOCABULARY)).train()


def measure(density: float) -> dict[str, float]:
    """Train for a few steps, densely where the density is 1."""
    torch.set_num_threads(1)
    plain = model()
    trained: Any = plain
    entries = chosen(plain, density) if density < 1 else {}
    warm(plain)
    before = memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # forget the most memory held so far
    if density < 1:
        trained = SparselyTuned(plain, {name: positions.clone() for name, positions in entries.items()})
    optimiser = sparse_adamw(trained, PLAN) if density < 1 else adamw(plain, PLAN)
    seconds = [step(trained, optimiser, number) for number in range(STEPS)]
    moments = sum(
        tensor.nbytes for state in optimiser.state.values() for tensor in state.values() if tensor.ndim
    )
    own = sum(t.nbytes for name, t in [*trained.named_buffers(), *trained.named_parameters()] if "/" in name)
    return {
        "parameters": sum(parameter.numel() for parameter in plain.parameters()),
        "extra": memory("VmHWM") - before,
        "moments": moments,
        "kept": moments + own,
        "step_seconds": min(seconds[1:]),
    }


def chosen(plain: torch.nn.Module, density: float) -> dict[str, torch.Tensor]:
    """Entries of the body at this density, drawn at random: what they are makes no difference here."""
    body = {id(parameter) for parameter in portions(plain).body.values()}
    named = {name: p.detach() for name, p in plain.named_parameters() if id(p) in body}
    zero = {name: torch.zeros(1).expand(p.shape) for name, p in named.items()}
    return select(named, zero, count(density, sum(p.numel() for p in named.values())))


def warm(plain: torch.nn.Module) -> None:
    """Load the kernels; backward for one small tensor alone, so that no gradient is left behind."""
    ids = torch.arange(LENGTH)[None]
    torch.autograd.grad(plain(input_ids=ids, labels=ids).loss, [next(iter(portions(plain).norms.values()))])


def step(trained: torch.nn.Module, optimiser: torch.optim.Optimizer, number: int) -> float:
    began = time.perf_counter()
    ids = torch.randint(0, VOCABULARY, (1, LENGTH), generator=torch.Generator().manual_seed(number))
    optimiser.zero_grad()
    trained(input_ids=ids, labels=ids).loss.backward()
    optimiser.step()
    return time.perf_counter() - began


def memory(line: str) -> int:
    """Bytes, from the process's status."""
    match = re.search(rf"{line}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert match
    return int(match[1]) * 1024


def main() -> None:
    """Measure each in a process of its own, print the shares, and keep the result."""
    if len(sys.argv) > 1:
        print(json.dumps(measure(float(sys.argv[1]))))
        return
    found = {}
    for density in (1.0, *DENSITIES):
        command = [sys.executable, __file__, str(density)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        found[density] = json.loads(done.stdout.splitlines()[-1])
    dense, rows = found[1.0], []
    print(f"{dense['parameters']:,} parameters, {4 * dense['parameters'] / 1e6:.0f} MB of weights")
    print("density   most extra  of dense    moments   all kept of moments     step")
    for density, one in found.items():
        row = {
            "density": density,
            **one,
            "extra_of_dense": one["extra"] / dense["extra"],
            "kept_of_dense_moments": one["kept"] / dense["moments"],
        }
        rows.append(row)
        print(
            f"{density:8.2f} {one['extra'] / 1e6:8.0f} MB {row['extra_of_dense']:9.1%} "
            f"{one['moments'] / 1e6:7.0f} MB {one['kept'] / 1e6:7.0f} MB "
            f"{row['kept_of_dense_moments']:10.1%} {one['step_seconds'] * 1e3:5.0f} ms"
        )
    keep("sparse_memory", {"facts": {"length": LENGTH, "steps": STEPS, "threads": 1}, "rows": rows})
    worst = max(rows[1]["extra_of_dense"], rows[1]["kept_of_dense_moments"])
    print(f"at density {DENSITIES[0]}: {worst:.1%} of the dense extra; allowed: {ALLOWED:.0%}")
    sys.exit(worst > ALLOWED)


if __name__ == "__main__":
    main()
