"""Streams of tasks, and the data sets that they are built from."""

from perdure.streams.by import by_column
from perdure.streams.corrupted import corrupted
from perdure.streams.data import load
from perdure.streams.dataset import Data
from perdure.streams.encoded import encoded
from perdure.streams.gradual import gradual
from perdure.streams.nic import nic
from perdure.streams.permuted import permuted
from perdure.streams.rotated import rotated
from perdure.streams.rows import Rows
from perdure.streams.split import split
from perdure.streams.stream import Stream, Task
from perdure.streams.texts import text_rows

__all__ = [
    "Data",
    "Rows",
    "Stream",
    "Task",
    "by_column",
    "corrupted",
    "encoded",
    "gradual",
    "load",
    "nic",
    "permuted",
    "rotated",
    "split",
    "text_rows",
]
