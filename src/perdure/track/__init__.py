"""Runs sent to MLflow or TensorBoard, where the extra `track` is installed and somebody asks.

    tracker = opened("mlflow")                       # mlflow.db and mlartifacts/ here
    tracker = opened("mlflow:https://tracking.example")
    tracker = opened("tensorboard:runs/board")
    tracker.send(run)                                # False: it was there already

A run is sent once it is over and in one go, so that sending it again, after a failure or a crash,
is safe. No row of data is sent, and nothing that is pickled.
"""

from perdure.track.run import Metric, Model, Run, Tracker
from perdure.track.trackers import Guarded, opened

__all__ = ["Guarded", "Metric", "Model", "Run", "Tracker", "opened"]
