"""Reading an ONNX file: its structure, its constants, and what operators build the Graph with."""
