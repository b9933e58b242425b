"""train/pretrain.py in which one thing goes wrong: `faulty_run.py FLAGS --fault RANK WHEN WHOM SIGNAL`.

RANK sends SIGNAL to WHOM (rank0, rank1, launcher, runner, all or self) at WHEN:

    step:N    in the N-th step of this process            eval:N    in the N-th evaluation, behind its batches
    half:NAME a file of that name was half written by torch.save or safetensors (the rest never is)
    open:NAME a file of that name is opened to be written, in Python
    name:NAME a file or folder gets that name             drop:NAME a file of that name is removed

Behind a signal that asks it to stop, it waits until it is asked, so that the step it stops at is known.
"""

import os
import re
import signal
import sys
import time
from pathlib import Path

import psutil

from metalang.training.environment import prepare_environment

PATIENCE_SECONDS = 60


def main():
    at = sys.argv.index("--fault")
    rank, when, whom, name = sys.argv[at + 1 : at + 5]
    del sys.argv[at : at + 5]
    if os.environ["RANK"] == rank:
        prepare_environment(os.environ, sys.argv[1:])
        arm(*when.split(":"), lambda: strike(whom, signal.Signals[name]))
    sys.argv[0] = str(Path(__file__).parents[1] / "train/pretrain.py")
    exec(compile(Path(sys.argv[0]).read_text(), sys.argv[0], "exec"), {"__name__": "__main__"})


def strike(whom, number):
    for process in targets(whom):
        process.send_signal(number)
    if number != signal.SIGKILL or whom in ("launcher", "runner"):
        from metalang.training.stopping import asked

        deadline = time.monotonic() + PATIENCE_SECONDS
        while whom != "rank1" and number != signal.SIGSTOP and not asked() and time.monotonic() < deadline:
            time.sleep(0.01)


def targets(whom):
    own = psutil.Process()
    launcher = own.parent()
    ranks = sorted(launcher.children(), key=lambda process: int(process.environ()["RANK"]))
    named = {"self": [own], "rank0": ranks[:1], "rank1": ranks[1:2], "launcher": [launcher]}
    named |= {"runner": [launcher.parent()], "all": [launcher.parent(), launcher, ranks[1], ranks[0]]}
    return named[whom]


def arm(kind, which, strike):
    {"step": on_step, "eval": on_evaluation, "half": on_half}.get(kind, on_event)(kind, which, strike)


def on_step(kind, which, strike):
    from metalang.training.trainer import MetalangTrainer

    count_calls(MetalangTrainer, "training_step", int(which), strike)


def on_evaluation(kind, which, strike):
    from metalang.training.trainer import MetalangTrainer

    count_calls(MetalangTrainer, "evaluation_loop", int(which), strike, behind=True)


def count_calls(owner, method, number, strike, behind=False):
    original, calls = getattr(owner, method), []

    def counted(*arguments, **named):
        calls.append(1)
        if len(calls) == number and not behind:
            strike()
        result = original(*arguments, **named)
        if len(calls) == number and behind:
            strike()
        return result

    setattr(owner, method, counted)


def on_half(kind, which, strike):
    import torch
    import transformers.modeling_utils

    def halving(save):
        def halved(tensors, path, *arguments, **named):
            save(tensors, path, *arguments, **named)
            if re.search(which, str(path)):
                os.truncate(path, os.path.getsize(path) // 2)
                os.sync()
                strike()

        return halved

    torch.save = halving(torch.save)
    transformers.modeling_utils.safe_save_file = halving(transformers.modeling_utils.safe_save_file)


def on_event(kind, which, strike):
    events = {"open": "open", "name": "os.rename", "drop": "os.remove"}

    def heard(event, arguments):
        if event != events[kind] or (kind == "open" and "w" not in str(arguments[1])):
            return
        path = str(arguments[1] if kind == "name" else arguments[0])
        if re.search(which, path):
            strike()

    sys.addaudithook(heard)


if __name__ == "__main__":
    main()
