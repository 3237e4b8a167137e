"""Page A2: language models against the exact distribution of a story grammar."""
