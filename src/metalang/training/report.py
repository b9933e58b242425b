"""What a run says of itself: a banner before the first step, a summary behind the last."""

from pathlib import Path

import torch
from transformers.integrations import is_deepspeed_zero3_enabled

from metalang.sizes import counted
from metalang.training.config import Settings
from metalang.training.feed import Feed
from metalang.training.trainer import MetalangTrainer


def banner(settings: Settings, data: Feed, trainer: MetalangTrainer) -> str:
    """What will be trained, on what, how: the numbers that follow from the flags."""
    run, model, tokenizer = settings.run, trainer.model, data.tokenizer
    decayed = set(trainer.get_decay_parameter_names(model))
    sizes = {name: _numel(parameter) for name, parameter in model.named_parameters()}
    zero = trainer.accelerator.state.deepspeed_plugin
    precision = "bf16" if run.bf16 else "fp16" if run.fp16 else "fp32"
    lines = [
        f"run        {run.run_name or run.output_dir}, {counted(run.world_size, 'rank')} on {run.device.type}, "
        f"{precision}, {f'DeepSpeed ZeRO-{zero.zero_stage}' if zero else 'no DeepSpeed'}",
        f"batch      {data.batch} "
        f"({run.per_device_train_batch_size} a device, x {run.gradient_accumulation_steps} accumulation, "
        f"x {counted(run.world_size, 'rank')})",
        f"length     {counted(run.max_steps, 'step')}, {data.amount}",
        f"model      {type(model).__name__}, {sum(sizes.values()):,} parameters, "
        f"{'fresh, seed ' + str(run.seed) if settings.model.random_initialize else 'loaded'}, "
        f"attention {model.config._attn_implementation}, loss {trainer.token_loss.description}",
        f"ids        {tokenizer.text_size:,} text + {tokenizer.num_meta_lang_tokens:,} meta-language, "
        f"embedding {model.config.vocab_size:,}, EOS {tokenizer.eos_id}, tokenizer {tokenizer.fingerprint}",
        f"decay      {sum(sizes[name] for name in sizes if name in decayed):,} parameters by {run.weight_decay:g}, "
        f"{sum(sizes[name] for name in sizes if name not in decayed):,} by 0",
        f"schedule   {run.lr_scheduler_type.value}, peak {run.learning_rate:g}, "
        f"{counted(run.get_warmup_steps(run.max_steps), 'warm-up step')}, {run.optim.value}",
        f"order      {data.order}, seed {run.order_seed}",
        *([f"masks      {data.masks}"] if data.masks else []),
        *(f"source     {source}" for source in data.sources),
        *(f"left out   {part}" for part in data.left_out),
    ]
    return "\n".join(lines)


def beginning(checkpoint: Path | None) -> str:
    """Where the run begins."""
    return "start      at step 0" if checkpoint is None else f"start      from {checkpoint}"


def summary(trainer: MetalangTrainer, data: Feed, *, model_folder: str | None, tracked: str | None) -> str:
    """Losses before and after, speed, and where everything lies."""
    lines = []
    history = trainer.state.log_history
    for key in dict.fromkeys(key for entry in history for key in entry if _is_summed_up(key)):
        values = [(entry["step"], entry[key]) for entry in history if key in entry]
        (first_step, first), (last_step, last) = values[0], values[-1]
        lines.append(f"{key}: {first:.4f} at step {first_step} -> {last:.4f} at step {last_step}")
    lines.append(_speed(trainer.tokens_per_second, trainer.args.world_size))
    if best := _best(trainer):
        lines.append(best)
    lines.append(f"model: {model_folder or f'sharded, in the checkpoints of {trainer.args.output_dir}'}")
    lines.append(data.places)
    if tracked:
        lines.append(f"wandb: {tracked}")
    return "\n".join(lines)


def _speed(tokens_per_second: float, num_ranks: int) -> str:
    """Of all ranks; 0 where nothing was measured.

    >>> _speed(7000.4, 1), _speed(7000.4, 2), _speed(0, 2)
    ('speed: 7,000 tokens/s', 'speed: 7,000 tokens/s, 2 ranks together', 'speed: not measured (the first step is not)')
    """
    if not tokens_per_second:
        return "speed: not measured (the first step is not)"
    return f"speed: {tokens_per_second:,.0f} tokens/s" + (f", {num_ranks} ranks together" if num_ranks > 1 else "")


def _best(trainer: MetalangTrainer) -> str:
    """Which weights are the best ones, where the run was asked to end with them; a run without any says so."""
    run, state = trainer.args, trainer.state
    if not run.load_best_model_at_end:
        return ""
    if state.best_model_checkpoint is None:
        return (
            f"best: none: no evaluation gave a {run.metric_for_best_model} that is a number; these are the last weights"
        )
    return f"best: {run.metric_for_best_model} {state.best_metric:.4f}, loaded from {state.best_model_checkpoint}"


def _numel(parameter: torch.nn.Parameter) -> int:
    """Numbers in a parameter, of which a rank holds only a part under ZeRO-3."""
    return parameter.ds_numel if is_deepspeed_zero3_enabled() else parameter.numel()


def _is_summed_up(key: str) -> bool:
    return key.startswith("eval_") and key.endswith(("_loss", "_bits_per_byte", "_exact_match"))
