"""Flags of transformers 5.23 that would break, without a word, what a run promises."""

from transformers import TrainingArguments

from metalang.errors import ConfigError

_AS_IT_IS = {"eval_do_concat_batches": True}
"""Flags that are fit as transformers has them, where that is not False or None."""

_UNFIT = {
    "enable_jit_checkpoint": "would save in the middle of a step when a run is asked to stop; leave it out: SIGTERM "
    "and SIGUSR1 stop all ranks behind a step, with a checkpoint",
    "save_only_model": "would write checkpoints from which no run can go on; leave it out, and set --save_total_limit "
    "where they take too much room",
    "dataloader_drop_last": "would leave the last windows out of an evaluation, more with larger batches; leave "
    "it out: a run trains on whole batches as it is",
    "batch_eval_metrics": "does not go with losses that are summed over all windows; leave it out",
    "restore_callback_states_from_checkpoint": "would make callbacks anew; leave it out: what they know is restored",
    "accelerator_config": "would cut the batches in another way than the mixture's order; leave it out",
    "fsdp_config": "has no effect without --fsdp, which does not go with --deepspeed; leave it out",
    "eval_do_concat_batches": "does not go with losses that are summed over all windows; leave it out",
    "use_liger_kernel": "would swap parts of the model, its loss among them; leave it out: the loss is computed in the "
    "output layer as it is",
    "push_to_hub": "would upload a checkpoint while it is written, and end in an error where the hub is away; leave it "
    "out, and upload the model folder behind the run: hf upload NAME OUTPUT_DIR --exclude 'checkpoint-*'",
    "resume_from_checkpoint": "has no effect; set --resume_training True, or give --branch_from the checkpoint",
}

_CHECKPOINTING = ("use_reentrant", "preserve_rng_state", "determinism_check", "debug", "early_stop")
"""What JSON can say of the keywords of `torch.utils.checkpoint.checkpoint` (2.13)."""


def refuse_unfit(run: TrainingArguments) -> None:
    """Raises ConfigError for a flag that is set and would break a promise."""
    for flag, why in _UNFIT.items():
        value = getattr(run, flag)
        if value not in (None, _AS_IT_IS.get(flag, False)):
            raise ConfigError(f"--{flag} {value} {why}")


def require_checkpointing(run: TrainingArguments) -> None:
    """Raises ConfigError for keywords of --gradient_checkpointing that PyTorch does not have."""
    given = run.gradient_checkpointing_kwargs
    if given is None or (isinstance(given, dict) and set(given) <= set(_CHECKPOINTING)):
        return
    raise ConfigError(
        f"--gradient_checkpointing_kwargs {given} is no JSON object of {', '.join(_CHECKPOINTING)}; give "
        "'{\"use_reentrant\": false}', or leave it out"
    )
