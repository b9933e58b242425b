"""What is predicted from what, and how it is weighted: a module an `--architecture`."""

from metalang.training.objectives import causal

OBJECTIVES = {"causal": causal}
