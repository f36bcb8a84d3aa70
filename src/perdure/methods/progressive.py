from __future__ import annotations

from perdure.batch import Batch
from perdure.errors import Impossible
from perdure.learner import Learner
from perdure.method import Method, Needs
from perdure.nets import ProgressiveNet


class Progressive(Method):
    """Give each task a column of its own that reads the frozen columns before it.

        h_i^(k) = relu(W_i^(k) h_{i-1}^(k) + sum_{j<k} adapter_i^(k:j)(h_{i-1}^(j)))

    The network does all of it: it adds a column at a task id that it has not seen and freezes the
    earlier ones, whose outputs stay the same bit for bit. This method declares what that needs, so
    that a stream or a model that cannot have it is refused.

    Source: Rusu et al. 2016, eq. 2, https://arxiv.org/abs/1606.04671.
    Differs: see `perdure.nets.ProgressiveNet`.
    Needs: a ProgressiveNet, and the task id of every row, in training and at inference.
    Keeps: nothing beside the model, which grows by a column and its adapters a task.

    Raises:
        Impossible: the model has no progressive columns.

    Example:
        >>> net = ProgressiveNet(4, hidden=(8, 8), classes=2)
        >>> net.add_column(0)
        >>> learner = Learner(net, Progressive())
        >>> step = learner.observe(Batch(torch.eye(4), torch.tensor([0, 1, 0, 1]), task=0))
        >>> learner.predict(torch.eye(4), task=0).shape
        torch.Size([4, 2])
    """

    needs = Needs(task_at_inference=True, task_in_training=True, architecture="progressive")

    def grow(self, learner: Learner, batch: Batch) -> bool:
        """Add nothing, since the network grows by itself; refuse any other network."""
        if not any(isinstance(module, ProgressiveNet) for module in learner.model.modules()):
            raise Impossible(
                f"Progressive works on columns and {type(learner.model).__name__} has none; give "
                "the learner a perdure.nets.ProgressiveNet(inputs, hidden, classes)"
            )
        return False
