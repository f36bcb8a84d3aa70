from __future__ import annotations

from perdure.families.adapting import Route, Routed
from perdure.method import Needs
from perdure.nets import Prompted


class Prompts(Routed):
    """Give each task learned tokens that a frozen transformer reads before its own.

        features = encode([prompt_j; embed(x)])

    `route` says which prompts the encoder reads. "task": those of the input's task. "nearest":
    those of the task that has the class mean of greatest cosine with the input's features without
    prompts, and it answers among that task's labels. "merged": all, one after another.

    Source: Lester et al. 2021, https://arxiv.org/abs/2104.08691; "nearest" is Wang et al. 2022,
        https://arxiv.org/abs/2207.12819; "merged" Razdaibiedina et al. 2023,
        https://arxiv.org/abs/2301.12314.
    Differs: a class mean stands for the k-means centres of Wang et al.; prompts are drawn at
        random, not from a vocabulary, and pass through no network of their own. A task's labels are
        learnt against each other alone, so that in scenario class "merged" wants a memory too.
    Needs: a model whose backbone is a `perdure.nets.Prompted`. "task": task ids everywhere;
        "nearest": boundaries or task ids, and features; an update then costs a bare pass more.
    Keeps: a prompt a task; for "nearest" a mean a class.

    Args:
        route: "task", "nearest" or "merged".

    Raises:
        InvalidValue: another route; rows of several tasks at once or of one that ended, unless
            all are merged.
        Impossible: the model has no prompts.

    Example:
        >>> from perdure import nets
        >>> encoder = nets.Transformer(nets.Patches((1, 2, 2), 1, width=8))
        >>> model = nets.Classifier(nets.Prompted(encoder, length=2), nets.GrowingHead(8))
        >>> step = Learner(model, Prompts()).observe(Batch(torch.eye(4), torch.arange(4) % 2))
        >>> step.outputs.shape
        torch.Size([4, 2])
    """

    needs = Needs(architecture="prompted")
    kind = Prompted

    def __init__(self, route: Route = "merged") -> None:
        super().__init__(route)
