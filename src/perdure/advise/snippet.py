"""The first lines of code for a problem."""

from __future__ import annotations

from perdure.advise.architecture import Architecture
from perdure.advise.sample import Sample
from perdure.method import Method
from perdure.scenario import Scenario

TABLES = (".csv", ".parquet")


def snippet(
    scenario: Scenario,
    architecture: Architecture,
    method: Method,
    sample: Sample | None = None,
    *,
    frozen: bool = False,
) -> str:
    """Python that learns with these; from the sample, where that is a table with an order.

    Args:
        scenario: what is known at inference.
        architecture: any but `OTHER`.
        method: what keeps the learner from forgetting.
        sample: what was found in the data.
        frozen: whether the backbone is pretrained and stays as it is.
    """
    imported = f"from perdure.methods import {type(method).__name__}"
    learner = f"learner = Learner(model, {method!r})"
    if sample is None or sample.path.suffix.lower() not in TABLES or _along(sample) is None:
        model = _model(scenario, architecture, "784", "10", frozen)
        head = ["from perdure import Batch, Learner, nets", imported, ""]
        return "\n".join([*head, *model, learner, "", *_loop(scenario)])
    head = [
        "from perdure import Learner, fold, nets",
        imported,
        "from perdure.streams import by_column",
        "from perdure.streams.data import tables",
        "",
    ]
    model = _model(scenario, architecture, "*stream.input_shape", "stream.classes", frozen)
    return "\n".join([*head, *_stream(scenario, sample), *model, learner, "", *_FOLD])


_FOLD = (
    "for position in fold(learner, stream):",
    "    if position.closed:",
    "        print('learned', stream.tasks[position.task].name)",
)


_ADAPTED = {
    Architecture.LORA: ["backbone = nets.lora(nets.MLP(784))  # or your pretrained module"],
    Architecture.PROMPTED: [
        "encoder = nets.Transformer(nets.Patches((1, 28, 28), 7, 64))  # or your pretrained one",
        "backbone = nets.Prompted(encoder)",
    ],
    Architecture.POOL: [
        "encoder = nets.Transformer(nets.Patches((1, 28, 28), 7, 64))  # or your pretrained one",
        "backbone = nets.PromptPool(encoder)",
    ],
}


def _model(
    scenario: Scenario, architecture: Architecture, inputs: str, classes: str, frozen: bool
) -> list[str]:
    if architecture is Architecture.PROGRESSIVE:
        return [f"model = nets.ProgressiveNet({inputs})"]
    if architecture is Architecture.GATED:
        return [f"model = nets.GatedMLP({inputs})"]
    if architecture in _ADAPTED:
        return [
            *_ADAPTED[architecture],
            f"model = nets.Classifier(backbone, nets.{_one_head(scenario)})",
        ]
    frozen = frozen or architecture is Architecture.HEADLESS
    yours = "your pretrained module" if frozen else "any module"
    head = {
        Architecture.FIXED: f"FixedHead(backbone.out_features, {classes})",
        Architecture.GROWING: "GrowingHead(backbone.out_features)",
        Architecture.MULTI_HEAD: "MultiHead(backbone.out_features)",
        Architecture.COSINE: "CosineHead(backbone.out_features)",
        Architecture.CONSOLIDATED: "ConsolidatedHead(backbone.out_features)",
        Architecture.HEADLESS: "NoHead(backbone.out_features)",
    }[architecture]
    return [
        f"backbone = nets.MLP({inputs})  # or {yours} that has out_features",
        *(["backbone.requires_grad_(False)"] if frozen else []),
        f"model = nets.Classifier(backbone, nets.{head})",
    ]


def _one_head(scenario: Scenario) -> str:
    kind = "MultiHead" if scenario.task_at_inference else "GrowingHead"
    return f"{kind}(backbone.out_features)"


def _loop(scenario: Scenario) -> list[str]:
    if not scenario.boundaries:
        return [
            "for x, y in stream:  # (n, ...) and (n,), as they come",
            "    learner.observe(Batch(x, y))",
            "outputs = learner.predict(x)  # (n, classes)",
        ]
    task = ", task" if scenario.task_at_inference else ""
    return [
        "for task, (x, y) in enumerate(tasks):  # (n, ...) and (n,) of each task",
        "    rows = Batch(x, y, task)",
        "    for start in range(0, len(rows), 64):",
        "        learner.observe(rows[start : start + 64])",
        "    learner.consolidate(rows)  # the task ends",
        f"outputs = learner.predict(x{task})  # (n, classes)",
    ]


def _along(sample: Sample) -> str | None:
    """The column that puts the rows in order."""
    columns = sample.columns
    return columns.task or columns.time or columns.source


def _stream(scenario: Scenario, sample: Sample) -> list[str]:
    columns = sample.columns.named()
    label = columns.pop("label")
    keep = [*columns.values(), *sample.aside]
    along = _along(sample)
    pieces = ", tasks=5" if along == sample.columns.time else ""
    return [
        f"data = tables({str(sample.path)!r}, {label!r}, keep={keep})",
        f"stream = by_column(data, {along!r}{pieces}, scenario={scenario.value!r})",
    ]
