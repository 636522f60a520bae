# SPDX-License-Identifier: Apache-2.0
"""What a training run is described by."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class NetworkConfig:
    """The network and its initial weights.

    Attributes:
        architecture: "mti_net", "pad_net" (tasks interact at one scale), "multi_task_baseline" (a
            shared backbone and a head for each task) or "single_task".
        backbone: Name of a backbone.
        tasks: Output channels by target task.
        auxiliary_tasks: Output channels by auxiliary task of mti_net and pad_net; empty: the
            target tasks.
        feature_propagation: Whether mti_net has feature propagation, an ablation if not.
        distillation: The same of multi-modal distillation.
        multi_scale: Whether tasks interact in mti_net at four scales or at one.
        initial: "imagenet", "random", or a checkpoint whose weights to start from.
        backbone_weights: File of the ImageNet weights under the public names of the backbone's
            weights (HRNet's own, torchvision's, timm's); empty: those of a Python package.
        depth_output: What the depth output is: "metres" (the paper) or "log_metres".
    """

    architecture: str = "mti_net"
    backbone: str = "efficientnet_lite0"
    tasks: dict[str, int] = field(default_factory=dict)
    auxiliary_tasks: dict[str, int] = field(default_factory=dict)
    feature_propagation: bool = True
    distillation: bool = True
    multi_scale: bool = True
    initial: str = "imagenet"
    backbone_weights: str = ""
    depth_output: str = "log_metres"


@dataclass(frozen=True)
class AugmentationConfig:
    """Random geometric and photometric changes of a training frame.

    Attributes:
        kind: "camera": another camera at the same place, with a lens of its own (`view`); "nyud",
            "pascal": what the paper's results were made with (`paper_views`). Which of the others
            a kind takes, `augmentation_kinds` tells.
        flip: Probability of mirroring.
        zoom: Range of the factor by which the focal length grows.
        roll: Largest turn about the optical axis, degrees.
        tilt: Largest turn about each of the other axes, degrees.
        photometric: Strength of the changes of color, light, sharpness and noise; 0 is none, 1
            is what the bundled model was trained with.
        zooms: Factors of which one is drawn, each as often as the others.
        rotation: Largest turn of the picture, degrees.
        scale: Range of the factor by which the picture grows.
    """

    kind: str = "camera"
    flip: float = 0.5
    zoom: tuple[float, float] = (1.0, 1.5)
    roll: float = 6.0
    tilt: float = 3.0
    photometric: float = 1.0
    zooms: tuple[float, ...] = (1.0, 1.2, 1.5)
    rotation: float = 20.0
    scale: tuple[float, float] = (0.75, 1.25)


@dataclass(frozen=True)
class SourceConfig:
    """A data set among several that a run is trained on.

    Attributes:
        kind: "rooms" (written by `mtinet scenes`), "nyud" (NYU Depth V2 in either layout),
            "pascal" (PASCAL_MT) or "urbanlf" (UrbanLF's folder Real or Syn), see `mtinet data`.
        root: Folder of the data set.
        share: Of the training frames, relative to the other sources' shares.
        classes: Set of classes that the semseg labels are merged into, e.g. "rooms"; empty: the
            data set's own.
        tasks: Truth that is used; empty: all there is.
        augmentation: Entries that differ from the section `augmentation`.
    """

    kind: str = "rooms"
    root: str = ""
    share: float = 1.0
    classes: str = ""
    tasks: tuple[str, ...] = ()
    augmentation: AugmentationConfig | None = None


@dataclass(frozen=True)
class DataConfig:
    """The data, and the size and batches in which the network gets them.

    Attributes:
        kind: Of the data set, see `SourceConfig`; empty: "rooms".
        root: Folder of the data set; empty: "build/rooms".
        sources: Several data sets by name instead of that one.
        height: Rows of the network's input.
        width: Columns of the network's input.
        focal_length: Canonical focal length f0 in pixels at that size, for which depth is trained;
            0: the data's own, where their augmentation leaves depth as it is ("nyud", "pascal").
        batch_size: Frames per step and device.
        workers: Loader processes per device; 0 loads in the training process.
        validation_frames: At most so many evenly spaced frames of each validation split are used
            while training.
    """

    kind: str = ""
    root: str = ""
    sources: dict[str, SourceConfig] = field(default_factory=dict)
    height: int = 192
    width: int = 256
    focal_length: float = 210.0
    batch_size: int = 8
    workers: int = 2
    validation_frames: int = 64

    def named_sources(self) -> dict[str, SourceConfig]:
        """All data sets by name; where there is one, it is called by its kind."""
        return self.sources or {
            self.kind or "rooms": SourceConfig(self.kind or "rooms", self.root or "build/rooms")
        }


@dataclass(frozen=True)
class LossConfig:
    """The loss function.

    Attributes:
        terms: Weight by name of loss (`mtinet_ros.training.losses.LOSSES`) by task.
        class_balance: Exponent e of the semseg class weights (1 / frequency)^e, 0 is none.
        deep_supervision: Weight of the initial predictions of all four scales.
        deep_supervision_stride: Those are compared with every so-many-th pixel of the ground truth
            in both directions; 1 as in the paper.
    """

    terms: dict[str, dict[str, float]] = field(default_factory=dict)
    class_balance: float = 0.0
    deep_supervision: float = 1.0
    deep_supervision_stride: int = 1


@dataclass(frozen=True)
class OptimizerConfig:
    """The optimizer, its rate and how long it goes on.

    Attributes:
        kind: "adamw"; or "adam" or "sgd" as in the authors' training, where weight decay is a
            part of the gradient, of biases and normalization too.
        learning_rate: Of everything but the backbone.
        backbone_factor: The backbone's learning rate, as a fraction of that.
        weight_decay: Of AdamW apart from the gradient, and of weights alone.
        momentum: Of SGD.
        frozen: Parts of the network that keep their initial weights and batch-norm statistics, as
            prefixes of parameter names, e.g. "backbone._blocks.0.".
        clip: Largest norm of the gradient; 0 is none.
        max_steps: Steps of the whole run.
        max_epochs: Passes over all training frames, instead of max_steps; frames at the end of a
            pass that fill no batch are left out of it.
        warmup_steps: The rate grows linearly over so many steps.
        decay_steps: The rate falls to zero over the last so many steps.
        decay_by: "step"; or "epoch": the rate is constant within an epoch and falls from the first
            to the last, as (1 - epoch / max_epochs)^decay_power, without warm-up.
        decay_power: As (1 - progress)^power.
        average: Decay of the exponential moving average of weights that is validated and saved; 0:
            the weights in training are.
    """

    kind: str = "adamw"
    learning_rate: float = 1e-3
    backbone_factor: float = 0.3
    weight_decay: float = 1e-2
    momentum: float = 0.9
    frozen: tuple[str, ...] = ()
    clip: float = 5.0
    max_steps: int = 20000
    max_epochs: int = 0
    warmup_steps: int = 200
    decay_steps: int = 4000
    decay_by: str = "step"
    decay_power: float = 1.0
    average: float = 0.998


@dataclass(frozen=True)
class RunConfig:
    """How the run is carried out, saved and watched.

    Attributes:
        output: Folder of checkpoints, logs and pictures; a run cut off there is continued.
        seed: Of the weights' initialisation, the order of frames and their augmentation.
        accelerator: Lightning's name: auto, cpu, gpu.
        devices: Number of devices per node; 0 is all.
        nodes: Number of nodes.
        precision: "32-true", "bf16-mixed", "16-mixed" (on a GPU); "auto" is bf16-mixed where the
            hardware multiplies bfloat16, else 32-true.
        channels_last: Whether images and features lie in memory pixel by pixel.
        compile: Whether the training step is compiled, on or off; "auto": in long runs on a GPU
            that is new enough, see `compilation`.
        sync_batch_norm: Whether batch normalization takes the statistics of all processes' frames.
        threads: CPU threads of PyTorch; 0 leaves its default.
        save_minutes: Minutes between checkpoints.
        image_minutes: Minutes between pictures of predictions.
        validate_steps: Steps between validations.
        log_steps: Steps between logged losses.
        watch: Photographs whose predictions are drawn beside those of validation frames.
    """

    output: str = "build/train"
    seed: int = 0
    accelerator: str = "auto"
    devices: int = 0
    nodes: int = 1
    precision: str = "auto"
    channels_last: bool = True
    compile: bool | str = "auto"  # YAML reads on and off as truth values
    sync_batch_norm: bool = False
    threads: int = 0
    save_minutes: float = 10.0
    image_minutes: float = 10.0
    validate_steps: int = 1000
    log_steps: int = 20
    watch: tuple[str, ...] = ()


@dataclass(frozen=True)
class CardConfig:
    """Entries of the model card that follow neither from the data nor from the network.

    Attributes:
        name: Of the model.
        license: SPDX expression for the weights.
        attribution: Credits besides those for the data, a sentence each.
        depth_range: [min, max] in metres within which depth is meaningful.
    """

    name: str = "mtinet"
    license: str = "NOASSERTION"
    attribution: tuple[str, ...] = ()
    depth_range: tuple[float, float] = (0.1, 10.0)


@dataclass(frozen=True)
class TrainConfig:
    """One training run."""

    network: NetworkConfig = field(default_factory=NetworkConfig)
    data: DataConfig = field(default_factory=DataConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    losses: LossConfig = field(default_factory=LossConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    card: CardConfig = field(default_factory=CardConfig)
    run: RunConfig = field(default_factory=RunConfig)
