"""Our numbers for `aggregation.npz`: the methods' own server's step on recorded uploads.

The step takes tensors of any size, so nothing here depends on the sizes with which a method would train.
"""

import re
from dataclasses import replace

import torch
from torch import Tensor

from fedbench.clip import FrozenCLIP
from fedbench.errors import FedbenchError
from fedbench.method import Method
from fedbench.official import Variant
from fedbench.parity.build import own_tensors
from fedbench.parity.compare import Numbers
from fedbench.parity.golden import GoldenFile
from fedbench.parity.names import named, official, official_name


def rules(file: GoldenFile, cls: type[Method]) -> dict[str, Variant]:
    """The file's rules that the method declares, to switches; a number in a rule's name is a hyper-parameter."""
    recorded = dict.fromkeys(key.split("/")[1] for key in file.arrays if key.count("/") >= 2)
    found = {}
    for declared, variant in official(cls).aggregation.items():
        pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>\\d+(?:\\.\\d+)?)", re.escape(declared))
        for rule in recorded:
            if match := re.fullmatch(pattern, rule):
                read = {hyper: float(value) for hyper, value in match.groupdict().items()}
                found[rule] = replace(variant, hyper=dict(variant.hyper) | read)
    return found


def averages(file: GoldenFile, clip: FrozenCLIP, cls: type[Method], rule: str, variant: Variant) -> Numbers:
    """The server's step by one rule, on each recorded choice of users.

    Raises:
        FedbenchError: an upload, the server's former tensor or a list of users is missing or does not fit.
    """
    method, ours = _method(cls, clip, variant), Numbers()
    for tag in dict.fromkeys(key.split("/")[0] for key in file.arrays if key.split("/")[1:2] == [rule]):
        names = [key.split("/", 2)[2] for key in file.arrays if key.startswith(f"{tag}/{rule}/")]
        users = _users(file, tag)
        previous, uploads = {}, {}
        for name in names:
            stack = file.stack([f"prev_global/{name}", *(f"in/client{user}/{name}" for user in users)])
            previous[name], uploads[name] = stack[0], stack[1:]
        counts = file.counts[users]
        results = {rule: method.aggregate(uploads, counts, previous, round_=1)}
        results |= method.probe_aggregate(uploads, counts, previous)
        ours |= {f"{tag}/{key}/{n}": x.numpy() for key, found in results.items() for n, x in found.items()}
    return ours


def _users(file: GoldenFile, tag: str) -> list[int]:
    users, clients = file.whole_numbers(f"{tag}/users").tolist(), len(file.counts)
    if not all(user in range(clients) for user in users):
        raise FedbenchError(f"{tag}/users is {users}, and counts is of {clients} clients")
    return users


def personal_parts(file: GoldenFile, clip: FrozenCLIP, cls: type[Method], stem: str) -> Numbers:
    """The server's step on whole clients, of which only the shared tensors are averaged.

    Raises:
        FedbenchError: a client or one of its tensors is missing, or clients differ in size.
    """
    method, clients = _method(cls, clip, Variant()), range(len(file.counts))
    for key in file.arrays:
        if (match := re.match(rf"{re.escape(stem)}/in/client(\d+)/", key)) and int(match[1]) not in clients:
            raise FedbenchError(f"counts is of {len(clients)} clients, and there is {key}")
    models = [_client(file, method, f"{stem}/in/client{k}/") for k in clients]
    uploads = {}
    for name in method.shared:
        if len({model[name].shape for model in models}) > 1:
            raise FedbenchError(f"{stem}/in: clients differ in the size of {official_name(cls, name)[0]}")
        uploads[name] = torch.stack([model[name] for model in models])
    server = method.aggregate(uploads, file.counts, {}, round_=0)
    ours: Numbers = {}
    for k in clients:
        if not any(key.startswith(f"{stem}/out/client{k}/") for key in file.arrays):
            raise FedbenchError(f"no {stem}/out/client{k}/…")
        whole = {name: x[None] for name, x in (models[k] | server).items()}
        ours |= named(cls, f"{stem}/out/client{k}", whole)
    return ours


def _method(cls: type[Method], clip: FrozenCLIP, variant: Variant) -> Method:
    """Any label space will do: the server's step knows no classes."""
    return cls(clip, ["a", "b"], hyper=variant.hyper, quirks=variant.quirks)


def _client(file: GoldenFile, method: Method, prefix: str) -> dict[str, Tensor]:
    """One client's tensors in the file's shapes."""
    found = {}
    for name in own_tensors(method):
        value = file.recorded(prefix, official(type(method)).tensors[name])
        if value is None:
            raise FedbenchError(f"no {prefix}{official_name(type(method), name)[0]}")
        found[name] = value
    return found
