from __future__ import annotations

from perdure.method import Method


class Naive(Method):
    """Learn each batch as it comes and do nothing against forgetting: what others must beat.

        penalty = 0

    Source: nobody's; known as fine-tuning, SGD or "none".
    Differs: nothing known. In scenario task initialisations end at 81 to 88 on Split Fashion-MNIST,
        and the two runs of van de Ven's implementation at 76 and 91: what is left is chance.
    Needs: nothing. A learner without any method does the same.
    Keeps: nothing.

    Example:
        >>> import torch
        >>> from perdure import Batch, Learner
        >>> learner = Learner(torch.nn.Linear(4, 2), Naive())
        >>> step = learner.observe(Batch(torch.eye(4), torch.tensor([0, 1, 0, 1])))
        >>> list(step.terms)
        ['loss']
    """
