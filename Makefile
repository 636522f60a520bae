# Everything a newcomer, a maintainer and CI run. `make demo` and `make test` set up what they need
# in .venv; both start from a machine with nothing but Python (3.10 to 3.13), venv and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PINNED := -c constraints.txt
comma := ,
SOURCES := $(shell find mtinet_ros launch config resource demo -type f -not -path '*__pycache__*') \
           $(wildcard models/*) \
           setup.py setup.cfg package.xml README.md

# Files that pip puts under share/ and lib/ are found through this, as in a sourced ROS workspace.
export AMENT_PREFIX_PATH := $(CURDIR)/$(VENV)$(if $(AMENT_PREFIX_PATH),:$(AMENT_PREFIX_PATH))
export ROS_AUTOMATIC_DISCOVERY_RANGE ?= LOCALHOST

# $(call install,VENV,REQUIREMENTS): the one way anything gets into an environment. OpenCV's usual wheel
# needs libxcb and libGL, which a machine without a desktop lacks; its twin of the same version is the
# same module without windows. pip brings the usual one back whenever a requirement names it, so the
# last thing every step does is to look whether it loads.
define install
$(1)/bin/python -m pip install --quiet --disable-pip-version-check $(2)
@version=$$($(1)/bin/python -m pip list --format=freeze --disable-pip-version-check \
    | sed -n 's/^opencv-python==//p'); \
if [ -n "$$version" ] && ! $(1)/bin/python -c 'import cv2' 2>/dev/null; then \
    $(1)/bin/python -m pip uninstall --quiet --yes opencv-python opencv-python-headless; \
    $(1)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
        opencv-python-headless==$$version; \
fi
endef

# The bundled model once there is one; until then random weights, made on the spot.
UNTRAINED := build/models/mtinet_untrained.onnx
MODEL ?= $(firstword $(wildcard models/mtinet_indoor.onnx) $(UNTRAINED))
SOURCE ?=

.PHONY: demo test test-fast test-numpy1 bare check view-check bench soak parameters docs colcon model model-rendered model-smoke verify-gpu clean

# VIEW=1: with `mtinet view` beside it, in place of its own window.
VIEW ?=
demo: $(VENV)/.demo $(MODEL) $(if $(VIEW),$(VENV)/.view)
	$(BIN)/mtinet demo --model $(MODEL) --source '$(SOURCE)' $(if $(VIEW),--view)

# Two processes, each with a ROS domain of its own; a free one takes tests over from the other.
PYTEST := $(BIN)/python -m pytest --numprocesses 2 --dist worksteal

test: $(VENV)/.dev
	$(PYTEST)

# What needs neither ROS nor minutes.
test-fast: $(VENV)/.dev
	$(PYTEST) -m 'not ros and not slow'

# Both of the README's commands, in either order, as on a machine without X libraries.
bare:
	sh test/bare_machine.sh $(VENV)-bare

# What runs on a robot, with the NumPy of Ubuntu 24.04 instead of the newest.
test-numpy1: $(VENV)-numpy1/.done
	$(VENV)-numpy1/bin/python -m pytest -q -m 'not slow' test/perception test/messages test/node test/inference \
	    test/visualization test/demo test/cli test/test_model_card.py test/test_image_files.py \
	    test/test_output_files.py test/test_doctests.py

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/fawltydeps
	$(BIN)/python -m pytest -q test/test_package.py

# The viewer in a browser and in a window, each where there is what it needs; that it brings Rerun (500 MB) is
# why `make test` does not.
view-check:
	@if command -v chromium || command -v chromium-browser || command -v google-chrome || command -v Xvfb; then \
	    $(MAKE) --no-print-directory $(VENV)/.dev $(VENV)/.view && \
	    $(BIN)/python -m pytest -q -rs test/viewer; \
	else \
	    echo "view-check: skipped, there is neither Chromium nor Xvfb; apt-get install chromium, or xvfb mesa-vulkan-drivers"; \
	fi

# The page and the file that follow from mtinet_ros/node/settings.py.
parameters: $(VENV)/.demo
	@mkdir -p build
	$(BIN)/python -m mtinet_ros.node.parameter_docs markdown > build/parameters.md
	$(BIN)/python -m mtinet_ros.node.parameter_docs yaml > build/perception.yaml
	mv build/parameters.md docs/parameters.md
	mv build/perception.yaml config/perception.yaml

# The site of the pages, into build/docs. What is wrong with a page or a link is an error.
docs: $(VENV)/.docs
	$(BIN)/sphinx-build -n -W --keep-going -q -c docs . build/docs
	@echo "build/docs/index.html"

# How fast the node is, into build/bench; the whole also writes the node's part of docs/performance.md
# anew. After an interruption the same command goes on. QUICK=1 takes two minutes and documents nothing.
QUICK ?=
BENCH ?=
bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks.node_speed \
	    $(if $(QUICK),--quick -o build/bench/quick,--document) $(BENCH)

# Memory and latency over half an hour, into build/bench/soak.json and soak.png. MINUTES may differ.
MINUTES ?= 30
soak: $(VENV)/.dev
	$(BIN)/python -m benchmarks.node_speed.soak --minutes $(MINUTES) $(BENCH)

# As a ROS workspace builds it, in a Python of its own, because colcon needs an older setuptools.
colcon: $(VENV)-colcon/.done
	$(VENV)-colcon/bin/colcon --log-base build/colcon/log build --base-paths . \
	    --build-base build/colcon/build --install-base build/colcon/install
	test -x build/colcon/install/mtinet_ros/lib/mtinet_ros/perception_node
	head -n 1 build/colcon/install/mtinet_ros/lib/mtinet_ros/mtinet | grep -qx '#!/usr/bin/env python3'
	test -f build/colcon/install/mtinet_ros/share/mtinet_ros/launch/perception.launch.py

# The rendered rooms' model, from nothing: over four hours on two cores. Each step continues where it
# was cut off. First come pictures of half the pixels, which take half the time; the last step begins
# again from the weights that the others made, at a high rate that falls to zero.
SMALL := --set data.height=128 --set data.width=192 --set data.focal_length=157.5 \
         --set optimizer.max_steps=1730 --set optimizer.decay_steps=0
AGAIN := --set run.output=build/train/rooms_again --set run.seed=1 \
         --set network.initial=build/train/rooms/latest.safetensors \
         --set optimizer.learning_rate=1.2e-3 --set optimizer.max_steps=4200 \
         --set optimizer.decay_steps=4100
model-rendered: $(VENV)/.dev
	$(BIN)/mtinet scenes -n 11500 -o build/rooms
	$(BIN)/mtinet train config/train/rooms.yaml $(SMALL)
	$(BIN)/mtinet train config/train/rooms.yaml
	$(BIN)/mtinet train config/train/rooms.yaml $(AGAIN)
	$(call finish,mtinet_indoor_rendered,build/train/rooms_again,192x256,build/rooms)

# The bundled model: those weights, trained on with real rooms beside the rendered ones, at last on
# larger pictures. NYUD names a folder of NYU Depth V2 in the compact layout (docs/data.md); it is not
# ours to bring.
LARGER := --set run.output=build/train/indoor_larger --set run.seed=3 \
          --set network.initial=build/train/indoor/latest.safetensors \
          --set data.height=256 --set data.width=320 \
          --set data.sources.real.share=0.65 --set data.sources.rendered.share=0.35 \
          --set data.sources.real.augmentation.photometric=1.0 \
          --set optimizer.learning_rate=5e-4 --set optimizer.max_steps=900 \
          --set optimizer.decay_steps=850
NYUD ?=
ifneq ($(filter model,$(MAKECMDGOALS)),)
ifeq ($(NYUD),)
$(error say where NYU Depth V2 is, make model NYUD=FOLDER (docs/data.md); make model-rendered needs no real pictures)
endif
endif
model: $(VENV)/.dev
	$(BIN)/mtinet data convert '$(NYUD)' -o build/nyud --to nyud_mt --hold-out 0.12
	$(BIN)/mtinet scenes -n 11500 -o build/rooms
	$(BIN)/mtinet train config/train/indoor.yaml
	$(BIN)/mtinet train config/train/indoor.yaml $(LARGER)
	$(call finish,mtinet_indoor,build/train/indoor_larger,256x352,build/nyud)
	$(BIN)/mtinet evaluate build/models/mtinet_indoor.onnx --data build/nyud --record 'real rooms'

# $(call finish,NAME,RUN,SIZE,DATA): both files of a run's weights, the confidence calibrated on the
# validation frames of DATA, measured on rendered rooms.
define finish
@mkdir -p build/models
rm -f build/models/$(1).safetensors
$(BIN)/mtinet export $(2)/latest.safetensors --precision fp16 -o build/models/$(1).safetensors
$(BIN)/mtinet export $(2)/latest.safetensors --precision fp16 --input-size $(3) --name $(1) \
    -o build/models/$(1).onnx
$(BIN)/mtinet evaluate build/models/$(1).onnx --data build/rooms --record 'rendered rooms'
endef

# Both ways in minutes, on so few and small pictures that the models are worth nothing. Rendered rooms
# in the layout of NYU Depth V2 stand in for real ones.
SMOKE := build/smoke
TINY := --set data.height=96 --set data.width=128 --set data.focal_length=105 \
        --set data.batch_size=2 --set data.validation_frames=4 --set run.validate_steps=4
ROOMS := --set data.root=$(SMOKE)/rooms
BOTH := --set data.sources.real.root=$(SMOKE)/rooms/NYUD_MT \
        --set data.sources.rendered.root=$(SMOKE)/rooms
model-smoke: $(VENV)/.dev
	$(BIN)/mtinet scenes -n 60 --size 160x120 -o $(SMOKE)/rooms --layout nyud
	$(BIN)/mtinet train config/train/rooms.yaml $(TINY) $(ROOMS) \
	    --set run.output=$(SMOKE)/train --set optimizer.max_steps=4
	$(BIN)/mtinet train config/train/rooms.yaml $(TINY) $(ROOMS) \
	    --set run.output=$(SMOKE)/train --set optimizer.max_steps=8
	$(BIN)/mtinet train config/train/rooms.yaml $(TINY) $(ROOMS) $(AGAIN) \
	    --set optimizer.max_steps=4 --set run.output=$(SMOKE)/again \
	    --set network.initial=$(SMOKE)/train/latest.safetensors
	$(BIN)/mtinet train config/train/indoor.yaml $(TINY) $(BOTH) \
	    --set optimizer.max_steps=4 --set run.output=$(SMOKE)/both \
	    --set network.initial=$(SMOKE)/again/latest.safetensors
	$(BIN)/mtinet train config/train/indoor.yaml $(LARGER) $(TINY) $(BOTH) \
	    --set optimizer.max_steps=2 --set run.output=$(SMOKE)/larger \
	    --set network.initial=$(SMOKE)/both/latest.safetensors
	rm -f $(SMOKE)/model.safetensors
	$(BIN)/mtinet export $(SMOKE)/larger/latest.safetensors --precision fp16 \
	    -o $(SMOKE)/model.safetensors
	$(BIN)/mtinet export $(SMOKE)/larger/latest.safetensors -o $(SMOKE)/model.onnx
	$(BIN)/mtinet confidence $(SMOKE)/model.onnx --data $(SMOKE)/rooms/NYUD_MT --frames 10
	$(BIN)/mtinet evaluate $(SMOKE)/model.onnx --data $(SMOKE)/rooms/NYUD_MT --split val \
	    --frames 10 --record 'real rooms'
	$(BIN)/mtinet evaluate $(SMOKE)/model.onnx --data $(SMOKE)/rooms --split val --frames 20 \
	    --record 'rendered rooms'
	$(BIN)/mtinet inspect $(SMOKE)/model.onnx

# All of docs/verification.md that needs a GPU; writes build/gpu/report.md. It has an environment of its
# own, so that of all above nothing is needed but Python. VERIFY='--wheels FOLDER --only train': its options.
VERIFY ?=
verify-gpu:
	PYTHONPATH=test $(PYTHON) -m gpu.verify $(filter-out $(UNTRAINED),$(MODEL)) $(VERIFY)

$(UNTRAINED): | $(VENV)/.export
	$(BIN)/mtinet export --untrained --input-size 288x384 -o $@

$(VENV)/.demo: $(VENV)/bin/python constraints.txt $(SOURCES)
	$(call install,$(VENV),$(PINNED) '.[ros$(comma)openvino]')
	@touch $@

$(VENV)/.view: $(VENV)/.demo
	$(call install,$(VENV),$(PINNED) '.[view]')
	@touch $@

# Not the package's sources: the site needs none of them.
$(VENV)/.docs: $(VENV)/bin/python constraints.txt setup.py
	$(call install,$(VENV),$(PINNED) '.[docs]')
	@touch $@

$(VENV)/.export: $(VENV)/.demo
	$(call install,$(VENV),$(PINNED) '.[export]')
	@touch $@

$(VENV)/.dev: $(VENV)/.demo
	$(call install,$(VENV),$(PINNED) '.[export$(comma)train$(comma)process$(comma)dev]')
	$(call install,$(VENV),$(PINNED) --no-deps tensorrt-stubs)  # it depends on TensorRT: not for every machine
	@touch $@

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)-colcon/.done: constraints.txt
	$(PYTHON) -m venv $(VENV)-colcon
	$(call install,$(VENV)-colcon,$(PINNED) colcon-common-extensions ros-ament-package 'setuptools<80')
	@touch $@

$(VENV)-numpy1/.done: setup.py Makefile
	$(PYTHON) -m venv $(VENV)-numpy1
	$(call install,$(VENV)-numpy1,'numpy==1.26.4' 'opencv-python<4.12' onnx onnxruntime openvino \
	    PyYAML pytest hypothesis 'ros-rclpy[fastrtps]' ros-common-interfaces ros-domain-coordinator)
	@touch $@

clean:
	rm -rf build $(VENV) $(VENV)-bare $(VENV)-colcon $(VENV)-numpy1 *.egg-info
