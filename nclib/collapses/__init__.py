"""What else is called a collapse: pruned networks, averages of networks, spectra, recurrent states, experts."""
