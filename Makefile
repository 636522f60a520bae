# Everything a newcomer, a maintainer and CI run. `make demo` and `make test` set up what they need
# in .venv; both start from a machine with nothing but Python (3.10 to 3.13), venv and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
SOURCES := $(shell find mtinet_ros launch config resource demo -type f -not -path '*__pycache__*') \
           $(wildcard models/*) \
           setup.py setup.cfg package.xml README.md

# Files that pip puts under share/ and lib/ are found through this, as in a sourced ROS workspace.
export AMENT_PREFIX_PATH := $(CURDIR)/$(VENV)$(if $(AMENT_PREFIX_PATH),:$(AMENT_PREFIX_PATH))
export ROS_AUTOMATIC_DISCOVERY_RANGE ?= LOCALHOST

# The bundled model once there is one; until then random weights, made on the spot.
UNTRAINED := build/models/mtinet_untrained.onnx
MODEL ?= $(firstword $(wildcard models/mtinet_indoor.onnx) $(UNTRAINED))
SOURCE ?=

.PHONY: demo test test-numpy1 check colcon model model-smoke verify-gpu clean

demo: $(VENV)/.demo $(MODEL)
	$(BIN)/mtinet demo --model $(MODEL) --source '$(SOURCE)'

test: $(VENV)/.dev
	$(BIN)/python -m pytest

# What runs on a robot, with the NumPy of Ubuntu 24.04 instead of the newest.
test-numpy1: $(VENV)-numpy1/.done
	$(VENV)-numpy1/bin/python -m pytest -q -m 'not slow' test/perception test/node test/inference \
	    test/cli test/test_model_card.py test/test_output_files.py test/test_doctests.py

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q test/test_package.py

# As a ROS workspace builds it, in a Python of its own, because colcon needs an older setuptools.
colcon: $(VENV)-colcon/.done
	$(VENV)-colcon/bin/colcon --log-base build/colcon/log build --base-paths . \
	    --build-base build/colcon/build --install-base build/colcon/install
	test -x build/colcon/install/mtinet_ros/lib/mtinet_ros/perception_node
	test -f build/colcon/install/mtinet_ros/share/mtinet_ros/launch/perception.launch.py

# The bundled model, from nothing: over four hours on two cores. Each step continues where it was cut
# off. First come pictures of half the pixels, which take half the time; the last step begins again
# from the weights that the others made, at a high rate that falls to zero.
SMALL := --set data.height=128 --set data.width=192 --set data.focal_length=157.5 \
         --set optimiser.max_steps=1730 --set optimiser.decay_steps=0
AGAIN := --set run.output=build/train/rooms_again --set run.seed=1 \
         --set network.initial=build/train/rooms/latest.safetensors \
         --set optimiser.learning_rate=1.2e-3 --set optimiser.max_steps=4200 \
         --set optimiser.decay_steps=4100
model: $(VENV)/.dev
	$(BIN)/mtinet scenes -n 11500 -o build/rooms
	$(BIN)/mtinet train config/train/rooms.yaml $(SMALL)
	$(BIN)/mtinet train config/train/rooms.yaml
	$(BIN)/mtinet train config/train/rooms.yaml $(AGAIN)
	for form in onnx safetensors; do \
	    $(BIN)/mtinet export build/train/rooms_again/latest.safetensors --precision fp16 \
	        -o build/models/mtinet_indoor.$$form || exit 1; \
	done
	$(BIN)/mtinet evaluate build/models/mtinet_indoor.onnx --data build/rooms

# The same way in minutes, on so few and small pictures that the model is worth nothing.
SMOKE := build/smoke
TINY := --set data.root=$(SMOKE)/rooms --set data.height=96 --set data.width=128 \
        --set data.focal_length=105 --set data.batch_size=2 --set data.validation_frames=4 \
        --set run.validate_steps=4
model-smoke: $(VENV)/.dev
	$(BIN)/mtinet scenes -n 60 --size 160x120 -o $(SMOKE)/rooms
	$(BIN)/mtinet train config/train/rooms.yaml $(TINY) \
	    --set run.output=$(SMOKE)/train --set optimiser.max_steps=4
	$(BIN)/mtinet train config/train/rooms.yaml $(TINY) \
	    --set run.output=$(SMOKE)/train --set optimiser.max_steps=8
	$(BIN)/mtinet train config/train/rooms.yaml $(TINY) $(AGAIN) --set optimiser.max_steps=4 \
	    --set run.output=$(SMOKE)/again --set network.initial=$(SMOKE)/train/latest.safetensors
	$(BIN)/mtinet export $(SMOKE)/again/latest.safetensors --precision fp16 \
	    -o $(SMOKE)/model.safetensors
	$(BIN)/mtinet export $(SMOKE)/again/latest.safetensors -o $(SMOKE)/model.onnx
	$(BIN)/mtinet evaluate $(SMOKE)/model.onnx --data $(SMOKE)/rooms --split val --frames 20

# All of docs/verification.md that needs a GPU; writes build/gpu/report.md.
verify-gpu: $(VENV)/.dev $(MODEL)
	$(PIP) '.[tensorrt-rtx]'
	$(PIP) '.[tensorrt]' || echo 'no tensorrt here: only TensorRT for RTX is verified'
	$(BIN)/python test/gpu/verify.py $(MODEL) build/gpu

$(UNTRAINED): | $(VENV)/.export
	$(BIN)/mtinet export --untrained --input-size 288x384 -o $@

# OpenCV's usual wheel needs libGL, which a machine without a desktop lacks: its twin does not.
$(VENV)/.demo: $(VENV)/bin/python constraints.txt $(SOURCES)
	$(PIP) '.[ros,openvino]'
	@$(BIN)/python -c 'import cv2' 2>/dev/null || \
	    { $(BIN)/python -m pip uninstall --quiet --yes opencv-python; $(PIP) opencv-python-headless; }
	@touch $@

$(VENV)/.export: $(VENV)/.demo
	$(PIP) '.[export]'
	@touch $@

$(VENV)/.dev: $(VENV)/.demo
	$(PIP) '.[export,train,dev]'
	$(PIP) --no-deps tensorrt-stubs  # which depends on TensorRT itself: not for every machine
	@touch $@

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)-colcon/.done: constraints.txt
	$(PYTHON) -m venv $(VENV)-colcon
	$(VENV)-colcon/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
	    colcon-common-extensions ros-ament-package 'setuptools<80'
	@touch $@

$(VENV)-numpy1/.done: setup.py Makefile
	$(PYTHON) -m venv $(VENV)-numpy1
	$(VENV)-numpy1/bin/python -m pip install --quiet --disable-pip-version-check \
	    'numpy==1.26.4' 'opencv-python<4.12' onnx onnxruntime openvino PyYAML pytest hypothesis \
	    'ros-rclpy[fastrtps]' ros-common-interfaces ros-domain-coordinator
	@touch $@

clean:
	rm -rf build $(VENV) $(VENV)-colcon $(VENV)-numpy1 *.egg-info
