"""Kernels written in LLVM's language, compiled for the machine at hand."""
