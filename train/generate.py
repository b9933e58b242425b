"""Continues a prompt with a trained model.

python train/generate.py runs/half --prompt "The"
"""

import argparse

from metalang.errors import reported
from metalang.sizes import parse_size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="model folder (--output_dir of a run), or a hub name")
    parser.add_argument("--prompt", required=True, help="text to continue")
    parser.add_argument("--max_new_tokens", default="40", help="tokens to add: 40, 2K (default: %(default)s)")
    parser.add_argument("--temperature", type=float, default=0.8, help="0: the likeliest token (default: %(default)s)")
    parser.add_argument(
        "--sampling",
        choices=["ancestral", "confident"],
        help="for masked diffusion: masks are found at random, or the most certain first (default: ancestral)",
    )
    parser.add_argument("--num_steps", type=int, help="for masked diffusion: forwards (default: --max_new_tokens)")
    parser.add_argument("--seed", type=int, default=0, help="names the draw (default: %(default)s)")
    args = parser.parse_args()
    with reported("generate"):
        from metalang.training.generation import continue_text

        print(
            continue_text(
                args.model,
                args.prompt,
                max_new_tokens=parse_size(args.max_new_tokens, what="--max_new_tokens"),
                temperature=args.temperature,
                seed=args.seed,
                sampling=args.sampling,
                num_steps=args.num_steps,
            )
        )


if __name__ == "__main__":
    main()
