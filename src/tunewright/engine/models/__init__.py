"""Base models and adapters: loaded, quantized, wrapped by PEFT, checked, restored."""
