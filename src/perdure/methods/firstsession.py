from __future__ import annotations

from collections.abc import Iterable

from perdure.batch import Batch
from perdure.errors import Impossible
from perdure.learner import Learner
from perdure.method import Method, Needs
from perdure.nets import Classifier


class FirstSession(Method):
    """Let the backbone learn from the first task, and hold it still from then on.

        while the first task lasts:  backbone and head train
        afterwards:                  the backbone is as it was at its end, the head may train

    What answers from features (NCM, SLDA, Ridge, RanPAC, FeCAM with write="boundary") is given
    beside; it reads the first task's rows when the backbone stands still.

    Source: Panos et al. 2023, "First session adaptation: a strong replay-free baseline for
        class-incremental learning", section 3.1, https://arxiv.org/abs/2303.13199.
    Differs: everything in the backbone that trains is adapted; give it adapters, and freeze the
        rest, to adapt those alone.
    Needs: boundaries, and a `perdure.nets.Classifier`.
    Keeps: nothing; which parameters still train is part of the learner's state.

    Raises:
        Impossible: at the first boundary, where the model is no `Classifier`.

    Example:
        >>> from perdure.nets import MLP, GrowingHead
        >>> learner = Learner(Classifier(MLP(4, (8,)), GrowingHead(8)), FirstSession())
        >>> step = learner.observe(Batch(torch.eye(4), torch.tensor([0, 1, 0, 1])))
        >>> learner.consolidate()
        >>> sorted(learner.params)
        ['head.blocks.0.bias', 'head.blocks.0.weight']
    """

    needs = Needs(boundaries=True, frozen=True)
    writes_parameters = True
    freezes = True

    @property
    def name(self) -> str:
        """first-session."""
        return "first-session"

    def consolidate(self, learner: Learner, data: Iterable[Batch]) -> None:
        """Freeze the backbone, if anything has been learnt."""
        if not learner.updates:
            return
        if not isinstance(learner.model, Classifier):
            raise Impossible(
                f"FirstSession freezes the backbone and {type(learner.model).__name__} does not "
                "say what that is; wrap a backbone and a head in perdure.nets.Classifier"
            )
        learner.model.backbone.requires_grad_(False)
        learner.refresh()
