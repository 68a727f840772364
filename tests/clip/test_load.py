"""Backbones by name, checkpoints in the true format, and everything that can be wrong with them."""

import json
import math

import open_clip
import pytest
import torch
from safetensors.torch import save_file

from fedbench.clip import load, resolve
from fedbench.clip.checkpoints import openai_config
from fedbench.clip.load import skeleton
from fedbench.clip.model import FrozenCLIP
from fedbench.clip.protocol import Preprocess
from fedbench.errors import FedbenchError
from tests.helpers.tinyclip import golden_clip

SMALL = "ViT-S-32-alt"  # the smallest plain ViT CLIP that open_clip knows


@pytest.fixture(scope="module")
def small_model():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return open_clip.create_model(SMALL, pretrained=None).eval()


def saved(path, state, metadata=None):
    if path.suffix == ".safetensors":
        save_file({k: v.contiguous() for k, v in state.items()}, path, metadata=metadata)
    else:
        torch.save(state, path)
    return path


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_a_checkpoint_file_gives_open_clips_features(tmp_path, small_model, suffix):
    path = saved(tmp_path / f"weights{suffix}", small_model.state_dict())
    clip = load(f"{SMALL}:{path}")
    pixels = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(
            clip.encode_image(pixels), small_model.encode_image(pixels), atol=1e-5, rtol=0
        )
    assert clip.label == ""


def test_the_configuration_knows_a_file_by_its_content(tmp_path, small_model):
    a = saved(tmp_path / "a.safetensors", small_model.state_dict())
    b = saved(tmp_path / "b.safetensors", small_model.state_dict())
    (name, path), (other, _) = resolve(f"{SMALL}:{a}"), resolve(f"{SMALL}:{b}")
    assert name == other
    assert name.startswith(f"{SMALL}:sha256-")
    assert path == a
    assert load(name, checkpoints={name: a}).name == name


def test_fp16_and_nested_state_dicts_load(tmp_path, small_model):
    state = {f"module.{k}": v.half() for k, v in small_model.state_dict().items()}
    clip = load(f"{SMALL}:{saved(tmp_path / 'w.pt', {'state_dict': state, 'epoch': 3})}")
    assert clip.model.visual.proj.dtype == torch.float32


@pytest.mark.parametrize(
    ("mark", "model", "right"),
    [
        ("openai keys", "ViT-B-32", "ViT-B-32-quickgelu:"),
        ("metadata", "ViT-B-32", "ViT-B-32-quickgelu:"),
        ("config beside", "ViT-B-32-quickgelu", "use ViT-B-32:"),
    ],
)
def test_a_quickgelu_mismatch_is_an_error_that_names_the_right_model(tmp_path, mark, model, right):
    path, state = tmp_path / "w.safetensors", {"logit_scale": torch.zeros(())}
    if mark == "openai keys":
        path = tmp_path / "w.pt"
        state |= {
            "input_resolution": torch.tensor(224),
            "context_length": torch.tensor(77),
            "vocab_size": torch.tensor(49408),
        }
    if mark == "config beside":
        (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": {"quick_gelu": False}}))
    saved(path, state, {"quick_gelu": "true"} if mark == "metadata" else None)
    with pytest.raises(FedbenchError, match="QuickGELU mismatch") as error:
        load(f"{model}:{path}")
    assert right in str(error.value)


def test_a_tag_whose_weights_want_gelu_is_refused_for_a_quickgelu_model():
    with pytest.raises(
        FedbenchError, match="trained with GELU, the model says QuickGELU; use ViT-B-16:laion400m_e32"
    ):
        resolve("ViT-B-16-quickgelu:laion400m_e32")


def test_openai_tags_get_quickgelu_whatever_the_models_name(monkeypatch):
    asked = {}

    def create(name, **settings):
        asked.update(settings, name=name)
        raise RuntimeError("no network")

    monkeypatch.setattr(open_clip, "create_model", create)
    with pytest.raises(FedbenchError, match=r"could not be fetched.*ViT-B-16:PATH"):
        load("ViT-B-16:openai")
    assert asked["force_quick_gelu"] is True


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ViT-B16:openai", r"unknown backbone 'ViT-B16'; did you mean ViT-B-16"),
        ("ViT-B-16:opnai", r"unknown weights of ViT-B-16 'opnai'; did you mean openai"),
        ("ViT-B-16", r"names no weights: write ViT-B-16:TAG"),
        ("ViT-B-16:/nowhere/weights.pt", r"no such file"),
        ("tinny", r"unknown backbone 'tinny'; did you mean tiny"),
    ],
)
def test_wrong_names(name, message):
    with pytest.raises(FedbenchError, match=message):
        resolve(name)


def test_damaged_and_unfitting_checkpoints(tmp_path, small_model):
    path = saved(tmp_path / "w.safetensors", small_model.state_dict())
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(FedbenchError, match="cannot be read"):
        load(f"{SMALL}:{path}")
    with pytest.raises(FedbenchError, match=r"does not fit the model.*missing"):
        load(f"{SMALL}:{saved(tmp_path / 'v.safetensors', {'logit_scale': torch.zeros(())})}")
    with pytest.raises(FedbenchError, match="cannot be read"):
        load(f"{SMALL}:{saved(tmp_path / 'x.pt', {'a': print})}")  # code in a pickle is not run


def test_random_weights_are_the_same_each_time_and_leave_the_global_stream_alone():
    before = torch.get_rng_state()
    a = load("ViT-S-32-alt:random")
    assert torch.equal(before, torch.get_rng_state())
    assert a.weights_hash == load("ViT-S-32-alt:random").weights_hash
    assert a.label == "untrained"


def test_resnets_serve_through_open_clips_own_encoder():
    with torch.random.fork_rng(devices=[]):
        model = open_clip.CLIP(
            embed_dim=32,
            vision_cfg={
                "layers": [1, 1, 1, 1],
                "width": 16,
                "head_width": 16,
                "image_size": 64,
                "patch_size": None,
            },
            text_cfg={"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
        )
    size = Preprocess(64, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    clip = FrozenCLIP(model, open_clip.SimpleTokenizer(), name="RN-test", preprocess=size)
    pixels = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(clip.encode_image(pixels), model.encode_image(pixels))
    assert clip.image is None


def test_text_encoders_that_are_not_clips_are_refused():
    class Wrong(torch.nn.Module):
        attn_mask = None
        text_pool_type = "last"

        def __init__(self):
            super().__init__()
            self.logit_scale = torch.nn.Parameter(torch.zeros(()))

    with pytest.raises(FedbenchError, match="not CLIP's causal transformer"):
        FrozenCLIP(Wrong(), None, name="SigLIP", preprocess=Preprocess(32, (0, 0, 0), (1, 1, 1)))


def test_sizes_are_read_off_an_openai_state_dict():
    clip = golden_clip("federated")
    assert openai_config(clip.model.state_dict())["vision_cfg"] == {
        "layers": 5,
        "width": 64,
        "head_width": 64,
        "patch_size": 16,
        "image_size": 32,
    }


def test_a_skeleton_has_true_sizes_and_no_weights():
    before = torch.random.get_rng_state()
    clip = skeleton("ViT-B-16")
    assert (clip.embed_dim, clip.text.width, clip.image.width) == (512, 512, 768)
    assert (len(clip.text.blocks), len(clip.image.blocks), clip.preprocess.size) == (12, 12, 224)
    assert all(x.is_meta for x in clip.model.state_dict().values())
    assert clip.weights_hash == ""
    assert math.isnan(clip.logit_scale)
    assert clip.text.tokenize("a photo") == [320, 1125]
    assert torch.equal(before, torch.random.get_rng_state())
    with pytest.raises((NotImplementedError, RuntimeError)):  # a value is asked for, and there is none
        clip.encode_image(torch.zeros(1, 3, 224, 224, device="meta")).cpu()


def test_a_skeleton_of_another_architecture_has_no_image_tower():
    clip = skeleton("RN50")
    assert clip.image is None
    assert clip.embed_dim == 1024


def test_a_skeleton_of_an_unknown_model_names_the_nearest():
    with pytest.raises(FedbenchError, match="unknown model of open_clip 'ViT-B-61'; did you mean ViT-B-16"):
        skeleton("ViT-B-61")
