"""Checkpoints of the released layout: read, converted to a pipeline's folder, written.

Read `names` for the table of keys, `released` for models in memory, then `folder`: a checkpoint of
any size becomes a folder for `from_pretrained`, tensor by tensor (`reading`, `writing`).
"""

from starflow_v.checkpoints.released import convert_released, export_released

__all__ = ["convert_released", "export_released"]
