"""From corpora to a model: Hugging Face's Trainer under DeepSpeed. `run` reads as its table of contents."""
