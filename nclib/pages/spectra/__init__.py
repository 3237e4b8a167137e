"""Page 21: spectra of the Hessian and phases of training."""
