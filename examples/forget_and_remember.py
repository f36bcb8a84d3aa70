"""Ten digits arrive two at a time: a network forgets them, then remembers. Ten seconds."""

from functools import partial

import torch

from perdure import Learner, Method, Schedule, fold, methods, nets, streams
from perdure.bench import evaluate
from perdure.measure import AccuracyMatrix

torch.set_num_threads(1)  # small models run fastest on one
stream = streams.split("digits", tasks=5, scenario="class")


def learn(*keep: Method) -> AccuracyMatrix:
    torch.manual_seed(0)
    model = nets.Classifier(nets.MLP(64, (100,)), nets.GrowingHead(100))
    learner = Learner(model, *keep, optimizer=partial(torch.optim.Adam, lr=1e-3))
    columns = [
        [evaluate(learner, task.test, stream.scenario) for task in stream]
        for position in fold(learner, stream, Schedule(batch_size=16, epochs=10))
        if position.closed
    ]
    return AccuracyMatrix.from_columns(columns)


print("naive fine-tuning", learn(), sep="\n")
print("a replay memory of 200 rows", learn(methods.ER(capacity=200)), sep="\n")
