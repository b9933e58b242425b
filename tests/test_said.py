"""What a run says of itself to a person, where there is one of a thing."""

from pathlib import Path

from transformers import AutoConfig

from metalang.building import build_corpus, domain_build
from metalang.building.inspection import describe_corpus
from metalang.corpus import Corpus
from metalang.domains.copying import Identity
from metalang.text.sources import TextSource
from metalang.text.train_tokenizer import train_tokenizer
from metalang.training.config import parse_arguments
from metalang.training.dry_run import estimates
from metalang.training.run import pretrain

TINY = str(Path(__file__).parents[1] / "configs/models/tiny.json")


def test_one_is_not_spoken_of_as_many(tmp_path, capfd):
    train_tokenizer([TextSource("pydoc:")], vocab_size=600, output_dir=tmp_path / "tokenizer")
    one = Identity(vocabulary={"size": 50}, sequence_length={"min": 16, "max": 16})
    build_corpus(domain_build(one, num_token=33), tmp_path / "one")
    capfd.readouterr()
    pretrain(parse_arguments([
        *("--model_name_or_path", TINY, "--tokenizer_name", f"{tmp_path}/tokenizer", "--random_initialize", "True"),
        *("--data_paths", f"{tmp_path}/one", "--data_ratios", "1", "--num_meta_lang_tokens", "82"),
        *("--max_length", "32", "--max_steps", "1", "--warmup_steps", "1", "--use_cpu", "True"),
        *("--per_device_train_batch_size", "1"),
        *("--save_strategy", "no", "--output_dir", f"{tmp_path}/run", "--disable_tqdm", "True"),
    ]))  # fmt: skip
    said = capfd.readouterr().out
    for line in (
        "1 rank on cpu, fp32, no DeepSpeed",
        "batch      1 window of 32 = 32 tokens a step (1 a device, x 1 accumulation, x 1 rank)",
        "length     1 step, 32 tokens\n",
        "1 warm-up step, ",
        "speed: not measured (the first step is not)",
    ):
        assert line in said
    assert "1 shard, " in describe_corpus(Corpus(tmp_path / "one"))


def test_a_dry_run_speaks_of_one_gpu():
    config = AutoConfig.for_model("gpt_neox", hidden_size=64, num_hidden_layers=1, num_attention_heads=2)
    lines = estimates(config, tokens=1_024, mfu=0.4, gpus=1, length=32, windows=1, number_bytes=4, is_fused=True)
    assert "memory     of 1 GPU, 1 window of 32 at a time, 32 bits:" in lines
    assert "length     1,024 tokens" in lines
    assert lines[-1].startswith("time       at 40% of the peak of 1 GPU: ")
