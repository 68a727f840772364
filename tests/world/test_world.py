"""The built-in world: what pretraining never sees, that drawing is pure, that `tiny` is what it says."""

import hashlib
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from safetensors import safe_open

from fedbench.errors import FedbenchError
from fedbench.world import CLASSNAMES, DOMAINS, render, render_benchmark
from fedbench.world import captions as world
from fedbench.world.backbone import PATH, SHA256, VOCABULARY_SIZE, tiny_config, tiny_state_dict
from fedbench.world.vocabulary import BENCHMARK, COLOURS, PATTERNS, PRETRAINING, SHAPES, generator, parse

WORDS = frozenset((*PATTERNS, *COLOURS, *SHAPES))
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def words_of(text: str) -> set[str]:
    return set(text.lower().replace(".", " ").replace(",", " ").split())


def assert_no_class_in(text: str) -> None:
    present = words_of(text) & WORDS
    assert not any(set(attributes) <= present for attributes in BENCHMARK), text


# --- classes ---


def test_forty_distinct_classes_of_three_words_each() -> None:
    assert len(set(CLASSNAMES)) == len(CLASSNAMES) == 40
    assert all(parse(name).name == name for name in CLASSNAMES)
    assert len(PRETRAINING) == 360
    assert not set(PRETRAINING) & set(BENCHMARK)


def test_class_order_is_fixed() -> None:
    # a change here invalidates the shipped weights (other classes were kept out) and all published figures
    with safe_open(PATH, framework="pt") as file:
        assert json.loads(file.metadata()["fedbench"])["classes"] == list(CLASSNAMES)
    assert CLASSNAMES[0] == "checkered purple triangle"
    assert CLASSNAMES[-1] == "dotted yellow moon"


@pytest.mark.parametrize(("position", "options"), [(0, PATTERNS), (1, COLOURS), (2, SHAPES)])
def test_base_and_novel_are_balanced(position: int, options: tuple[str, ...]) -> None:
    for half in (BENCHMARK[:20], BENCHMARK[20:]):
        counts = Counter(attributes[position] for attributes in half)
        assert set(counts) == set(options)
        assert max(counts.values()) - min(counts.values()) <= 1


def test_each_word_and_each_pair_of_a_class_is_captioned_in_other_combinations() -> None:
    pairs = {pair for a in PRETRAINING for pair in ((a[0], a[1]), (a[0], a[2]), (a[1], a[2]))}
    for a in BENCHMARK:
        assert {(a[0], a[1]), (a[0], a[2]), (a[1], a[2])} <= pairs


def test_names_are_tokenised_by_clips_own_tokenizer() -> None:
    tokenizer = open_clip.SimpleTokenizer()
    encoded = [tuple(tokenizer.encode(name)) for name in CLASSNAMES]
    assert len(set(encoded)) == 40
    assert [tokenizer.decode(ids).strip() for ids in encoded] == list(CLASSNAMES)


# --- captions ---


def test_no_template_or_filler_says_an_attribute() -> None:
    frames = [*world.TEMPLATES, *(frame for group in world.TRAIT_TEMPLATES.values() for frame in group)]
    for text in (*frames, *world.FILLERS, *world._WITHOUT_SHAPE):
        assert not words_of(text) & WORDS, text


def test_no_possible_caption_names_a_benchmark_class() -> None:
    """Every phrase of every pretraining combination in every template; fillers add no attribute word."""
    frames = [*world.TEMPLATES, *(frame for group in world.TRAIT_TEMPLATES.values() for frame in group)]
    for attributes in PRETRAINING:
        for phrase in world.phrases(attributes):
            assert words_of(phrase) & WORDS <= set(attributes)
            for frame in frames:
                assert_no_class_in(frame.format(phrase))


def test_no_caption_of_a_large_sample_names_a_benchmark_class() -> None:
    rng = generator("tests/world/captions")
    traits = frozenset(world.TRAIT_TEMPLATES)
    seen: set[str] = set()
    for i in range(50_000):
        caption = world.caption(PRETRAINING[i % len(PRETRAINING)], traits, rng)
        assert_no_class_in(caption.text)
        seen |= words_of(caption.text)
    assert seen >= WORDS  # all words of all classes are captioned


def test_pretraining_pairs_are_pure_and_say_what_is_true() -> None:
    for index in range(200):
        pair, again = world.pretraining_pair(index), world.pretraining_pair(index)
        assert pair.image.tobytes() == again.image.tobytes()
        assert pair.caption == again.caption
        assert pair.attributes in PRETRAINING
        assert pair.caption.claims <= {*pair.attributes, *pair.traits}
        assert words_of(pair.caption.text) & WORDS == pair.caption.claims & WORDS


# --- drawing ---

DIGEST = """
import hashlib
from fedbench.world import CLASSNAMES, DOMAINS, render_benchmark
data = b"".join(render_benchmark(n, d, "test", 3).tobytes() for n in CLASSNAMES for d in DOMAINS)
print(hashlib.sha256(data).hexdigest())
"""


def test_another_process_draws_the_same_bytes() -> None:
    order = [(name, domain) for name in CLASSNAMES for domain in DOMAINS]
    drawn = {
        key: render_benchmark(*key, "test", 3).tobytes() for key in reversed(order)
    }  # another order, too
    here = hashlib.sha256(b"".join(drawn[key] for key in order)).hexdigest()
    there = subprocess.run([sys.executable, "-c", DIGEST], capture_output=True, text=True, check=True)
    assert there.stdout.strip() == here


def test_drawing_leaves_global_random_state_alone() -> None:
    before = np.random.get_state(legacy=False)["state"]["key"].copy()
    render_benchmark(CLASSNAMES[0], "photo", "train", 0)
    assert (np.random.get_state(legacy=False)["state"]["key"] == before).all()


def test_each_argument_changes_the_image() -> None:
    name, other = CLASSNAMES[:2]
    calls = [
        (name, "photo", "train", 0), (other, "photo", "train", 0), (name, "photo", "test", 0),
        (name, "photo", "train", 1), *((name, domain, "train", 0) for domain in DOMAINS if domain != "photo"),
    ]  # fmt: skip
    images = [render_benchmark(*call) for call in calls]
    assert len({image.tobytes() for image in images}) == len(calls) == 7
    assert all(image.size == (48, 48) and image.mode == "RGB" for image in images)


def test_domains_differ_as_their_names_say() -> None:
    pixels = {
        domain: np.stack(
            [np.asarray(render_benchmark(n, domain, "test", i)) for n in CLASSNAMES for i in range(3)]
        )
        for domain in DOMAINS
    }
    mean = {domain: images.mean() for domain, images in pixels.items()}
    assert mean["negative"] > mean["photo"] + 15  # photos are on the dark side
    assert mean["sketch"] > mean["photo"] + 15  # on paper
    flatness = {d: (np.diff(images.astype(int), axis=2) == 0).mean() for d, images in pixels.items()}
    assert flatness["flat"] > 0.6 > 0.3 > flatness["photo"]  # no texture


@pytest.mark.parametrize(
    ("name", "domain", "part", "index", "error"),
    [
        ("striped red elephant", "photo", "test", 0, KeyError),
        (PRETRAINING[0].name, "photo", "test", 0, KeyError),
        (CLASSNAMES[0], "oil", "test", 0, ValueError),
        (CLASSNAMES[0], "photo", "dev", 0, ValueError),
        (CLASSNAMES[0], "photo", "test", -1, ValueError),
    ],
)
def test_bad_arguments_are_refused(
    name: str, domain: str, part: str, index: int, error: type[Exception]
) -> None:
    with pytest.raises(error):
        render_benchmark(name, domain, part, index)


def test_any_combination_can_be_rendered_at_any_size() -> None:
    assert render(PRETRAINING[0].name, seed_key="a", size=17, difficulty=0.0).size == (17, 17)


# --- the backbone ---


@pytest.fixture(scope="module")
def tiny() -> open_clip.CLIP:
    model = open_clip.CLIP(**tiny_config())
    model.load_state_dict(tiny_state_dict(), strict=True)
    return model.eval()


def test_weights_are_the_shipped_ones_and_small() -> None:
    data = PATH.read_bytes()
    assert hashlib.sha256(data).hexdigest() == SHA256
    assert len(data) <= 8_000_000


def test_state_dict_is_float32_finite_and_the_same_twice() -> None:
    state, again = tiny_state_dict(), tiny_state_dict()
    assert all(t.dtype == torch.float32 and t.isfinite().all() for t in state.values())
    assert all(torch.equal(t, again[name]) for name, t in state.items())


def test_unknown_words_have_distinct_rows_of_the_usual_spread() -> None:
    table = tiny_state_dict()["token_embedding.weight"]
    assert table.shape == (VOCABULARY_SIZE, 128)
    assert len(torch.unique(table, dim=0)) == VOCABULARY_SIZE
    tokenizer = open_clip.SimpleTokenizer()
    unknown, known = (
        table[tokenizer.encode(text)] for text in ("accordion garfield umbrella", "star red heart")
    )
    assert 0.3 < unknown.std() / known.std() < 3


@pytest.mark.parametrize("damage", ["flip", "cut", "missing"])
def test_damaged_weights_are_refused_in_one_line(tmp_path: Path, damage: str) -> None:
    path, data = tmp_path / "tiny.safetensors", bytearray(PATH.read_bytes())
    if damage == "flip":
        data[len(data) // 2] ^= 1
    if damage != "missing":
        path.write_bytes(data[: len(data) // 2] if damage == "cut" else data)
    with pytest.raises(FedbenchError, match="tiny") as caught:
        tiny_state_dict(path)
    assert "\n" not in str(caught.value)


def benchmark_pixels(domain: str, per_class: int) -> torch.Tensor:
    images = [
        np.asarray(render_benchmark(name, domain, "test", i).resize((32, 32), 3))
        for name in CLASSNAMES for i in range(per_class)
    ]  # fmt: skip
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
    return (pixels - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]


@pytest.mark.parametrize(
    ("domain", "low", "high"), [("photo", 60, 82), ("sketch", 55, 85), ("negative", 45, 70), ("flat", 60, 85)]
)
def test_zero_shot_is_well_above_chance_and_below_the_ceiling(
    tiny: open_clip.CLIP, domain: str, low: float, high: float
) -> None:
    """Chance is 5 % among 20 classes."""
    tokens = open_clip.tokenize([f"a photo of a {name}." for name in CLASSNAMES])
    labels = torch.arange(40).repeat_interleave(20)
    with torch.no_grad():
        text = tiny.encode_text(tokens, normalize=True)
        images = tiny.encode_image(benchmark_pixels(domain, 20), normalize=True)
    for half in (slice(0, 20), slice(20, 40)):
        chosen = (labels >= half.start) & (labels < half.stop)
        guess = (images[chosen] @ text[half].T).argmax(1) + half.start
        accuracy = 100 * (guess == labels[chosen]).float().mean().item()
        assert low < accuracy < high
