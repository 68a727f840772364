"""Methods as a golden file describes them: hyper-parameters from its `hparams_json`, sizes from its tensors."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch

from fedbench.clip import FrozenCLIP
from fedbench.errors import FedbenchError
from fedbench.method import Method, Tensors
from fedbench.official import Variant
from fedbench.parity.golden import GoldenFile
from fedbench.parity.names import official, official_name

Shapes = dict[str, tuple[int, ...]]
"""Shapes of tensors by the authors' names, which may end in `[i]` or hold a `{}`."""


@dataclass(frozen=True)
class Built:
    """A method, and where its hyper-parameters are from.

    Attributes:
        assumed: those that the file does not tell, which are the method's own.
        overruled: sizes that the file states and its tensors contradict, as stated.
    """

    method: Method
    assumed: dict[str, Any]
    overruled: dict[str, Any]


def build(file: GoldenFile, cls: type[Method], clip: FrozenCLIP, variant: Variant) -> Built:
    """The method with the file's label space, hyper-parameters and sizes.

    Raises:
        FedbenchError: no label space, or an impossible hyper-parameter.
    """
    stated = _stated(file, cls, variant)
    unstated = [field for field in cls.Hyper.model_fields if field not in stated]
    classnames, shapes = file.classnames, _file_shapes(file, cls)

    def make(**sizes: int) -> Method:
        return cls(clip, classnames, hyper=stated | sizes, quirks=variant.quirks)

    sizes = _sizes(make, shapes, unstated)
    method, corrected = make(**sizes), {}
    if not _fits(method, shapes):
        corrected = _sizes(lambda **tried: make(**(sizes | tried)), shapes, stated)
        method = make(**(sizes | corrected))
    return Built(
        method,
        assumed={field: getattr(method.hyper, field) for field in unstated if field not in sizes},
        overruled={field: stated[field] for field, size in corrected.items() if stated[field] != size},
    )


def ignored(file: GoldenFile, cls: type[Method]) -> list[str]:
    """What the file states and the method has no hyper-parameter for."""
    ours = official(cls).hyper
    return [
        key for key in file.hparams if key != "method" and ours.get(key, key) not in cls.Hyper.model_fields
    ]


def start(file: GoldenFile, method: Method) -> Tensors:
    """The common start of training.

    Raises:
        FedbenchError: the file lacks one of the method's tensors, or has it in another size.
    """
    found = tensors(file, method, "init/")
    for name in own_tensors(method):
        if name not in found:
            raise FedbenchError(f"no init/{official_name(type(method), name)[0]}")
    return found


def tensors(file: GoldenFile, method: Method, prefix: str) -> Tensors:
    """The method's tensors as the file has them under `prefix`, in our shapes; those it has.

    Raises:
        FedbenchError: a tensor of another size than the method's.
    """
    found: Tensors = {}
    own = own_tensors(method)
    for theirs, names in _sharing(method).items():
        stacked = "{}" in theirs
        like = torch.cat([own[name] for name in names]) if stacked else own[names[0]]
        value = file.recorded(prefix, theirs)
        if value is None:
            if like.numel():
                continue
            value = like  # a stack of none has no numbered tensors
        if _as_ours(value.shape, like.ndim) != like.shape:
            raise FedbenchError(
                f"{prefix}{theirs} is {tuple(value.shape)}, {method.name} has {tuple(like.shape)} on this CLIP"
            )
        value = value.reshape(like.shape)
        parts = value.split([len(own[name]) for name in names]) if stacked else [value]
        found |= dict(zip(names, parts, strict=True))
    return found


def own_tensors(method: Method) -> Tensors:
    """The method's tensors, of which only names and shapes matter here."""
    return method.init(torch.Generator())


def _stated(file: GoldenFile, cls: type[Method], variant: Variant) -> dict[str, Any]:
    """The hyper-parameters that the file or its variant gives, under our names."""
    fields, ours = cls.Hyper.model_fields, official(cls).hyper
    hyper = {ours.get(key, key): value for key, value in file.hparams.items()}
    hyper = {field: value for field, value in hyper.items() if field in fields}
    # the authors' None for a text is no text; any other None is nothing stated
    hyper |= {k: "" for k, v in hyper.items() if v is None and fields[k].annotation is str}
    hyper = {k: v for k, v in hyper.items() if v is not None}
    return hyper | dict(variant.hyper) | {k: str(file.array(key)) for k, key in variant.read.items()}


def _sizes(make: Callable[..., Method], shapes: Shapes, fields: Iterable[str]) -> dict[str, int]:
    """Values of those fields that are sizes, with which the method's tensors have the file's shapes.

    No list says which hyper-parameters are sizes. One is if an axis of a tensor differs between the methods made with
    1 and with 2 in its place, and the two give the line on which its value for the file's axis lies. A field stays out
    where axes contradict each other, or where an axis also depends on another of the fields.
    """
    answers: dict[tuple[str, int], dict[str, float]] = {}
    for field in fields:
        try:
            one, two = (_shapes(make(**{field: value})) for value in (1, 2))
        except (
            Exception
        ):  # no whole number, or none that this method can be made with: not to be told by trying
            continue
        for theirs in one.keys() & two.keys() & shapes.keys():
            there = _as_ours(shapes[theirs], len(one[theirs]))
            for axis, (a, b, size) in enumerate(zip(one[theirs], two[theirs], there, strict=False)):
                if a != b and len(there) == len(one[theirs]):
                    answers.setdefault((theirs, axis), {})[field] = 1 + (size - a) / (b - a)
    values: dict[str, set[float]] = {}
    for by_field in answers.values():
        for field, value in by_field.items():
            values.setdefault(field, set()).add(value if len(by_field) == 1 else float("nan"))
    return {
        field: int(value)
        for field, (value, *others) in values.items()
        if not others and float(value).is_integer()
    }


def _fits(method: Method, shapes: Shapes) -> bool:
    own = _shapes(method)
    return all(_as_ours(shapes[key], len(own[key])) == own[key] for key in shapes.keys() & own.keys())


def _shapes(method: Method) -> Shapes:
    """Shapes of the method's tensors; stacks that share a name are one."""
    own = own_tensors(method)
    return {
        theirs: (sum(len(own[name]) for name in names), *own[names[0]].shape[1:])
        if "{}" in theirs
        else tuple(own[names[0]].shape)
        for theirs, names in _sharing(method).items()
    }


def _file_shapes(file: GoldenFile, cls: type[Method]) -> Shapes:
    """Shapes of the start, of what the file has of it."""
    found = {theirs: file.recorded("init/", theirs) for theirs in official(cls).tensors.values()}
    return {theirs: tuple(x.shape) for theirs, x in found.items() if x is not None}


def _sharing(method: Method) -> dict[str, list[str]]:
    """The authors' names to our tensors, of which several may be one stack of theirs."""
    sharing: dict[str, list[str]] = {}
    for name in own_tensors(method):
        official_name(type(method), name)  # says what is missing where it is not declared
        sharing.setdefault(official(type(method)).tensors[name], []).append(name)
    return sharing


def _as_ours(shape: Iterable[int], axes: int) -> tuple[int, ...]:
    """A shape with as many axes as ours has, as far as leading axes of length 1 allow."""
    shape = tuple(shape)
    while len(shape) > axes and shape[0] == 1:
        shape = shape[1:]
    return (1,) * (axes - len(shape)) + shape
