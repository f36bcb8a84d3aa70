"""What a row of a project is: checked when it comes in, bytes in the log, a tensor to the model."""

from perdure.live.schema.column import Column
from perdure.live.schema.fields import Fields
from perdure.live.schema.labels import class_name
from perdure.live.schema.schema import Schema

__all__ = ["Column", "Fields", "Schema", "class_name"]
