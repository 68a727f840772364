"""fedbench: the referee for federated adaptation of vision-language models."""

__version__ = "0.1.0"
