"""A grid: what the user asked for, before it becomes cells."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, field_validator

from fedbench.config import RunConfig, Training

_RUN = RunConfig.model_fields


class GridConfig(Training):
    """A named grid: the product of methods, datasets, shots and seeds under one protocol.

    The knobs of `Training` are the same for all cells; two of them may be left to each cell (`batch_size`,
    `precision`), which is why their types are wider here.

    A suite file holds these keys, and each has its flag (`local_epochs` is `--local-epochs`). Types are
    strict: `rounds = "10"` or `rounds = true` is refused. A single value stands for a list of one.

    In `set` and `split_options`, a list where one value belongs makes a cell for each: `target = ["amazon",
    "dslr"]`. `[split_options.DATASET]` holds options for that dataset alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str = Field(default="run", description="Of the result store: `results/NAME`.")
    methods: tuple[str, ...] = Field(default=(), description="See `bench list methods`.")
    datasets: tuple[str, ...] = Field(default=(), description="See `bench list datasets`; or folder:PATH.")
    split: str = Field(default=_RUN["split"].default, description="See `bench list splits`.")
    split_options: dict[str, Any] = Field(default={}, description="Options of the split.")
    shots: tuple[int, ...] = Field(
        default=(), description="Training images of a class; several make a cell for each."
    )
    seeds: tuple[int, ...] = Field(default=(1, 2, 3), description="One cell for each.")
    backbone: str = Field(
        default=_RUN["backbone"].default,
        description="See `bench list backbones`; or MODEL:TAG, MODEL:PATH, MODEL:random.",
    )
    batch_size: Annotated[int, Field(ge=1)] | Literal["shots"] = Field(  # type: ignore[assignment]
        default=_RUN["batch_size"].default,
        description="Images in one local step; 'shots': as many as the split's shots, in each cell.",
    )
    precision: Literal["auto", "float32", "bf16"] = Field(  # type: ignore[assignment]
        default="auto", description="Of the frozen towers; auto: bf16 on CUDA, float32 on a CPU."
    )
    quirks: tuple[str, ...] = Field(
        default=(),
        description="Released behaviours to switch on: QUIRK wherever it exists, or OWNER:QUIRK, where owners are "
        "methods, the split, data sets and 'engine'; see `bench list quirks`.",
    )
    released_quirks: tuple[str, ...] = Field(
        default=(), description="Further quirks, of the code behind a published table: wherever they exist."
    )
    released: bool = Field(
        default=False, description="Switch on the quirks of the released code behind the suite's table."
    )
    plugins: tuple[str, ...] = Field(
        default=(),
        description="Python files that register the suite's own methods, data sets or splits, beside the suite.",
    )
    set: dict[str, Any] = Field(default={}, description="KEY, METHOD.KEY or SPLIT.KEY to a value.")

    @field_validator(
        "methods", "datasets", "shots", "seeds", "quirks", "released_quirks", "plugins", mode="before"
    )
    @classmethod
    def _as_tuple(cls, value: Any) -> Any:
        """Lists (TOML has no tuples) and single values become tuples; repeated entries count once."""
        values = value if isinstance(value, list | tuple) else (value,)
        try:
            return tuple(dict.fromkeys(values))
        except TypeError:  # unhashable entries: the field's own type check names them
            return tuple(values)

    @field_validator("seeds")
    @classmethod
    def _seeds_from_zero(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if any(seed < 0 for seed in value):
            raise ValueError("seeds are 0 or more")
        return value

    @field_validator("set", mode="before")
    @classmethod
    def _flat(cls, value: Any) -> Any:
        """TOML reads the unquoted key `FedPGP.mu = 1` as a table in a table; here it is "FedPGP.mu" again."""
        if not isinstance(value, dict):
            return value
        flat: dict[str, Any] = {}
        for key, entry in value.items():
            flat |= {f"{key}.{k}": v for k, v in entry.items()} if isinstance(entry, dict) else {key: entry}
        return flat
