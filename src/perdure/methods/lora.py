from __future__ import annotations

from perdure.families.adapting import Route, Routed
from perdure.method import Needs
from perdure.nets import LoRALayer


class LoRA(Routed):
    """Give each task low-rank adapters beside the frozen weights, which freeze when it ends.

        h = W x + alpha / rank * sum over j of B_j A_j x,   A_j: (rank, in), B_j: (out, rank)

    `route` says which adapters answer. "task": those of the input's task. "nearest": those of the
    task that has the class mean of greatest cosine with the input's features before adaptation,
    and among its labels. "merged": the sum of all. Rank and alpha are arguments of
    `perdure.nets.lora`, which adapts the model; `strip` brings the bare one back bit for bit.

    Source: Hu et al. 2021, section 4, https://arxiv.org/abs/2106.09685; routing by the bare
        features as Wang et al. 2022 do it for prompts, https://arxiv.org/abs/2207.12819.
    Differs: Hu et al. have one task. A class mean stands for the k-means centres of Wang et al.
        A task's labels are learnt against each other alone, so that in scenario class "merged"
        wants a memory beside it: its tasks' outputs were never held against each other. With one,
        on a text encoder and 30 queries a class, it ends 3 to 4 points below one run of others
        whose settings are not recorded (benchmarks/results/adapters.md).
    Needs: a model that `perdure.nets.lora` adapted. "task": task ids everywhere; "nearest":
        boundaries or task ids, and features; an update then costs a bare forward pass more.
    Keeps: adapters a task; for "nearest" a mean a class.

    Args:
        route: "task", "nearest" or "merged".

    Raises:
        InvalidValue: another route; rows of several tasks at once or of one that ended, unless
            all are merged.
        Impossible: the model has no low-rank adapters.

    Example:
        >>> from perdure import nets
        >>> backbone = nets.lora(nets.MLP(4, (8,)), rank=2)
        >>> learner = Learner(nets.Classifier(backbone, nets.GrowingHead(8)), LoRA())
        >>> for task in range(3):
        ...     step = learner.observe(Batch(torch.eye(4), torch.tensor([0, 1, 0, 1]), task=task))
        >>> len(backbone.layers[0].a)
        3
    """

    needs = Needs(architecture="lora")
    kind = LoRALayer

    def __init__(self, route: Route = "merged") -> None:
        super().__init__(route)
