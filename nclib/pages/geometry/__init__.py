"""Page 01: what collapse is, its frames, and how its metrics break."""
