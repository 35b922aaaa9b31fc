"""Classes instead of captions: an embedding for each, in the place of the text encoder.

    "7" -> its number -> one vector -> (B, 1, E), a text of length 1

The prompt of a class is its name, and the empty prompt is the *null label*, which training shows in
the place of a share of the labels: it is what guidance leads away from, and alone it makes a
sample of any class. An encoder without classes has nothing but it: the model is unconditional.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from diffusers import ModelMixin
from diffusers.configuration_utils import ConfigMixin, register_to_config
from torch import Tensor, nn


class LabelEncoder(ModelMixin, ConfigMixin):
    """An embedding for each class, and one for none of them.

    Args:
        labels: the names of the classes, in the order of their numbers.
        width: E, width of the embeddings.
    """

    _no_split_modules = ()

    @register_to_config
    def __init__(self, labels: Sequence[str] = (), width: int = 64) -> None:
        super().__init__()
        if len(set(labels)) < len(labels) or "" in labels:
            raise ValueError(f"labels {list(labels)} are not valid: give each class its own name")
        self.embedding = nn.Embedding(len(labels) + 1, width)

    @property
    def labels(self) -> list[str]:
        """The names of the classes."""
        return list(self.config["labels"])

    def numbers(self, labels: Sequence[str | int]) -> Tensor:
        """Names or numbers of classes -> what `forward` takes, (B,); "" is the null label."""
        names = self.labels
        known: dict[str | int, int] = {number: number for number in range(len(names))}
        known |= {name: number for number, name in enumerate([*names, ""])}
        found = [known.get(it) for it in labels]
        for label, number in zip(labels, found, strict=True):
            if number is None:
                told = ", ".join(names) if names else "none: it is unconditional"
                raise ValueError(f"the class {label!r} is not known; this model's are {told}")
        return torch.tensor(found, dtype=torch.long)

    def forward(self, numbers: Tensor) -> Tensor:
        """Numbers of classes (B,) -> embeddings (B, 1, E)."""
        embeddings: Tensor = self.embedding(numbers)[:, None]
        return embeddings


LabelEncoder.__module__ = "starflow_v"
