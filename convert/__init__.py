"""From ONNX to a spiking network."""
