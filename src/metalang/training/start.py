"""The first weights of a run: fresh ones by --init, and what --init_from gives."""

from transformers import PreTrainedModel

from metalang.ids import IdSpace
from metalang.training.config import Settings
from metalang.training.earlier import read_earlier
from metalang.training.init import pythia_init
from metalang.training.transfer import transfer


def first_weights(model: PreTrainedModel, ids: IdSpace, settings: Settings) -> tuple[str, ...]:
    """Gives a model the weights that a run begins with; lines of the banner. All ranks call it."""
    start, seed = settings.start, settings.run.seed
    lines: tuple[str, ...] = (pythia_init(model, seed=seed),) if start.init == "pythia" else ()
    if start.init_from is None:
        return lines
    earlier = read_earlier(start.init_from)
    given = transfer(model, ids, earlier, parts=start.transfer or "all", embeddings=start.embeddings, seed=seed)
    return (*lines, *given)
