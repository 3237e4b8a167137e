"""Page 00: Papyan, Han, Donoho 2020."""
