"""Page 14: Fisher, Meng, Papyan 2024, the theorem on unconstrained features."""
