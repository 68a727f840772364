"""How a method's authors call things: what `bench parity` needs to compare us with numbers recorded from their code."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Variant:
    """What to switch so that the method does what a golden file recorded.

    Attributes:
        hyper: hyper-parameters of ours.
        read: hyper-parameters of ours that stand in the file: ours to the file's key.
        quirks: released behaviours.
        shows: what stands under the variant's prefix, where it is not everything: "grad/" if only gradients.
    """

    hyper: Mapping[str, Any] = field(default_factory=dict)
    read: Mapping[str, str] = field(default_factory=dict)
    quirks: tuple[str, ...] = ()
    shows: str = ""


@dataclass(frozen=True)
class Official:
    """What the authors' code calls things, so that `bench parity` can compare with its recorded numbers.

    Attributes:
        files: stems of golden files of this method; `federated_<stem>` belongs to it too.
        tensors: our tensor names to theirs; theirs may end in `[i]`, a row of a larger tensor, or have a `{}` where
            they number the tensors that ours is a stack of, or several of ours, one after the other.
        hyper: their hyper-parameter names to ours; equal names need no entry.
        variants: prefixes of keys in the files to switches; "" is the file's main body.
        aggregation: rules in `aggregation.npz` that this method's `aggregate` follows, to switches. Where a rule's name
            there has a number, ours may have the hyper-parameter that it is: "similarity_t{temperature}".
        excluded: files of the method that are not reproduced, with the reason.
        gradients: gradients that the files record with other switches, as `<key>/<tensor>`: the key to the switches.
        noise: results that are rounding noise in the files of a stem: a pattern of their keys, and why.
        prompt_sets: how many times the files list a label space's tokens, one list after the other.
        round_tolerance: largest deviation of a tensor after a recorded round.
    """

    files: tuple[str, ...]
    tensors: Mapping[str, str] = field(default_factory=dict)
    hyper: Mapping[str, str] = field(default_factory=dict)
    variants: Mapping[str, Variant] = field(default_factory=lambda: {"": Variant()})
    aggregation: Mapping[str, Variant] = field(default_factory=dict)
    excluded: Mapping[str, str] = field(default_factory=dict)
    gradients: Mapping[str, Variant] = field(default_factory=dict)
    noise: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    prompt_sets: int = 1
    round_tolerance: float = 5e-7
