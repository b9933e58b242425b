"""A run as `train/pretrain.py` makes it, in which the last rank gets a NaN; `test_health.py` starts it.

At each step of NAN_STEPS, such as "3,5", the logits of the last rank are NaN. Into the folder RECORDED each rank writes
`<rank>.json`: a digest of its weights and optimizer state before each step, and behind the last if the run gets there.
"""

import hashlib
import json
import os
import sys
from pathlib import Path

from metalang.errors import reported
from metalang.training.environment import leave, prepare_environment


def main() -> None:
    """The run, with a Trainer that makes NaNs and remembers its states."""
    with reported("nan_run", rank=int(os.environ["RANK"])):
        prepare_environment(os.environ, sys.argv[1:])
        _run()
        leave()


def _run() -> None:
    from metalang.training import run
    from metalang.training.config import parse_arguments

    nan_steps = [int(step) for step in os.environ["NAN_STEPS"].split(",") if step]
    digests = []

    class Sick(run.MetalangTrainer):
        def training_step(self, model, inputs, *arguments, **named):
            self._remember(model)
            step, args = self.state.global_step + 1, self.args
            if step not in nan_steps or args.process_index != args.world_size - 1:
                return super().training_step(model, inputs, *arguments, **named)
            hook = model.register_forward_hook(lambda _model, _inputs, outputs: _spoiled(outputs))
            try:
                return super().training_step(model, inputs, *arguments, **named)
            finally:
                hook.remove()

        def _remember(self, model):
            digests.append(_digest(model, self.optimizer.optimizer))
            path = Path(os.environ["RECORDED"]) / f"{self.args.process_index}.json"
            path.write_text(json.dumps(digests))

    run.MetalangTrainer = Sick
    run.pretrain(parse_arguments(sys.argv[1:]))


def _spoiled(outputs):
    outputs.logits = outputs.logits * float("nan")
    return outputs


def _digest(model, optimizer) -> str:
    """Names all weights that a rank holds, in bf16 and in float32, and the state that its optimizer keeps of them."""
    import torch
    from deepspeed.runtime.zero.stage3 import DeepSpeedZeroOptimizer_Stage3

    kept, outer = [*model.parameters()], optimizer
    while not isinstance(optimizer, torch.optim.Optimizer):
        optimizer = optimizer.optimizer
    if isinstance(outer, DeepSpeedZeroOptimizer_Stage3):  # it shows torch's optimizer one partition at a time
        kept = [parameter.ds_tensor for parameter in kept] + outer.fp32_partitioned_groups_flat
    else:
        kept += [parameter for group in optimizer.param_groups for parameter in group["params"]]
    kept += [value for state in optimizer.state.values() for _, value in sorted(state.items())]
    digest = hashlib.sha256()
    for value in kept:
        tensor = torch.as_tensor(value).detach().cpu().contiguous().reshape(-1)
        digest.update(tensor.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


if __name__ == "__main__":
    main()
