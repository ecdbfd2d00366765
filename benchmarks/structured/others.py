"""Architectures of the same libraries outside the comparison, to see whether the engine was tuned to those in it."""

from __future__ import annotations

from typing import Any

import torch
from architecture import CLASSES, Architecture, image, noise, tokens
from torch import Tensor, nn
from zoo import (
    SMALL,
    SequenceToSequence,
    of_timm,
    of_torchvision,
    of_transformers,
    segmentation,
    transformers_model,
    vision,
)


class Field(nn.Module):
    """One output out of a transformers model's record; `reads` names its input."""

    def __init__(self, model: nn.Module, reads: str, field: str) -> None:
        super().__init__()
        self.model, self.reads, self.field = model, reads, field

    def forward(self, x: Tensor) -> Tensor:
        return getattr(self.model(**{self.reads: x}), self.field)


class Speech(nn.Module):
    """Whisper, which reads a spectrogram and tokens."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, spoken: Tensor) -> Tensor:
        return self.model(input_features=x, decoder_input_ids=spoken, use_cache=False).logits


class Flow(nn.Module):
    """RAFT with a single refinement."""

    def __init__(self) -> None:
        super().__init__()
        self.model = vision.optical_flow.raft_small(weights=None)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return self.model(first, second, num_flow_updates=1)[-1]


def _maxvit() -> nn.Module:
    return vision.maxvit.MaxVit(
        input_size=(64, 64),
        stem_channels=32,
        partition_size=2,
        block_channels=[32, 64, 128],
        block_layers=[1, 1, 1],
        head_dim=32,
        stochastic_depth_prob=0.1,
        num_classes=CLASSES,
    )


def _whisper() -> nn.Module:
    sizes = dict.fromkeys(("encoder_layers", "decoder_layers"), 2)
    sizes |= dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), 4)
    sizes |= dict.fromkeys(("encoder_ffn_dim", "decoder_ffn_dim"), 128)
    sizes |= dict.fromkeys(("max_source_positions", "max_target_positions"), 32)
    special = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1}
    settings = {"vocab_size": 100, "num_mel_bins": 16, "d_model": 64, "use_cache": False}
    return Speech(
        transformers_model("WhisperForConditionalGeneration", "WhisperConfig", **settings, **sizes, **special)
    )


def _translator(kind: str, config: str, **settings: Any) -> Architecture:
    sizes: dict[str, Any] = dict.fromkeys(("encoder_layers", "decoder_layers"), 2)
    sizes |= dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), 4)
    sizes |= dict.fromkeys(("encoder_ffn_dim", "decoder_ffn_dim"), 128)
    sizes |= {"vocab_size": 100, "d_model": 64, "max_position_embeddings": 32, "use_cache": False, **settings}
    return Architecture(lambda: SequenceToSequence(transformers_model(kind, config, **sizes)), tokens())


def _encoder(family: str, **settings: Any) -> Architecture:
    kind, config = f"{family}ForSequenceClassification", f"{family}Config"
    settings = {**SMALL, "vocab_size": 100, "num_labels": CLASSES, **settings}
    return of_transformers(kind, tokens(), config, **settings)


def _decoder(family: str, **settings: Any) -> Architecture:
    settings = {**SMALL, "vocab_size": 100, "use_cache": False, "max_position_embeddings": 64, **settings}
    return of_transformers(f"{family}ForCausalLM", tokens(), f"{family}Config", **settings)


def _wave(family: str) -> Architecture:
    layers = {"conv_dim": (32, 32, 32), "conv_stride": (5, 2, 2), "conv_kernel": (10, 3, 3), "vocab_size": CLASSES}
    positions = {"num_feat_extract_layers": 3, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4}
    return of_transformers(f"{family}ForCTC", noise((2, 800)), f"{family}Config", **SMALL, **layers, **positions)


def _images(kind: str, config: str, reads: str, field: str) -> Architecture:
    settings = {**SMALL, "image_size": 64, "patch_size": 16}
    return Architecture(lambda: Field(transformers_model(kind, config, **settings), reads, field), image(64))


_GROUPED_QUERIES = {"num_key_value_heads": 2}

OTHERS: dict[str, Architecture] = {
    "tv.wide_resnet50_2": of_torchvision("wide_resnet50_2", image(64)),
    "tv.resnext101_32x8d": of_torchvision("resnext101_32x8d", image(64)),
    "tv.efficientnet_v2_s": of_torchvision("efficientnet_v2_s", image(64)),
    "tv.shufflenet_v2_x1_5": of_torchvision("shufflenet_v2_x1_5", image(64)),
    "tv.swin_v2_t": of_torchvision("swin_v2_t", image(64)),
    "tv.maxvit": Architecture(_maxvit, image(64)),
    "tv.deeplabv3_resnet50": segmentation("deeplabv3_resnet50", image(64)),
    "tv.r3d_18": Architecture(lambda: vision.video.r3d_18(weights=None, num_classes=CLASSES), noise((2, 3, 4, 32, 32))),
    "tv.raft_small": Architecture(Flow, lambda: (torch.randn(2, 3, 128, 128), torch.randn(2, 3, 128, 128))),
    **{
        f"timm.{name}": of_timm(name, image(64), img_size=64)
        for name in (
            "convit_tiny",
            "cait_xxs24_224",
            "deit3_small_patch16_224",
            "eva02_tiny_patch14_224",
            "mvitv2_tiny",
            "volo_d1_224",
            "twins_svt_small",
            "efficientformerv2_s0",
            "hiera_tiny_224",
            "sequencer2d_s",
            "xcit_nano_12_p16_224",
            "gmlp_s16_224",
            "lambda_resnet26t",
            "maxvit_nano_rw_256",
            "swinv2_tiny_window8_256",
            "swiftformer_xs",
            "vit_tiny_r_s16_p8_224",
        )
    },
    **{
        f"timm.{name}": of_timm(name, image(64))
        for name in (
            "pvt_v2_b0",
            "nfnet_f0",
            "regnetz_b16",
            "gernet_s",
            "tresnet_m",
            "rexnet_100",
            "mobileone_s0",
            "crossvit_tiny_240",
            "focalnet_tiny_srf",
            "davit_tiny",
            "mambaout_femto",
            "repghostnet_050",
            "tiny_vit_5m_224",
            "cs3darknet_s",
            "mixnet_s",
            "caformer_s18",
            "starnet_s1",
        )
    },
    "hf.roberta": _encoder("Roberta", pad_token_id=1),
    "hf.electra": _encoder("Electra", embedding_size=32),
    "hf.albert": _encoder("Albert", embedding_size=32),
    "hf.mobilebert": _encoder("MobileBert", embedding_size=32, intra_bottleneck_size=32),
    "hf.deberta_v2": _encoder(
        "DebertaV2", relative_attention=True, pos_att_type=["c2p", "p2c"], max_position_embeddings=32
    ),
    "hf.convbert": _encoder("ConvBert", embedding_size=32),
    "hf.squeezebert": _encoder("SqueezeBert", embedding_size=64),
    "hf.modernbert": _encoder("ModernBert", pad_token_id=0),
    "hf.fnet": _encoder("FNet"),
    "hf.gemma": _decoder("Gemma", head_dim=16, **_GROUPED_QUERIES),
    "hf.qwen2": _decoder("Qwen2", **_GROUPED_QUERIES),
    "hf.mistral": _decoder("Mistral", **_GROUPED_QUERIES),
    "hf.phi3": _decoder("Phi3", pad_token_id=0, **_GROUPED_QUERIES),
    "hf.gpt_neox": _decoder("GPTNeoX"),
    "hf.mamba": _decoder("Mamba", state_size=8),
    "hf.opt": _decoder("OPT", ffn_dim=128, word_embed_proj_dim=32),
    "hf.gpt_neo": _decoder(
        "GPTNeo", num_layers=2, num_heads=4, attention_types=[[["global", "local"], 1]], num_hidden_layers=2
    ),
    "hf.bloom": _decoder("Bloom", n_layer=2, n_head=4),
    "hf.falcon": _decoder("Falcon"),
    "hf.bart": _translator("BartForConditionalGeneration", "BartConfig"),
    "hf.marian": _translator("MarianMTModel", "MarianConfig", pad_token_id=0, decoder_start_token_id=0),
    "hf.whisper": Architecture(_whisper, lambda: (torch.randn(2, 16, 64), torch.randint(3, 90, (2, 12)))),
    "hf.wav2vec2": _wave("Wav2Vec2"),
    "hf.swin": of_transformers(
        "SwinForImageClassification",
        image(64),
        "SwinConfig",
        num_labels=CLASSES,
        image_size=64,
        embed_dim=24,
        depths=[2, 2],
        num_heads=[2, 4],
        window_size=4,
    ),
    "hf.dinov2": of_transformers(
        "Dinov2ForImageClassification",
        image(64),
        "Dinov2Config",
        num_labels=CLASSES,
        image_size=64,
        patch_size=16,
        **{key: value for key, value in SMALL.items() if key != "intermediate_size"},
    ),
    "hf.clip_vision": _images("CLIPVisionModel", "CLIPVisionConfig", "pixel_values", "pooler_output"),
}
