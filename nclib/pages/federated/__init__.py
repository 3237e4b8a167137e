"""Page 17: federated training on a long tail, with a fixed frame and realigned heads."""
