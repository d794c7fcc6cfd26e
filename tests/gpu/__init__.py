"""What holds on the CPU holds on CUDA: `pytest -o addopts= -m gpu tests/gpu` where there is one."""
