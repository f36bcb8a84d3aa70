from __future__ import annotations

from collections.abc import Iterable

from perdure.batch import Batch
from perdure.learner import Learner
from perdure.method import Method, Needs
from perdure.nets import consolidated_head


class CWRStar(Method):
    """Learn each batch's classes apart, on what the first batch taught, and gather their weights.

        w_c = consolidated_c for the classes of a batch, 0 for the others;  train w;  at its end
        consolidated_c = (consolidated_c * q + w_c - mean(w)) / (q + 1),  q = sqrt(past_c / new_c)

    The answers are by the consolidated weights, at any time. Made for a stream of many small
    batches, each with a boundary at its end.

    Source: Lomonaco, Maltoni & Pellegrini 2020, algorithm 1, https://arxiv.org/abs/1907.03799.
    Differs: biases too; normalisation layers under the head follow the stream after the first
        batch, since only weights are frozen.
    Needs: class labels, boundaries (no rows there), and a `ConsolidatedHead`. A network with
        BatchNorm must be `renormalised`, or batches of one class are centred on that class.
    Keeps: nothing beside the head's second weights.

    Example:
        >>> model = nets.Classifier(nets.MLP(4, (8,)), nets.ConsolidatedHead(8))
        >>> learner = Learner(model, CWRStar())
        >>> step = learner.observe(Batch(torch.eye(4), torch.tensor([0, 1, 0, 1])))
        >>> learner.consolidate()
        >>> sorted(learner.params)
        ['head.blocks.0.bias', 'head.blocks.0.weight']
    """

    needs = Needs(boundaries=True, architecture="consolidated")
    writes_parameters = True
    freezes = True

    @property
    def name(self) -> str:
        """cwr*."""
        return "cwr*"

    def consolidate(self, learner: Learner, data: Iterable[Batch]) -> None:
        """Gather the head's weights; what is under it learns no more."""
        head = consolidated_head(learner.model)
        head.close()
        if head.width:
            learner.model.requires_grad_(False)
            head.requires_grad_(True)
            learner.refresh()
