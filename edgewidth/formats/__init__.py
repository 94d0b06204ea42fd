"""From trained weights to TFLite and ONNX files, and slicing of converted ones."""
