"""The 68 architectures of the comparison: 23 of torchvision, 27 of timm, 7 of transformers, 11 toys."""

from __future__ import annotations

import torchvision_without_cuda  # noqa: F401, isort: skip (before torchvision, and timm imports it)

from collections.abc import Callable
from typing import Any

import timm
import torch
import toys
import transformers
from architecture import CLASSES, Architecture, Inputs, image, noise, tokens
from torch import Tensor, nn
from torchvision import models as vision

transformers.logging.set_verbosity_error()

SMALL = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}


class Logits(nn.Module):
    """The scores out of a transformers model's record."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x).logits


class Segmentation(nn.Module):
    """The main output out of a torchvision segmentation model's dictionary."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)["out"]


class SequenceToSequence(nn.Module):
    """An encoder-decoder that reads the same tokens on both sides."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return self.model(input_ids=x, decoder_input_ids=x, use_cache=False).logits


def of_torchvision(name: str, inputs: Callable[[], Inputs], **settings: Any) -> Architecture:
    return Architecture(lambda: getattr(vision, name)(weights=None, num_classes=CLASSES, **settings), inputs)


def segmentation(name: str, inputs: Callable[[], Inputs]) -> Architecture:
    build = getattr(vision.segmentation, name)
    return Architecture(lambda: Segmentation(build(weights=None, weights_backbone=None, num_classes=CLASSES)), inputs)


def of_timm(name: str, inputs: Callable[[], Inputs], **settings: Any) -> Architecture:
    return Architecture(lambda: timm.create_model(name, pretrained=False, num_classes=CLASSES, **settings), inputs)


def of_transformers(kind: str, inputs: Callable[[], Inputs], config: str, **settings: Any) -> Architecture:
    return Architecture(lambda: Logits(transformers_model(kind, config, **settings)), inputs)


def transformers_model(kind: str, config: str, **settings: Any) -> nn.Module:
    return getattr(transformers, kind)(getattr(transformers, config)(**settings))


def _detector() -> nn.Module:
    return vision.detection.fasterrcnn_mobilenet_v3_large_320_fpn(
        weights=None,
        weights_backbone=None,
        num_classes=CLASSES,
        rpn_pre_nms_top_n_test=40,
        rpn_post_nms_top_n_test=10,
        box_detections_per_img=5,
    )


def _t5() -> nn.Module:
    settings = {"vocab_size": 100, "d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 2, "num_heads": 4}
    model = transformers_model("T5ForConditionalGeneration", "T5Config", decoder_start_token_id=0, **settings)
    return SequenceToSequence(model)


def _vision_transformer() -> nn.Module:
    return vision.VisionTransformer(
        image_size=64, patch_size=16, num_layers=2, num_heads=4, hidden_dim=64, mlp_dim=128, num_classes=CLASSES
    )


ZOO: dict[str, Architecture] = {
    "tv.alexnet": of_torchvision("alexnet", image()),
    "tv.vgg11_bn": of_torchvision("vgg11_bn", image(64)),
    "tv.resnet18": of_torchvision("resnet18", image()),
    "tv.resnet50": of_torchvision("resnet50", image()),
    "tv.resnext50": of_torchvision("resnext50_32x4d", image()),
    "tv.mobilenet_v2": of_torchvision("mobilenet_v2", image()),
    "tv.mobilenet_v3_small": of_torchvision("mobilenet_v3_small", image()),
    "tv.densenet121": of_torchvision("densenet121", image()),
    "tv.googlenet": of_torchvision("googlenet", image(), aux_logits=False, init_weights=False),
    "tv.inception_v3": of_torchvision("inception_v3", image(128), aux_logits=False, init_weights=False),
    "tv.shufflenet_v2_x0_5": of_torchvision("shufflenet_v2_x0_5", image()),
    "tv.squeezenet1_1": of_torchvision("squeezenet1_1", image()),
    "tv.efficientnet_b0": of_torchvision("efficientnet_b0", image()),
    "tv.regnet_y_400mf": of_torchvision("regnet_y_400mf", image()),
    "tv.regnet_x_400mf": of_torchvision("regnet_x_400mf", image()),
    "tv.convnext_tiny": of_torchvision("convnext_tiny", image(64)),
    "tv.mnasnet0_5": of_torchvision("mnasnet0_5", image()),
    "tv.vit(2 layers)": Architecture(_vision_transformer, image(64)),
    "tv.swin_t": of_torchvision("swin_t", image(64)),
    "tv.fcn_resnet50": segmentation("fcn_resnet50", image(64)),
    "tv.deeplabv3_mbv3": segmentation("deeplabv3_mobilenet_v3_large", image()),
    "tv.lraspp_mbv3": segmentation("lraspp_mobilenet_v3_large", image()),
    "tv.fasterrcnn_mbv3_320": Architecture(_detector, lambda: ([torch.rand(3, 96, 96)],)),
    "timm.vit_tiny_p16": of_timm("vit_tiny_patch16_224", image(64), img_size=64, depth=4),
    "timm.deit_tiny_distilled": of_timm("deit_tiny_distilled_patch16_224", image(64), img_size=64, depth=4),
    "timm.mixer_s32": of_timm("mixer_s32_224", image(64), img_size=64),
    "timm.swin_tiny": of_timm("swin_tiny_patch4_window7_224", image(64), img_size=64, window_size=4),
    "timm.resnest14d": of_timm("resnest14d", image()),
    "timm.res2net50": of_timm("res2net50_14w_8s", image(64)),
    "timm.dla34": of_timm("dla34", image()),
    "timm.hrnet_w18_small": of_timm("hrnet_w18_small", image(64)),
    "timm.ghostnet_100": of_timm("ghostnet_100", image()),
    "timm.cspresnet50": of_timm("cspresnet50", image()),
    "timm.cspdarknet53": of_timm("cspdarknet53", image()),
    "timm.skresnet18": of_timm("skresnet18", image()),
    "timm.ecaresnet26t": of_timm("ecaresnet26t", image(64)),
    "timm.convnextv2_atto": of_timm("convnextv2_atto", image(64)),
    "timm.nf_resnet26": of_timm("nf_resnet26", image(64)),
    "timm.repvgg_a0": of_timm("repvgg_a0", image()),
    "timm.poolformer_s12": of_timm("poolformer_s12", image(64)),
    "timm.mobilevit_xxs": of_timm("mobilevit_xxs", image(64)),
    "timm.efficientvit_b0": of_timm("efficientvit_b0", image(64)),
    "timm.levit_128s": of_timm("levit_128s", image(224), img_size=224),
    "timm.dpn48b": of_timm("dpn48b", image(64)),
    "timm.xception41": of_timm("xception41", image()),
    "timm.ese_vovnet19b": of_timm("ese_vovnet19b_dw", image()),
    "timm.mobilenetv4_s": of_timm("mobilenetv4_conv_small", image()),
    "timm.fastvit_t8": of_timm("fastvit_t8", image(64)),
    "timm.coatnet_nano": of_timm("coatnet_nano_rw_224", image(64), img_size=64),
    "timm.edgenext_xxs": of_timm("edgenext_xx_small", image(64)),
    "hf.bert": of_transformers(
        "BertForSequenceClassification", tokens(), "BertConfig", vocab_size=100, num_labels=CLASSES, **SMALL
    ),
    "hf.distilbert": of_transformers(
        "DistilBertForSequenceClassification",
        tokens(),
        "DistilBertConfig",
        vocab_size=100,
        num_labels=CLASSES,
        dim=64,
        n_layers=2,
        n_heads=4,
        hidden_dim=128,
    ),
    "hf.gpt2": of_transformers(
        "GPT2LMHeadModel",
        tokens(),
        "GPT2Config",
        vocab_size=100,
        n_embd=64,
        n_layer=2,
        n_head=4,
        n_positions=32,
        use_cache=False,
    ),
    "hf.llama_gqa": of_transformers(
        "LlamaForCausalLM",
        tokens(),
        "LlamaConfig",
        vocab_size=100,
        num_key_value_heads=2,
        use_cache=False,
        max_position_embeddings=64,
        **SMALL,
    ),
    "hf.t5": Architecture(_t5, tokens()),
    "hf.vit": of_transformers(
        "ViTForImageClassification", image(64), "ViTConfig", image_size=64, patch_size=16, num_labels=CLASSES, **SMALL
    ),
    "hf.segformer": of_transformers(
        "SegformerForSemanticSegmentation",
        image(64),
        "SegformerConfig",
        num_labels=CLASSES,
        hidden_sizes=[16, 32, 64, 128],
        depths=[1, 1, 1, 1],
        num_attention_heads=[1, 2, 4, 8],
        decoder_hidden_size=64,
    ),
    "toy.flatten": Architecture(lambda: toys.Flatten(CLASSES), image()),
    "toy.unet": Architecture(lambda: toys.UNet(CLASSES), image(64)),
    "toy.lstm_lm": Architecture(lambda: toys.Recurrent(CLASSES, nn.LSTM), tokens()),
    "toy.lstm2_lm": Architecture(lambda: toys.Recurrent(CLASSES, nn.LSTM, layers=2), tokens()),
    "toy.gru_lm": Architecture(lambda: toys.Recurrent(CLASSES, nn.GRU), tokens()),
    "toy.pixelshuffle": Architecture(lambda: toys.PixelShuffle(CLASSES), image(32)),
    "toy.shared_tower": Architecture(lambda: toys.SharedTower(CLASSES), noise((2, 3, 16, 16), (2, 3, 16, 16))),
    "toy.functional": Architecture(lambda: toys.Functional(CLASSES), image(32)),
    "toy.tcn": Architecture(lambda: toys.TemporalConvolution(CLASSES), noise((2, 8, 32))),
    "toy.glu": Architecture(lambda: toys.GatedLinear(CLASSES), noise((4, 20))),
    "toy.mha_encoder": Architecture(lambda: toys.Encoder(CLASSES), noise((2, 6, 12))),
}
