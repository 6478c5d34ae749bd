"""The pack's shape, vocabulary and export: from weights of transformers to ONNX graphs."""
