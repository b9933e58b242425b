"""What each `--architecture` reads: windows, windows with masks in them, or pairs; and with which flags it goes."""

from dataclasses import replace

from metalang.errors import ConfigError
from metalang.mixing import named_paths, parse_shares
from metalang.mixing.step_sizes import StepSizes
from metalang.sizes import counted
from metalang.text.tokenizer import TextTokenizer
from metalang.training import feed as windows
from metalang.training.config import Settings
from metalang.training.diffusion.curricula import curriculum_of
from metalang.training.diffusion.noise import EvaluationNoise, TrainingNoise
from metalang.training.diffusion.windows import NoisyWindows
from metalang.training.feed import Feed
from metalang.training.model import mask_id_of, pad_id_of
from metalang.training.phases.order import RowOrder
from metalang.training.seq2seq.batches import EvaluationPairs, RunPairs
from metalang.training.seq2seq.lengths import mean_lengths
from metalang.training.seq2seq.pairs import open_pairs


def feed(settings: Settings, tokenizer: TextTokenizer, sizes: StepSizes, *, is_resumed: bool) -> Feed:
    """What a run reads. Raises ConfigError where a source is bad, too short, or trained and tested on."""
    _require_fitting(settings)
    if settings.model.architecture == "seq2seq":
        made = _pairs(settings, tokenizer)
        windows.refuse_trained_on(made)
        return made
    made = windows.feed(settings, tokenizer, sizes, is_resumed=is_resumed)
    return _noisy(made, settings, is_resumed) if settings.model.architecture == "masked_diffusion" else made


def _require_fitting(settings: Settings) -> None:
    """Raises ConfigError for flags that an architecture makes no use of."""
    architecture, data = settings.model.architecture, settings.data
    if architecture != "masked_diffusion" and settings.objective.curriculum != "none":
        raise ConfigError(
            f"--curriculum {settings.objective.curriculum} says what is masked, and --architecture {architecture} "
            "masks nothing; leave it out, or set --architecture masked_diffusion"
        )
    if architecture == "causal":
        return
    wrong = {
        f"--phase {data.phase}": data.phase != "pretrain",
        f"--document_boundaries {data.document_boundaries}": data.document_boundaries != "ignore",
        f"--sample_steps {settings.samples.sample_steps}": bool(settings.samples.sample_steps),
    }
    if architecture == "seq2seq":
        of_windows = {
            "--streaming True": data.streaming,
            "--verify_reads True": data.verify_reads,
            "--skip_steps": bool(data.skip_steps),
            "--skip_documents": data.skip_documents is not None,
            "--data_config": data.data_config is not None,
        }
        wrong |= of_windows
    elif settings.objective.curriculum != "none":
        wrong["--streaming True with --curriculum (whose counts need the text beforehand)"] = data.streaming
    for flag, is_given in wrong.items():
        if is_given:
            raise ConfigError(f"--architecture {architecture} does not go with {flag}; leave one of them out")


def _noisy(data: Feed, settings: Settings, is_resumed: bool) -> Feed:
    """The windows of a mixture with masks in them; those of an evaluation with the same ones each time."""
    run, mask_id = settings.run, mask_id_of(data.tokenizer)
    curriculum, masks = curriculum_of(data, settings, is_resumed=is_resumed)
    noise = TrainingNoise(run.order_seed, run.windows_per_step, run.max_steps, curriculum)
    return replace(
        data,
        train=NoisyWindows(data.train, noise, mask_id),
        evaluation={
            name: NoisyWindows(dataset, EvaluationNoise(), mask_id) for name, dataset in data.evaluation.items()
        },
        masks=masks,
    )


def _pairs(settings: Settings, tokenizer: TextTokenizer) -> Feed:
    """Pairs for an encoder-decoder, of one file or corpus."""
    run, data, start_id = settings.run, settings.data, pad_id_of(tokenizer)
    named = named_paths(data.data_paths)
    if len(named) != 1 or len(parse_shares(data.data_ratios)) != 1:
        raise ConfigError(
            f"--architecture seq2seq reads one file or corpus of pairs, and {len(named)} --data_paths are given; make "
            "one corpus of several domains by synthesize.py, and give --data_ratios 1"
        )
    ((name, path),) = named
    pairs = open_pairs(path, tokenizer.id_space, max_length=data.max_length)
    batch, num_places = run.windows_per_step, run.windows_per_step * run.max_steps
    order = RowOrder(pairs.sizes, batch=batch, seed=run.order_seed, content=pairs.fingerprint)
    epochs = num_places / len(pairs)
    windows.require_epochs(name, len(pairs), "pairs", asked=num_places, max_epochs=data.max_epochs)
    held_out = named_paths(data.nl_eval_data_path, "--nl_eval_data_path")
    return Feed(
        tokenizer=tokenizer,
        train=RunPairs(pairs, order, num_places, start_id=start_id),
        evaluation={
            each: EvaluationPairs(open_pairs(place, tokenizer.id_space, max_length=data.max_length), start_id=start_id)
            for each, place in held_out
        },
        order=order.fingerprint,
        plan=lambda step: {"rows": order.fingerprint},
        contents={name: pairs.content_hash},
        tokens_per_step=None,
        batch=f"{counted(batch, 'pair')} of up to {data.max_length} ids to read and to predict a step",
        amount=counted(num_places, "pair"),
        sources=(f"{name}: {counted(num_places, 'pair')} = {epochs:.3g} epochs of {len(pairs):,}",),
        places=f"data: {name}={path}",
        pair_lengths=mean_lengths(pairs),
    )
