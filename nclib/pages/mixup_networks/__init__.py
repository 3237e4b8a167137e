"""Page 15: Fisher, Meng, Papyan 2024, networks trained with mixup."""
