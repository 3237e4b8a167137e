"""Page 20: averages of networks."""
