"""One importer for each ONNX operator."""
