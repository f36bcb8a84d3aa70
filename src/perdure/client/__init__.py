"""A client of the live service: predict, send examples and labels, operate.

with Client("http://127.0.0.1:8440", "pdr_...") as client:
    answers = client.predict([[5.1, 3.5, 1.4, 0.2]])
    client.label({answers[0].id: "setosa"})
"""

from perdure.errors import require

require("httpx", "live")

from perdure.client.answers import Answer, Job, Joined, Moved, Stored, Version
from perdure.client.client import Client
from perdure.client.wire import Refused, Unreachable

__all__ = [
    "Answer",
    "Client",
    "Job",
    "Joined",
    "Moved",
    "Refused",
    "Stored",
    "Unreachable",
    "Version",
]
