"""Rows of a file for each phase of training: pretraining, conversations, preferences, prompts."""

from metalang.training.phases.collators import trainer_batch
from metalang.training.phases.text_file import TextDataset
from metalang.training.phases.unified import UnifiedDataset

__all__ = ["TextDataset", "UnifiedDataset", "trainer_batch"]
