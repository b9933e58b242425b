"""Pretrains a language model on a mixture of corpora.

    deepspeed --include localhost:0-7 train/pretrain.py --model_name_or_path configs/models/pythia-14m.json \\
        --tokenizer_name EleutherAI/pythia-14m --random_initialize True --deepspeed configs/ds/zero2.json --bf16 True \\
        --data_paths corpora/wiki corpora/identity/train --data_ratios 0.5 0.5 --num_meta_lang_tokens 10032 \\
        --nl_eval_data_path corpora/wiki-validation --eval_strategy steps --eval_steps 1000 --eval_on_start \\
        --max_length 1024 --per_device_train_batch_size 128 --max_steps 10000 --learning_rate 5e-4 \\
        --output_dir runs/half

Without a GPU: deepspeed --num_gpus 2 train/pretrain.py --use_cpu True ...; beside the flags below, which are named
first, all of transformers.TrainingArguments may be given.
"""

import os
import sys

from metalang.errors import reported
from metalang.training.environment import leave, prepare_environment, told_of_lost_ranks
from metalang.training.run_file import file_flags
from metalang.training.stopping import listening


def main() -> None:
    with reported("pretrain", rank=int(os.environ.get("RANK", "0"))), told_of_lost_ranks(), listening(os.environ):
        prepare_environment(os.environ, [*file_flags(sys.argv[1:]), *sys.argv[1:]])
        from metalang.training.config import parse_arguments
        from metalang.training.run import pretrain

        leave(pretrain(parse_arguments(sys.argv[1:], __doc__)))


if __name__ == "__main__":
    main()
